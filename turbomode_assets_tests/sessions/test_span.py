import datetime as dt

import pytest

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions import SessionSpan

WEEK = SessionSpan(dt.date(2024, 7, 1), dt.date(2024, 7, 5))


def test_a_span_holds_both_ends_and_skips_holidays():
    assert WEEK.sessions == [dt.date(2024, 7, day) for day in (1, 2, 3, 5)]


def test_a_single_session_is_a_span():
    day = dt.date(2024, 7, 3)
    assert SessionSpan(day, day).sessions == [day]
    assert str(SessionSpan(day, day)) == "2024-07-03"


def test_a_span_is_written_as_a_partition_range():
    assert str(WEEK) == "2024-07-01...2024-07-05"


def test_the_weekend_before_belongs_to_the_span():
    assert WEEK.first_day == dt.date(2024, 6, 29)
    assert SessionSpan(dt.date(2024, 7, 5), dt.date(2024, 7, 5)).first_day == dt.date(2024, 7, 4)


def test_trailing_adds_sessions_before_it():
    assert WEEK.trailing(0) == WEEK
    assert WEEK.trailing(9) == SessionSpan(dt.date(2024, 6, 17), WEEK.last)
    assert len(WEEK.trailing(9).sessions) == len(WEEK.sessions) + 9


def test_ends_must_be_sessions():
    with pytest.raises(InputError, match=r"2024-07-04 \(Thursday\) is not an XNYS session"):
        SessionSpan(dt.date(2024, 7, 3), dt.date(2024, 7, 4))


def test_ends_must_stand_the_right_way_round():
    with pytest.raises(InputError, match=r"cannot end \(2024-07-01\) before"):
        SessionSpan(WEEK.last, WEEK.first)
