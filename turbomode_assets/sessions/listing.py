"""When the instruments of each calendar trade in a session: days, hours, and the end of them."""

import datetime as dt

import polars as pl

from turbomode_assets.sessions.calendar import (
    NEW_YORK,
    offset_session,
    session_closes,
    session_opens,
)

XNYS = "XNYS"
ROUND_THE_CLOCK = "24/7"

_DAY = dt.timedelta(days=1)
_STAMP = pl.Datetime("us")


def trading_hours(sessions: pl.Series) -> pl.DataFrame:
    """For each calendar and session: what trades there, and when.

    `first_day` to `last_day` are the days of trading that belong to the session, each of them
    worth one daily candle: the session itself, or around the clock every UTC day after the
    previous session. `opens_at` to `closes_at` is when intraday bars start (counted from
    `opens_at`), `days_from` to `days_until` when daily candles may: the ends are not included.

    Raises:
        InputError: a day is missing or no session.
    """
    sessions = sessions.unique().sort().alias("session")
    closes = session_closes(sessions)
    previous = [offset_session(session, -1) for session in sessions]
    exchange = pl.DataFrame({"session": sessions}).select(
        calendar=pl.lit(XNYS),
        session="session",
        first_day="session",
        last_day="session",
        opens_at=session_opens(sessions),
        closes_at=closes,
        days_from=_midnight(pl.col("session"), NEW_YORK),
        days_until=_midnight(pl.col("session") + _DAY, NEW_YORK),
    )
    days = pl.DataFrame({"session": sessions, "previous": pl.Series(previous, dtype=pl.Date)})
    begin = _midnight(pl.col("previous") + _DAY, "UTC")
    end = _midnight(pl.col("session") + _DAY, "UTC")
    around_the_clock = days.select(
        calendar=pl.lit(ROUND_THE_CLOCK),
        session="session",
        first_day=pl.col("previous") + _DAY,
        last_day="session",
        opens_at=begin,
        closes_at=end,
        days_from=begin,
        days_until=end,
    )
    return pl.concat([exchange, around_the_clock])


def _midnight(day: pl.Expr, zone: str) -> pl.Expr:
    """Start of a calendar day of a time zone, in UTC."""
    return day.cast(_STAMP).dt.replace_time_zone(zone).dt.convert_time_zone("UTC")
