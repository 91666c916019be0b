"""How long sessions last, and into how many intraday bars they divide."""

import polars as pl

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.timeframes import INTRADAY_MINUTES
from turbomode_assets.sessions.calendar import session_closes, session_opens

MINUTES_PER_DAY = 1440
"""Length of a UTC day, which is what a 24/7 instrument's bars are counted in."""


def session_minutes(sessions: pl.Series) -> pl.Series:
    """Minutes from open to close of each XNYS session: 390, or 210 on half days.

    Raises:
        InputError: a day is missing or no session.
    """
    length = session_closes(sessions) - session_opens(sessions)
    return length.dt.total_minutes().alias(sessions.name)


def bars_in_sessions(sessions: pl.Series, timeframe: str) -> pl.Series:
    """Bars of an intraday timeframe in each XNYS session, counted from its open.

    The last one is shorter than the others where the session's length is no multiple of theirs.

    Raises:
        InputError: a day is missing or no session, or the timeframe is not intraday.
    """
    if timeframe not in INTRADAY_MINUTES:
        raise InputError(
            f"{timeframe!r} does not divide a session",
            where="bars_in_sessions",
            fix=f"name one of {', '.join(INTRADAY_MINUTES)}",
        )
    minutes = INTRADAY_MINUTES[timeframe]
    return (session_minutes(sessions) + minutes - 1) // minutes
