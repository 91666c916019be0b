import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.config.vendors import IbkrRequestConfig
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets.sessions import (
    SessionSpan,
    offset_session,
    session_close,
    session_of,
    session_open,
    sessions_between,
)
from turbomode_assets.vendors.ibkr.planning import Piece, check_requests, plan
from turbomode_assets_tests.vendors.ib_vendors import REQUESTS, ib_config

LATER = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
MINUTES, HOURS, DAYS = REQUESTS["1m"], REQUESTS["1h"], REQUESTS["1d"]
XNYS, CRYPTO = "XNYS", "24/7"


def span(first: str, last: str | None = None) -> SessionSpan:
    return SessionSpan(dt.date.fromisoformat(first), dt.date.fromisoformat(last or first))


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def test_the_shipped_requests_are_within_the_table():
    check_requests(ib_config())


@pytest.mark.parametrize(
    ("timeframe", "bar_size", "duration", "message"),
    [
        ("1m", "1 min", "10 D", "no '10 D' of '1 min'"),
        ("1m", "1 min", "2 D", "no '2 D' of '1 min'"),
        ("1h", "30 mins", "1 Y", "no '1 Y' of '30 mins'"),
        ("1h", "30 mins", "2 W", "no '2 W' of '30 mins'"),
        ("1d", "1 day", "2 Y", "no '2 Y' of '1 day'"),
        ("1m", "30 mins", "1 D", "'30 mins' do not make up 1m"),
        ("1h", "1 day", "1 D", "'1 day' do not make up 1h"),
        ("1d", "30 mins", "1 D", "'30 mins' do not make up 1d"),
    ],
)
def test_bars_and_durations_outside_the_table_are_refused(timeframe, bar_size, duration, message):
    wanted = {timeframe: IbkrRequestConfig(bar_size=bar_size, duration=duration)}
    with pytest.raises(ConfigurationError, match=message) as caught:
        check_requests(ib_config(requests=wanted))
    assert f"ibkr.requests.{timeframe}" in str(caught.value)
    assert "write one of" in str(caught.value)


@pytest.mark.parametrize(
    ("timeframe", "bar_size", "duration"),
    [("1h", "1 min", "1 D"), ("1h", "30 mins", "1 M"), ("1d", "1 day", "1 D")],
)
def test_rows_of_the_table_are_accepted(timeframe, bar_size, duration):
    wanted = {timeframe: IbkrRequestConfig(bar_size=bar_size, duration=duration)}
    check_requests(ib_config(requests=wanted))


def test_minutes_take_one_request_per_session_and_each_ends_at_its_close():
    pieces = plan(span("2024-11-27", "2024-12-02"), XNYS, MINUTES, LATER)
    # Thanksgiving is no session, the day after it ends at 13:00.
    assert [piece.end for piece in pieces] == [
        utc("2024-11-27 21:00"),
        utc("2024-11-29 18:00"),
        utc("2024-12-02 21:00"),
    ]
    assert all(piece.first_day == piece.last_day for piece in pieces)
    assert {(piece.duration, piece.bar_size) for piece in pieces} == {("1 D", "1 min")}


def test_the_close_moves_in_utc_when_summer_time_begins():
    pieces = plan(span("2024-03-08", "2024-03-11"), XNYS, MINUTES, LATER)
    assert [piece.end for piece in pieces] == [utc("2024-03-08 21:00"), utc("2024-03-11 20:00")]


def test_a_year_of_days_takes_one_request():
    (piece,) = plan(span("2024-01-02", "2024-12-31"), XNYS, DAYS, LATER)
    assert (piece.first_day, piece.last_day) == (dt.date(2024, 1, 2), dt.date(2024, 12, 31))


def test_twenty_years_of_days_take_twenty_requests():
    pieces = plan(span("2004-01-02", "2023-12-29"), XNYS, DAYS, LATER)
    assert len(pieces) == 20


def test_a_month_of_half_hours_takes_one_request_and_a_day_more_takes_two():
    (piece,) = plan(span("2024-05-01", "2024-05-31"), XNYS, HOURS, LATER)
    assert (piece.first_day, piece.last_day) == (dt.date(2024, 5, 1), dt.date(2024, 5, 31))
    assert len(plan(span("2024-04-30", "2024-05-31"), XNYS, HOURS, LATER)) == 2


