import datetime as dt
from zoneinfo import ZoneInfo

import exchange_calendars
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions import (
    CALENDAR_END,
    FIRST_SESSION,
    closures,
    is_session,
    last_closed_session,
    offset_session,
    require_session,
    session_close,
    session_index,
    session_indices,
    session_of,
    session_open,
    sessions_between,
    sessions_of,
)

UTC = dt.UTC
NEW_YORK = ZoneInfo("America/New_York")
SPECIAL_CLOSURES = [
    dt.date(2001, 9, 11),
    dt.date(2001, 9, 12),
    dt.date(2001, 9, 13),
    dt.date(2001, 9, 14),
    dt.date(2004, 6, 11),
    dt.date(2007, 1, 2),
    dt.date(2012, 10, 29),
    dt.date(2012, 10, 30),
    dt.date(2018, 12, 5),
    dt.date(2025, 1, 9),
]
HALF_DAYS = [
    dt.date(2001, 11, 23),
    dt.date(2002, 7, 5),
    dt.date(2003, 12, 26),
    dt.date(2013, 7, 3),
    dt.date(2018, 12, 24),
    dt.date(2024, 7, 3),
    dt.date(2024, 11, 29),
    dt.date(2024, 12, 24),
    dt.date(2026, 11, 27),
]

days_of_two_decades = st.dates(dt.date(2004, 1, 2), dt.date(2025, 12, 31))


@pytest.fixture(scope="module")
def reference():
    """The library's own calendar over two decades, built with other bounds than ours."""
    return exchange_calendars.get_calendar("XNYS", start="2000-01-03", end="2026-12-31").schedule


def test_every_day_of_27_years_agrees_with_the_reference(reference):
    expected = {stamp.date() for stamp in reference.index}
    day, last = dt.date(2000, 1, 3), dt.date(2026, 12, 31)
    while day <= last:
        assert is_session(day) == (day in expected), day
        day += dt.timedelta(days=1)


def test_every_open_and_close_of_27_years_agrees_with_the_reference(reference):
    for stamp, opens, closes in zip(
        reference.index, reference["open"], reference["close"], strict=True
    ):
        assert session_open(stamp.date()) == opens.to_pydatetime()
        assert session_close(stamp.date()) == closes.to_pydatetime()


@pytest.mark.parametrize("day", SPECIAL_CLOSURES)
def test_special_closures_are_no_sessions(day):
    assert day.weekday() < 5
    assert not is_session(day)
    assert day in closures()


@pytest.mark.parametrize(
    ("day", "open_for_trade"),
    [
        (dt.date(2024, 3, 29), False),  # Good Friday
        (dt.date(2021, 6, 18), True),  # before the exchange kept Juneteenth
        (dt.date(2022, 6, 20), False),  # Juneteenth on a Sunday, kept on Monday
        (dt.date(2021, 12, 31), True),  # New Year on a Saturday is not kept on Friday
        (dt.date(2023, 1, 2), False),  # New Year on a Sunday is kept on Monday
        (dt.date(2024, 11, 28), False),  # Thanksgiving
    ],
)
def test_holidays_follow_the_rules_of_the_exchange(day, open_for_trade):
    assert is_session(day) == open_for_trade


@pytest.mark.parametrize("session", HALF_DAYS)
def test_half_days_close_at_one(session):
    assert session_close(session).astimezone(NEW_YORK).time() == dt.time(13)


@pytest.mark.parametrize(
    ("session", "hour_utc"),
    [
        (dt.date(2024, 3, 8), 21),  # the Friday before New York's clocks change
        (dt.date(2024, 3, 11), 20),  # the Monday after; Europe's clocks have not changed yet
        (dt.date(2024, 11, 1), 20),
        (dt.date(2024, 11, 4), 21),
        (dt.date(2006, 4, 3), 20),  # until 2006 the change came in April
    ],
)
def test_closes_follow_the_clocks_of_new_york(session, hour_utc):
    assert session_close(session) == dt.datetime.combine(session, dt.time(hour_utc), UTC)


@pytest.mark.parametrize(
    ("moment", "session"),
    [
        # An ordinary Wednesday.
        ("2024-07-10 15:59:59", "2024-07-09"),
        ("2024-07-10 16:00:00", "2024-07-10"),
        ("2024-07-10 09:00:00", "2024-07-09"),
        # After midnight in New York the calendar day is already the next session.
        ("2024-07-11 00:05:00", "2024-07-10"),
        # Half day before Independence Day, and the holiday itself.
        ("2024-07-03 12:59:59", "2024-07-02"),
        ("2024-07-03 13:00:00", "2024-07-03"),
        ("2024-07-04 20:00:00", "2024-07-03"),
        # The half day after Thanksgiving.
        ("2026-11-27 12:59:59", "2026-11-25"),
        ("2026-11-27 13:00:00", "2026-11-27"),
        # Weekend and Monday morning.
        ("2024-07-13 12:00:00", "2024-07-12"),
        ("2024-07-15 15:59:59", "2024-07-12"),
        # Around the change of clocks.
        ("2024-03-08 16:00:00", "2024-03-08"),
        ("2024-03-11 15:59:59", "2024-03-08"),
        ("2024-03-11 16:00:00", "2024-03-11"),
        ("2024-11-04 15:59:59", "2024-11-01"),
        ("2024-11-04 16:00:00", "2024-11-04"),
        # Four days without trade.
        ("2001-09-16 23:59:59", "2001-09-10"),
        ("2012-10-30 18:00:00", "2012-10-26"),
    ],
)
def test_a_session_counts_as_closed_from_its_close_on(moment, session):
    now = dt.datetime.fromisoformat(moment).replace(tzinfo=NEW_YORK)
    assert last_closed_session(now) == dt.date.fromisoformat(session)
    assert last_closed_session(now.astimezone(UTC)) == dt.date.fromisoformat(session)
    assert last_closed_session(now.astimezone(ZoneInfo("Asia/Tokyo"))) == dt.date.fromisoformat(
        session
    )


