import datetime as dt

import polars as pl
import pytest

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions.listing import trading_hours

FRIDAY, MONDAY = dt.date(2024, 3, 8), dt.date(2024, 3, 11)
"""New York moved its clocks on the Sunday between."""


def utc(month, day, hour, minute=0):
    return dt.datetime(2024, month, day, hour, minute, tzinfo=dt.UTC)


def hours_of(calendar, session):
    hours = trading_hours(pl.Series([MONDAY, FRIDAY]))
    (row,) = hours.filter(calendar=calendar, session=session).drop("calendar", "session").rows()
    return row


def test_an_exchange_trades_on_its_session_alone():
    assert hours_of("XNYS", FRIDAY) == (
        *(FRIDAY, FRIDAY),
        *(utc(3, 8, 14, 30), utc(3, 8, 21)),
        *(utc(3, 8, 5), utc(3, 9, 5)),
    )
    assert hours_of("XNYS", MONDAY) == (
        *(MONDAY, MONDAY),
        *(utc(3, 11, 13, 30), utc(3, 11, 20)),
        *(utc(3, 11, 4), utc(3, 12, 4)),
    )


def test_around_the_clock_a_session_reaches_back_to_the_one_before():
    assert hours_of("24/7", MONDAY) == (
        *(dt.date(2024, 3, 9), MONDAY),
        *(utc(3, 9, 0), utc(3, 12, 0)),
        *(utc(3, 9, 0), utc(3, 12, 0)),
    )


def test_a_day_without_a_session_is_refused():
    with pytest.raises(InputError, match="not an XNYS session"):
        trading_hours(pl.Series([dt.date(2024, 3, 9)]))