def test_a_24_7_session_takes_the_days_since_the_last_one_up_to_midnight_utc():
    pieces = plan(span("2024-12-02"), CRYPTO, MINUTES, LATER)
    assert [piece.end for piece in pieces] == [
        utc("2024-12-01 00:00"),
        utc("2024-12-02 00:00"),
        utc("2024-12-03 00:00"),
    ]
    assert [piece.first_day.isoformat() for piece in pieces] == [
        "2024-11-30",
        "2024-12-01",
        "2024-12-02",
    ]


def test_nothing_is_asked_beyond_now():
    now = utc("2024-12-02 15:30:12.25")
    (piece,) = plan(span("2024-12-02"), XNYS, MINUTES, now)
    assert piece.end == utc("2024-12-02 15:30:12")
    assert plan(span("2024-12-03"), XNYS, MINUTES, now) == []
    assert plan(span("2024-12-02"), XNYS, MINUTES, utc("2024-12-02 14:30")) == []


def test_a_reply_in_days_may_reach_back_as_many_sessions():
    wanted = IbkrRequestConfig(bar_size="30 mins", duration="2 D")
    (piece,) = plan(span("2024-12-02"), XNYS, wanted, LATER)
    # Two sessions before Monday, and a day: whichever way IB counts the two days.
    assert piece.earliest_day == dt.date(2024, 11, 26)


def test_the_first_sessions_of_the_calendar_can_be_planned():
    first = dt.date(1999, 1, 5)
    assert plan(SessionSpan(first, first), XNYS, MINUTES, LATER)[0].earliest_day < first


SPANS = st.builds(
    lambda first, count: SessionSpan(session_of(first), offset_session(session_of(first), count)),
    st.dates(dt.date(2003, 1, 1), dt.date(2022, 1, 1)),
    st.integers(0, 300),
)
WANTED = st.sampled_from(
    [
        HOURS,
        DAYS,
        IbkrRequestConfig(bar_size="30 mins", duration="2 D"),
        IbkrRequestConfig(bar_size="30 mins", duration="1 W"),
        IbkrRequestConfig(bar_size="1 day", duration="1 D"),
    ]
)


@settings(max_examples=30)
@given(SPANS, WANTED, st.sampled_from([XNYS, CRYPTO]))
def test_pieces_answer_for_every_day_of_a_span_once(asked, wanted, calendar):
    pieces = plan(asked, calendar, wanted, LATER)
    days = [day for piece in pieces for day in days_of(piece, calendar)]
    if calendar == XNYS:
        assert days == asked.sessions
    else:
        assert days[0] == asked.first_day
        assert days[-1] == asked.last
        assert len(days) == len(set(days)) == (asked.last - asked.first_day).days + 1


@settings(max_examples=30)
@given(SPANS, WANTED)
def test_a_piece_lies_inside_its_duration_and_none_could_answer_for_a_day_more(asked, wanted):
    pieces = plan(asked, XNYS, wanted, LATER)
    longest = {"D": 1, "W": 7, "M": 31, "Y": 366}
    count, unit = wanted.duration.split()
    reach = dt.timedelta(days=int(count) * longest[unit])
    shortest = {"D": 1, "W": 7, "M": 28, "Y": 365}
    sure = dt.timedelta(days=int(count) * shortest[unit])
    for piece in pieces:
        assert piece.end == session_close(piece.last_day)
        assert piece.end - session_open(piece.first_day) <= reach
        assert piece.earliest_day < piece.first_day
    for piece in pieces[1:]:
        assert piece.end - session_open(offset_session(piece.first_day, -1)) > sure


def days_of(piece: Piece, calendar: str) -> list[dt.date]:
    if calendar == XNYS:
        return sessions_between(piece.first_day, piece.last_day)
    count = (piece.last_day - piece.first_day).days + 1
    return [piece.first_day + dt.timedelta(days=offset) for offset in range(count)]
