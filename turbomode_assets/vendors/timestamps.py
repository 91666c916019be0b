"""Where a daily candle starts, in UTC."""

import polars as pl

from turbomode_assets.sessions import session_opens

XNYS = "XNYS"
ROUND_THE_CLOCK = "24/7"


def daily_bar_starts(days: pl.Series, calendar: str) -> pl.Series:
    """Start of the daily candle of each day: the XNYS open, or midnight UTC around the clock.

    Raises:
        InputError: a day is no session of XNYS.
    """
    if calendar == ROUND_THE_CLOCK:
        return days.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return session_opens(days)
