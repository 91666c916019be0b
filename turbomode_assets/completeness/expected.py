"""What should exist: the expected candles of every symbol, timeframe and session, and from when."""

import datetime as dt
from collections.abc import Sequence

import polars as pl

from turbomode_assets.config.completeness import HaltConfig, LedgerConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.tables.common import UTC_TIME
from turbomode_assets.contracts.timeframes import INTRADAY_MINUTES
from turbomode_assets.sessions import MINUTES_PER_DAY, SessionSpan, session_minutes
from turbomode_assets.sessions.listing import ROUND_THE_CLOCK, XNYS, trading_hours

DAILY = "1d"
BAR_MINUTES = {**INTRADAY_MINUTES, DAILY: MINUTES_PER_DAY}
"""Timeframes that lie within a session's days: those that can be expected of it."""

GRID_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "calendar": pl.String(),
        "timeframe": pl.String(),
        "session": pl.Date(),
        "expected_rows": pl.Int32(),
        "due_at": UTC_TIME,
    }
)
"""One row for each cell that the ledger speaks of; none is expected where trading was halted."""


def expected_grid(
    instruments: pl.DataFrame,
    span: SessionSpan,
    timeframes: Sequence[str],
    config: LedgerConfig,
) -> pl.DataFrame:
    """Rows of GRID_SCHEMA for `symbol_metadata` over a span, sorted by symbol, session, timeframe.

    A cell exists where the symbol was listed: from `first_session` to `last_session`, both
    included and unbounded where null; around the clock they may be any UTC day. It is due
    `due_hours` after the close, or after the end of the UTC day around the clock.

    Raises:
        InputError: a timeframe is longer than a day or unknown.
    """
    require_within_a_day(timeframes, where="expected_grid")
    listed = instruments.select(
        "symbol",
        "calendar",
        listed_from=pl.col("first_session").fill_null(dt.date.min),
        listed_until=pl.col("last_session").fill_null(dt.date.max),
    ).sort("symbol")
    last = pl.min_horizontal("last_day", "listed_until")
    first = pl.max_horizontal("first_day", "listed_from")
    days = (last - first).dt.total_days() + 1
    bars = pl.when(_halted(config.halts)).then(0).otherwise(pl.col("bars_per_day") * days)
    return (
        listed.lazy()
        .join(
            _what_a_day_has(span, timeframes, config).lazy(),
            on="calendar",
            maintain_order="left_right",
        )
        .filter(first <= last)
        .with_columns(expected_rows=bars.cast(pl.Int32))
        .select(GRID_SCHEMA.names())
        .collect()
    )


def require_within_a_day(timeframes: Sequence[str], *, where: str) -> None:
    """Refuse bars of weeks and months: they belong to no session.

    Raises:
        InputError: a timeframe is longer than a day or unknown.
    """
    strangers = [name for name in timeframes if name not in BAR_MINUTES]
    if strangers:
        raise InputError(
            f"{', '.join(strangers)}: not bars of a session",
            where=where,
            fix=f"name timeframes among {', '.join(BAR_MINUTES)}",
        )


def _what_a_day_has(
    span: SessionSpan, timeframes: Sequence[str], config: LedgerConfig
) -> pl.DataFrame:
    """Bars per day of trading and due times, by calendar, session and timeframe."""
    sessions = pl.Series("session", span.sessions, dtype=pl.Date)
    short = {each.session: each.minutes for each in config.short_sessions}
    minutes = pl.DataFrame(
        {"session": sessions, "minutes": session_minutes(sessions)}
    ).with_columns(
        minutes=pl.coalesce(
            pl.col("session").replace_strict(short, default=None, return_dtype=pl.Int64), "minutes"
        )
    )
    around_the_clock = pl.col("calendar") == ROUND_THE_CLOCK
    traded = pl.when(around_the_clock).then(MINUTES_PER_DAY).otherwise("minutes")
    widths = pl.DataFrame(
        {"timeframe": list(timeframes), "width": [BAR_MINUTES[name] for name in timeframes]}
    ).sort("timeframe")
    whole_bars = (traded + pl.col("width") - 1) // pl.col("width")
    return (
        trading_hours(sessions)
        .join(minutes, on="session", validate="m:1")
        .sort("calendar", "session")
        .join(widths, how="cross")
        .select(
            "calendar",
            "timeframe",
            "session",
            "first_day",
            "last_day",
            bars_per_day=whole_bars,
            due_at=pl.col("closes_at") + dt.timedelta(hours=config.due_hours),
        )
    )


def _halted(halts: Sequence[HaltConfig]) -> pl.Expr:
    """Whether a configured halt covers the cell; one of all symbols is the exchange's."""
    halted = pl.lit(False)
    for halt in halts:
        during = pl.col("session").is_between(halt.first_session, halt.last_session)
        of_whom = (
            pl.col("calendar") == XNYS
            if halt.symbols is None
            else pl.col("symbol").is_in(halt.symbols)
        )
        halted = halted | (during & of_whom)
    return halted