def test_last_closed_session_turns_over_at_each_close_of_a_year():
    for session in sessions_between(dt.date(2024, 1, 2), dt.date(2024, 12, 31)):
        close = session_close(session)
        assert last_closed_session(close) == session
        assert last_closed_session(close - dt.timedelta(seconds=1)) == offset_session(session, -1)


@pytest.mark.parametrize("year", [1990, 2040])
def test_a_time_outside_the_calendar_has_no_last_session(year):
    with pytest.raises(InputError, match="outside the session calendar"):
        last_closed_session(dt.datetime(year, 6, 1, tzinfo=UTC))


def test_a_time_without_zone_is_refused():
    with pytest.raises(InputError, match="names no time zone"):
        last_closed_session(dt.datetime(2024, 6, 3, 18))  # noqa: DTZ001 - the point of the test


@given(days_of_two_decades)
def test_a_day_belongs_to_itself_or_the_next_session(day):
    session = session_of(day)
    assert is_session(session)
    assert session >= day
    assert not any(
        is_session(day + dt.timedelta(days=offset)) for offset in range((session - day).days)
    )


@given(st.lists(days_of_two_decades, min_size=1, max_size=30))
def test_many_days_at_once_equal_one_by_one(days):
    assert sessions_of(pl.Series("day", days)).to_list() == [session_of(day) for day in days]


def test_many_days_keep_their_name_and_may_be_none():
    assert sessions_of(pl.Series("day", [dt.date(2024, 7, 4)])).name == "day"
    assert sessions_of(pl.Series("day", [], dtype=pl.Date)).dtype == pl.Date


@given(st.lists(days_of_two_decades.map(session_of), max_size=30))
def test_many_positions_at_once_equal_one_by_one(sessions):
    days = pl.Series("session", sessions, dtype=pl.Date)
    assert session_indices(days).to_list() == [session_index(session) for session in sessions]


@pytest.mark.parametrize("day", [dt.date(2024, 7, 4), dt.date(2024, 7, 6), dt.date(2032, 12, 25)])
def test_a_stranger_among_many_sessions_is_named(day):
    with pytest.raises(InputError, match=f"{day} .* is not an XNYS session"):
        session_indices(pl.Series("session", [dt.date(2024, 7, 3), day]))


@pytest.mark.parametrize("ask", [sessions_of, session_indices])
def test_missing_days_are_refused(ask):
    with pytest.raises(InputError, match="1 of 2 days are missing"):
        ask(pl.Series("day", [dt.date(2024, 7, 3), None]))


def test_days_outside_the_calendar_are_refused():
    with pytest.raises(InputError, match="1998-12-31 lies outside"):
        sessions_of(pl.Series("day", [dt.date(1998, 12, 31), dt.date(2024, 7, 3)]))
    with pytest.raises(InputError, match="2040-01-01 lies outside"):
        session_of(dt.date(2040, 1, 1))


@given(days_of_two_decades, st.integers(-300, 300))
def test_offsets_count_sessions_and_undo_each_other(day, count):
    session = session_of(day)
    moved = offset_session(session, count)
    assert session_index(moved) - session_index(session) == count
    assert offset_session(moved, -count) == session


def test_an_offset_across_thanksgiving_skips_it():
    assert offset_session(dt.date(2025, 11, 26), 1) == dt.date(2025, 11, 28)
    assert offset_session(dt.date(2025, 12, 1), -2) == dt.date(2025, 11, 26)


@pytest.mark.parametrize("count", [-400, 9000])
def test_an_offset_out_of_the_calendar_is_refused(count):
    with pytest.raises(InputError, match="leaves the session calendar"):
        offset_session(FIRST_SESSION, count)


def test_sessions_between_takes_both_ends_and_any_day():
    week = [dt.date(2024, 7, day) for day in (1, 2, 3, 5)]
    assert sessions_between(dt.date(2024, 6, 29), dt.date(2024, 7, 7)) == week
    assert sessions_between(week[0], week[-1]) == week
    assert sessions_between(dt.date(2024, 7, 6), dt.date(2024, 7, 7)) == []


def test_a_day_that_is_no_session_is_refused_with_its_neighbours():
    with pytest.raises(InputError) as caught:
        require_session(dt.date(2024, 7, 4), where="--partition")
    message = str(caught.value)
    assert "2024-07-04 (Thursday) is not an XNYS session" in message
    assert "2024-07-03 before it, 2024-07-05 after" in message
    assert "where: --partition" in message


def test_closures_and_sessions_make_up_all_weekdays():
    weekdays = {
        day
        for offset in range((dt.date(2026, 12, 31) - FIRST_SESSION).days + 1)
        if (day := FIRST_SESSION + dt.timedelta(days=offset)).weekday() < 5
    }
    closed = {day for day in closures() if day <= dt.date(2026, 12, 31)}
    assert closed | set(sessions_between(FIRST_SESSION, dt.date(2026, 12, 31))) == weekdays
    assert not any(is_session(day) for day in closed)


def test_the_first_partition_has_a_year_of_sessions_before_it():
    assert offset_session(FIRST_SESSION, -252) < FIRST_SESSION


def test_the_calendar_reaches_a_year_ahead_of_today():
    # The one test that reads the clock: it tells us in time to lay out more holidays.
    today = dt.datetime.now(tz=UTC).date()
    assert today + dt.timedelta(days=365) <= CALENDAR_END, "move CALENDAR_END on"
    assert sessions_between(today + dt.timedelta(days=350), CALENDAR_END)
