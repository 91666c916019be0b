import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.timeframes import INTRADAY_MINUTES
from turbomode_assets.sessions import (
    bars_in_sessions,
    session_close,
    session_closes,
    session_minutes,
    session_opens,
    sessions_between,
)

WHOLE, HALF = dt.date(2024, 7, 2), dt.date(2024, 7, 3)
SUNDAY = dt.date(2024, 7, 7)

BARS_OF_A_WHOLE_SESSION = {
    "1m": 390,
    "2m": 195,
    "3m": 130,
    "5m": 78,
    "10m": 39,
    "15m": 26,
    "20m": 20,
    "30m": 13,
    "90m": 5,
    "1h": 7,
    "2h": 4,
    "3h": 3,
    "4h": 2,
    "8h": 1,
}


def days(*values):
    return pl.Series("session", values, dtype=pl.Date)


def test_closes_are_given_in_utc_and_early_on_half_days():
    assert session_closes(days(WHOLE, HALF, dt.date(2024, 12, 24))).to_list() == [
        dt.datetime(2024, 7, 2, 20, tzinfo=dt.UTC),
        dt.datetime(2024, 7, 3, 17, tzinfo=dt.UTC),
        dt.datetime(2024, 12, 24, 18, tzinfo=dt.UTC),
    ]


def test_closes_follow_the_clocks_of_new_york():
    friday, monday = dt.date(2024, 3, 8), dt.date(2024, 3, 11)
    assert session_closes(days(friday, monday)).dt.hour().to_list() == [21, 20]


@given(st.lists(st.sampled_from(sessions_between(dt.date(2010, 1, 1), dt.date(2025, 12, 31)))))
def test_closes_of_many_sessions_are_the_closes_of_each(sessions):
    closes = session_closes(days(*sessions))
    assert closes.to_list() == [session_close(session) for session in sessions]
    assert closes.name == "session"
    assert closes.dtype == session_opens(days(WHOLE)).dtype


def test_a_day_without_a_session_has_no_close():
    with pytest.raises(InputError, match=r"2024-07-07 \(Sunday\) is not an XNYS session"):
        session_closes(days(WHOLE, SUNDAY))


def test_a_session_lasts_six_and_a_half_hours_and_a_half_day_three_and_a_half():
    assert session_minutes(days(WHOLE, HALF, dt.date(2015, 11, 27))).to_list() == [390, 210, 210]


def test_every_timeframe_divides_a_whole_session_into_the_bars_that_vendors_give():
    found = {name: bars_in_sessions(days(WHOLE), name).item() for name in INTRADAY_MINUTES}
    assert found == BARS_OF_A_WHOLE_SESSION


def test_a_half_day_has_fewer_bars_and_its_last_may_be_short():
    counts = {name: bars_in_sessions(days(HALF), name).item() for name in ("1m", "90m", "1h", "8h")}
    assert counts == {"1m": 210, "90m": 3, "1h": 4, "8h": 1}


def test_a_day_is_no_part_of_a_session():
    with pytest.raises(InputError, match="'1d' does not divide a session"):
        bars_in_sessions(days(WHOLE), "1d")
