import datetime as dt
import itertools
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions import NEW_YORK, offset_session, session_close, sessions_between
from turbomode_assets.sessions.timetable import (
    due_sessions,
    due_time,
    newest_due_session,
    next_due,
)

INGESTION, BACKTEST, WEEKLY = "45 22 * * 1-5", "0 0 * * 2-6", "0 2 * * 0"
YEARS = sessions_between(dt.date(2016, 1, 1), dt.date(2017, 12, 31))
DAY = dt.timedelta(days=1)


def day(text):
    return dt.date.fromisoformat(text)


def at(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(NEW_YORK))


def local(moment):
    return f"{moment.astimezone(ZoneInfo(NEW_YORK)):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("cron", "session", "due"),
    [
        (INGESTION, "2017-11-10", "2017-11-10 22:45"),
        (INGESTION, "2017-11-24", "2017-11-24 22:45"),
        ("0 14 * * 1-5", "2017-11-24", "2017-11-24 14:00"),
        ("0 14 * * 1-5", "2017-11-22", "2017-11-23 14:00"),
        (INGESTION, "2017-11-22", "2017-11-22 22:45"),
        (BACKTEST, "2017-11-10", "2017-11-11 00:00"),
        (BACKTEST, "2017-11-09", "2017-11-10 00:00"),
        (WEEKLY, "2017-11-06", "2017-11-12 02:00"),
        (WEEKLY, "2017-11-10", "2017-11-12 02:00"),
        (INGESTION, "2012-10-26", "2012-10-26 22:45"),
        (WEEKLY, "2012-10-26", "2012-10-28 02:00"),
    ],
    ids=[
        "friday",
        "half day, in the evening",
        "half day, before a whole day's close",
        "whole day, next time on a holiday",
        "eve of thanksgiving",
        "after midnight into saturday",
        "after midnight",
        "monday counts towards sunday",
        "friday too",
        "before the hurricane",
        "the sunday before it",
    ],
)
def test_a_session_is_due_at_the_first_time_after_its_close(cron, session, due):
    assert local(due_time(cron, day(session), NEW_YORK)) == due


@pytest.mark.parametrize(
    ("cron", "session", "due"),
    [
        (WEEKLY, "2017-03-10", "2017-03-12T07:00"),
        ("30 2 * * 0", "2017-03-10", "2017-03-12T07:00"),
        (WEEKLY, "2017-03-17", "2017-03-19T06:00"),
        ("30 1 * * 0", "2017-11-03", "2017-11-05T05:30"),
        (WEEKLY, "2017-11-03", "2017-11-05T07:00"),
        (INGESTION, "2017-11-03", "2017-11-04T02:45"),
        (INGESTION, "2017-11-06", "2017-11-07T03:45"),
    ],
    ids=[
        "02:00 does not exist: 03:00",
        "nor does 02:30",
        "the sunday after",
        "01:30 comes twice: the first",
        "02:00 after the repeated hour",
        "evening before the change",
        "evening after it",
    ],
)
def test_a_clock_change_neither_loses_nor_repeats_a_time(cron, session, due):
    assert due_time(cron, day(session), NEW_YORK) == dt.datetime.fromisoformat(due + "+00:00")


@pytest.mark.parametrize("cron", [WEEKLY, "30 2 * * 0", "30 1 * * 0"])
def test_every_sunday_of_two_years_has_one_due_time(cron):
    times = {due_time(cron, session, NEW_YORK) for session in YEARS}
    days = sorted(moment.astimezone(ZoneInfo(NEW_YORK)).date() for moment in times)
    assert len(set(days)) == len(days) == 104
    assert {later - earlier for earlier, later in itertools.pairwise(days)} == {7 * DAY}


@pytest.mark.parametrize(
    ("cron", "now", "newest", "later", "due"),
    [
        (INGESTION, "2017-11-10 22:44", "2017-11-09", "2017-11-10", "2017-11-10 22:45"),
        (INGESTION, "2017-11-10 22:45", "2017-11-10", "2017-11-13", "2017-11-13 22:45"),
        (INGESTION, "2017-11-12 12:00", "2017-11-10", "2017-11-13", "2017-11-13 22:45"),
        (INGESTION, "2017-11-23 23:00", "2017-11-22", "2017-11-24", "2017-11-24 22:45"),
        (BACKTEST, "2017-11-10 23:59", "2017-11-09", "2017-11-10", "2017-11-11 00:00"),
        (WEEKLY, "2017-11-11 12:00", "2017-11-03", "2017-11-10", "2017-11-12 02:00"),
        (WEEKLY, "2012-10-30 12:00", "2012-10-26", "2012-11-02", "2012-11-04 02:00"),
    ],
)
def test_the_newest_and_the_next_are_told_apart_by_the_minute(cron, now, newest, later, due):
    assert newest_due_session(cron, NEW_YORK, at(now)) == day(newest)
    session, moment = next_due(cron, NEW_YORK, at(now))
    assert (session, local(moment)) == (day(later), due)


def test_what_became_due_of_late_is_named_with_the_oldest_first():
    now = at("2017-11-24 23:00")
    assert due_sessions(INGESTION, NEW_YORK, now, 3 * DAY) == [
        day("2017-11-22"),
        day("2017-11-24"),
    ]
    assert due_sessions(INGESTION, NEW_YORK, now, DAY / 96) == [day("2017-11-24")]
    assert due_sessions(INGESTION, NEW_YORK, now, DAY / 97) == []
    week = [day(f"2017-11-{number:02}") for number in (13, 14, 15, 16, 17)]
    assert due_sessions(WEEKLY, NEW_YORK, at("2017-11-19 02:00"), DAY) == week


@given(st.sampled_from(YEARS), st.sampled_from([INGESTION, BACKTEST, WEEKLY, "*/15 * * * *"]))
def test_due_times_lie_after_the_close_and_never_turn_back(session, cron):
    due = due_time(cron, session, NEW_YORK)
    assert due > session_close(session)
    assert due <= due_time(cron, offset_session(session, 1), NEW_YORK)
    assert newest_due_session(cron, NEW_YORK, due) >= session
    assert newest_due_session(cron, NEW_YORK, due - dt.timedelta(seconds=1)) < session


def test_a_day_that_is_no_session_is_refused():
    with pytest.raises(InputError, match="2017-11-23"):
        due_time(INGESTION, day("2017-11-23"), NEW_YORK)
