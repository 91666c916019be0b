"""The questions of a fetch: which cells a span has, and how they are put to vendors."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from turbomode_assets.config.vendors import FetchConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.tables import CELL
from turbomode_assets.sessions import (
    SessionSpan,
    session_close,
    session_indices,
)
from turbomode_assets.vendors.protocol import Request
from turbomode_assets.vendors.timestamps import ROUND_THE_CLOCK


@dataclass(frozen=True)
class Question:
    """A request, and the block of sessions that it lies in."""

    request: Request
    block: str

    @property
    def lease(self) -> str:
        """Name under which one worker at a time may ask it."""
        return f"candles/{self.block}/{self.request.symbol}"

    @property
    def about(self) -> str:
        """Say it for a person."""
        request = self.request
        return f"{request.symbol} {request.timeframe} {request.span}"


def listed_cells(
    instruments: pl.DataFrame, span: SessionSpan, timeframes: Sequence[str]
) -> pl.DataFrame:
    """Every cell of a span on whose session the symbol was listed, as far as that is known."""
    first = pl.col("first_session").fill_null(dt.date.min)
    last = pl.col("last_session").fill_null(dt.date.max)
    return (
        instruments.select("symbol", "first_session", "last_session")
        .join(pl.DataFrame({"session": span.sessions}), how="cross")
        .filter(pl.col("session").is_between(first, last))
        .join(pl.DataFrame({"timeframe": list(timeframes)}), how="cross")
        .select(CELL)
    )


def plan_questions(
    cells: pl.DataFrame, instruments: pl.DataFrame, fetch: FetchConfig
) -> list[Question]:
    """Questions that cover the cells, in order of timeframe, block and symbol.

    One question lies within a block of `fetch.sessions_per_question` sessions, counted from the
    calendar's start, so that workers with different spans divide the same work alike.
    """
    names = fetch.timeframes
    widths = pl.DataFrame(
        {"timeframe": names, "width": [fetch.sessions_per_question[name] for name in names]}
    )
    questions = (
        cells.with_columns(position=session_indices(cells["session"]))
        .join(widths, on="timeframe", validate="m:1")
        .join(instruments.select("symbol", "calendar"), on="symbol", validate="m:1")
        .with_columns(block=pl.col("position") // pl.col("width"))
        .group_by("timeframe", "block", "symbol", "calendar")
        .agg(first=pl.col("session").min(), last=pl.col("session").max())
        .sort("timeframe", "block", "symbol")
    )
    return [
        Question(
            Request(symbol, calendar, SessionSpan(first, last), timeframe),
            block=f"{timeframe}/{block}",
        )
        for timeframe, block, symbol, calendar, first, last in questions.iter_rows()
    ]


def require_ended(span: SessionSpan, instruments: pl.DataFrame, now: dt.datetime) -> None:
    """Refuse a span whose last session is still open somewhere: its bars are not final.

    Raises:
        InputError: it has not closed, or its day has not ended for a 24/7 instrument.
    """
    ends = session_close(span.last)
    if ROUND_THE_CLOCK in instruments.get_column("calendar"):
        midnight = dt.datetime.combine(span.last + dt.timedelta(days=1), dt.time(), dt.UTC)
        ends = max(ends, midnight)
    if now < ends:
        raise InputError(
            f"session {span.last} has not ended",
            where=f"candles, {span}",
            fix=f"ask for it after {ends:%Y-%m-%d %H:%M} UTC, or for earlier sessions",
        )
