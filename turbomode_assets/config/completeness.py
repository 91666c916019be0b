"""Sections of `data_quality_config.json`: what should exist, when, and how holes are filled."""

import datetime as dt
from typing import Annotated, Self

from pydantic import Field, model_validator

from turbomode_assets.config.section import Section

Share = Annotated[float, Field(ge=0, le=1)]


class HaltConfig(Section):
    """Sessions on which nothing is expected of some symbols.

    `symbols` null: of every symbol of the exchange. What trades around the clock is named.
    """

    symbols: Annotated[list[str], Field(min_length=1)] | None
    first_session: dt.date
    last_session: dt.date
    reason: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last_session < self.first_session:
            raise ValueError(
                f"the halt ends ({self.last_session}) before it begins ({self.first_session})"
            )
        return self


class ShortSessionConfig(Section):
    """A session that an exchange closed early without the calendar knowing: minutes traded."""

    session: dt.date
    minutes: Annotated[int, Field(ge=1, le=390)]
    reason: Annotated[str, Field(min_length=1)]


class LedgerConfig(Section):
    """When a cell is due, and how many of its intraday bars may be missing.

    Candles are due `due_hours` after the session's close. An intraday cell is AMBER below
    `amber_rows_share` of its expected bars and RED below `red_rows_share`. `halts` and
    `short_sessions` are what calendars do not know.
    """

    due_hours: Annotated[float, Field(ge=0, le=72)]
    amber_rows_share: Share
    red_rows_share: Share
    halts: list[HaltConfig]
    short_sessions: list[ShortSessionConfig]

    @model_validator(mode="after")
    def _red_is_worse(self) -> Self:
        if self.red_rows_share > self.amber_rows_share:
            raise ValueError(
                f"red_rows_share ({self.red_rows_share}) is above amber_rows_share "
                f"({self.amber_rows_share}): a cell that is RED would pass for AMBER"
            )
        return self


class BackfillConfig(Section):
    """How holes are filled.

    A run that leaves more than `tolerated_unanswered_share` of its questions unanswered fails. An
    item is tried up to `attempts` times, `backoff_seconds` after the first failure and twice as
    long after each further one, up to `longest_backoff_seconds`; then it is a dead letter. A run
    fills a window of at most `window_sessions`, fewer while the vendors' budgets are used up. With
    nothing queued, the sweep audits `sweep_sessions` older sessions at a time.
    """

    tolerated_unanswered_share: Share
    attempts: Annotated[int, Field(ge=1, le=100)]
    backoff_seconds: Annotated[float, Field(gt=0)]
    longest_backoff_seconds: Annotated[float, Field(gt=0)]
    window_sessions: Annotated[int, Field(ge=1, le=2520)]
    sweep_sessions: Annotated[int, Field(ge=1, le=2520)]


class FreshnessConfig(Section):
    """What is late.

    Of the last `sessions`, those of which less than `green_share` is GREEN `deadline_hours` after
    their close.
    """

    deadline_hours: Annotated[float, Field(gt=0, le=168)]
    sessions: Annotated[int, Field(ge=1, le=63)]
    green_share: Share


class GateConfig(Section):
    """Smallest GREEN share of the cells that a run depends on, and of a session to be derived."""

    training_green_share: Share
    signals_green_share: Share
    session_green_share: Share
