import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from turbomode_assets.sessions import SessionSpan, session_open
from turbomode_assets.vendors.ibkr.bars import ended, join_bars, read_reply
from turbomode_assets.vendors.ibkr.errors import MalformedError
from turbomode_assets.vendors.ibkr.planning import Piece, plan
from turbomode_assets.vendors.protocol import CANDLE_SCHEMA
from turbomode_assets_tests.vendors.ib_vendors import REQUESTS

XNYS, CRYPTO = "XNYS", "24/7"
LATER = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
MONDAY = dt.date(2024, 12, 2)
HALF_DAY = dt.date(2024, 11, 29)


@dataclass
class Bar:
    date: dt.date | dt.datetime
    open: float = 10.0
    high: float = 12.0
    low: float = 9.0
    close: float = 11.0
    volume: float = 100.0
    average: float = 10.5
    barCount: int = 7  # noqa: N815


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def piece(timeframe: str, first: dt.date, last: dt.date | None = None, calendar=XNYS) -> Piece:
    (only,) = plan(SessionSpan(first, last or first), calendar, REQUESTS[timeframe], LATER)
    return only


def half_hours(session: dt.date, count: int, **values) -> list[Bar]:
    step = dt.timedelta(minutes=30)
    return [Bar(session_open(session) + number * step, **values) for number in range(count)]


def starts(frame: pl.DataFrame) -> list[str]:
    return [f"{moment:%m-%d %H:%M}" for moment in frame["ts"]]


def test_daily_bars_start_at_the_open_of_their_session():
    bars = [Bar(dt.date(2024, 3, 8)), Bar(dt.date(2024, 3, 11))]
    frame = read_reply(bars, piece("1d", dt.date(2024, 3, 8), dt.date(2024, 3, 11)), XNYS)
    assert frame.schema == CANDLE_SCHEMA
    # Summer time begins in between.
    assert starts(frame) == ["03-08 14:30", "03-11 13:30"]
    assert frame.row(0) == (utc("2024-03-08 14:30"), 10.0, 12.0, 9.0, 11.0, 100.0, 10.5, 7)


def test_daily_bars_of_a_24_7_instrument_start_at_midnight_utc():
    bars = [Bar(MONDAY - dt.timedelta(days=days)) for days in (2, 1, 0)]
    frame = read_reply(bars, piece("1d", MONDAY, calendar=CRYPTO), CRYPTO)
    assert starts(frame) == ["11-30 00:00", "12-01 00:00", "12-02 00:00"]


def test_unknown_volumes_averages_and_counts_are_null():
    bars = [Bar(MONDAY, volume=-1, average=-1, barCount=-1)]
    frame = read_reply(bars, piece("1d", MONDAY), XNYS)
    assert frame.select("volume", "vwap", "trades").row(0) == (None, None, None)
    bars = [Bar(MONDAY, volume=0, average=0, barCount=0)]
    frame = read_reply(bars, piece("1d", MONDAY), XNYS)
    assert frame.select("volume", "vwap", "trades").row(0) == (0.0, None, 0)


def test_high_below_low_is_left_to_curation():
    frame = read_reply([Bar(MONDAY, high=1.0)], piece("1d", MONDAY), XNYS)
    assert frame["high"].to_list() == [1.0]


def test_bars_out_of_order_are_sorted_and_identical_ones_delivered_once():
    bars = half_hours(MONDAY, 3)
    frame = read_reply([bars[2], bars[0], bars[1], bars[0]], piece("1h", MONDAY), XNYS)
    assert starts(frame) == ["12-02 14:30", "12-02 15:00", "12-02 15:30"]


def test_bars_of_days_that_another_request_answers_for_are_left_out():
    bars = [Bar(MONDAY - dt.timedelta(days=days)) for days in (300, 5, 0)]
    frame = read_reply(bars, piece("1d", MONDAY), XNYS)
    assert starts(frame) == ["12-02 14:30"]


def test_a_reply_without_a_bar_of_its_days_is_empty():
    for bars, timeframe in (
        ([Bar(MONDAY - dt.timedelta(days=5))], "1d"),
        (half_hours(dt.date(2024, 11, 27), 2), "1h"),
    ):
        assert read_reply(bars, piece(timeframe, MONDAY), XNYS).is_empty()


def test_bars_outside_the_hours_of_the_session_are_left_out():
    after_the_close = Bar(utc("2024-11-29 18:00"))
    before_the_open = Bar(utc("2024-11-29 14:00"))
    bars = [before_the_open, *half_hours(HALF_DAY, 7), after_the_close]
    frame = read_reply(bars, piece("1h", HALF_DAY), XNYS)
    assert starts(frame)[0] == "11-29 14:30"
    assert starts(frame)[-1] == "11-29 17:30"
    assert frame.height == 7


@pytest.mark.parametrize("name", ["open", "high", "low", "close"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0, None, "12"])
def test_values_that_are_no_prices_are_malformed(name, value):
    with pytest.raises(MalformedError):
        read_reply([replace(Bar(MONDAY), **{name: value})], piece("1d", MONDAY), XNYS)


@pytest.mark.parametrize("name", ["volume", "average"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "12"])
def test_volumes_and_averages_that_are_no_numbers_are_malformed(name, value):
    with pytest.raises(MalformedError):
        read_reply([replace(Bar(MONDAY), **{name: value})], piece("1d", MONDAY), XNYS)


@pytest.mark.parametrize(
    ("timeframe", "moment", "message"),
    [
        ("1d", utc("2024-12-02 14:30"), "no time of a bar of 1 day"),
        ("1h", MONDAY, "no time of a bar of 30 mins"),
        ("1h", dt.datetime(2024, 12, 2, 14, 30), "no time of a bar"),  # noqa: DTZ001
        ("1d", dt.date(2024, 12, 4), "is not from"),
        ("1d", dt.date(2023, 11, 30), "is not from"),
        ("1h", utc("2024-12-02 14:45"), "beside the grid"),
    ],
)
def test_bars_of_another_time_are_malformed(timeframe, moment, message):
    with pytest.raises(MalformedError, match=message):
        read_reply([Bar(moment)], piece(timeframe, MONDAY), XNYS)


def test_a_bar_on_a_holiday_is_malformed():
    thanksgiving = dt.date(2024, 11, 28)
    week = piece("1d", dt.date(2024, 11, 27), MONDAY)
    with pytest.raises(MalformedError, match="2024-11-28 00:00: lies on a day without a session"):
        read_reply([Bar(thanksgiving)], week, XNYS)


def test_two_bars_of_one_time_that_differ_are_malformed():
    bars = half_hours(MONDAY, 2)
    with pytest.raises(MalformedError, match="contradicts another bar of the same time"):
        read_reply([*bars, replace(bars[1], close=11.5)], piece("1h", MONDAY), XNYS)


def test_half_hours_are_joined_into_hours_by_hand():
    first = Bar(utc("2024-12-02 14:30"), 10, 12, 9, 11, volume=100, average=10.0, barCount=5)
    second = Bar(utc("2024-12-02 15:00"), 11, 15, 10, 14, volume=300, average=12.0, barCount=6)
    frame = read_reply([first, second], piece("1h", MONDAY), XNYS)
    # (100 * 10 + 300 * 12) / 400 = 11.5
    assert join_bars(frame, XNYS, 60).rows() == [
        (utc("2024-12-02 14:30"), 10.0, 15.0, 9.0, 14.0, 400.0, 11.5, 11)
    ]


def test_hours_are_counted_from_the_open_and_the_last_is_short():
    frame = read_reply(half_hours(MONDAY, 13), piece("1h", MONDAY), XNYS)
    hours = join_bars(frame, XNYS, 60)
    assert starts(hours) == [f"12-02 {hour}:30" for hour in range(14, 21)]
    assert hours["trades"].to_list() == [14] * 6 + [7]


def test_a_half_day_has_three_hours_and_a_short_one():
    frame = read_reply(half_hours(HALF_DAY, 7), piece("1h", HALF_DAY), XNYS)
    hours = join_bars(frame, XNYS, 60)
    assert starts(hours) == [f"11-29 {hour}:30" for hour in range(14, 18)]
    assert hours["trades"].to_list() == [14] * 3 + [7]


def test_hours_follow_the_open_over_a_change_of_the_clock():
    friday, monday = dt.date(2024, 3, 8), dt.date(2024, 3, 11)
    bars = half_hours(friday, 2) + half_hours(monday, 2)
    hours = join_bars(read_reply(bars, piece("1h", friday, monday), XNYS), XNYS, 60)
    assert starts(hours) == ["03-08 14:30", "03-11 13:30"]


def test_hours_of_a_24_7_instrument_are_counted_from_midnight_utc():
    bars = [Bar(utc(f"2024-12-02 {hour:02}:{minute}")) for hour in (0, 23) for minute in ("00", 30)]
    frame = read_reply(bars, piece("1h", MONDAY, calendar=CRYPTO), CRYPTO)
    assert starts(join_bars(frame, CRYPTO, 60)) == ["12-02 00:00", "12-02 23:00"]


def test_an_hour_without_its_first_half_keeps_its_place():
    frame = read_reply(half_hours(MONDAY, 4)[1:], piece("1h", MONDAY), XNYS)
    assert starts(join_bars(frame, XNYS, 60)) == ["12-02 14:30", "12-02 15:30"]


def test_what_is_unknown_of_a_half_hour_is_unknown_of_its_hour():
    first, second = half_hours(MONDAY, 2)
    frame = read_reply([first, replace(second, average=-1, barCount=-1)], piece("1h", MONDAY), XNYS)
    assert join_bars(frame, XNYS, 60).select("volume", "vwap", "trades").row(0) == (200, None, None)
    # A half hour without trades weighs nothing, whatever its average.
    frame = read_reply([first, replace(second, average=-1, volume=0)], piece("1h", MONDAY), XNYS)
    assert join_bars(frame, XNYS, 60).select("volume", "vwap").row(0) == (100.0, 10.5)


DRAWN = st.lists(
    st.tuples(
        st.integers(0, 12),
        *(st.floats(1, 1000) for _ in range(4)),
        st.integers(0, 10_000),
        st.integers(-1, 500),
    ),
    min_size=1,
    unique_by=lambda values: values[0],
)


@settings(max_examples=50)
@given(DRAWN, st.sampled_from([dt.date(2024, 3, 8), dt.date(2024, 3, 11), MONDAY]))
def test_joining_agrees_with_a_slow_loop(drawn, session):
    slots = half_hours(session, 13)
    bars = [
        Bar(slots[number].date, *prices, volume=volume, average=(prices[0] + prices[3]) / 2,
            barCount=count)
        for number, *prices, volume, count in drawn
    ]  # fmt: skip
    joined = join_bars(read_reply(bars, piece("1h", session), XNYS), XNYS, 60)
    assert_frame_equal(joined, joined_slowly(bars, session), check_exact=False, rel_tol=1e-12)


def joined_slowly(bars: list[Bar], session: dt.date) -> pl.DataFrame:
    opened, hours = session_open(session), defaultdict(list)
    for bar in sorted(bars, key=lambda bar: bar.date):
        hours[int((bar.date - opened).total_seconds() // 3600)].append(bar)
    rows = []
    for hour, members in hours.items():
        volume = sum(bar.volume for bar in members)
        counts = [bar.barCount for bar in members]
        average = sum(bar.average * bar.volume for bar in members) / volume if volume else None
        rows.append(
            {
                "ts": opened + hour * dt.timedelta(hours=1),
                "open": members[0].open,
                "high": max(bar.high for bar in members),
                "low": min(bar.low for bar in members),
                "close": members[-1].close,
                "volume": float(volume),
                "vwap": average,
                "trades": None if -1 in counts else sum(counts),
            }
        )
    return pl.DataFrame(rows, schema=CANDLE_SCHEMA)


@pytest.mark.parametrize(
    ("timeframe", "now", "count"),
    [
        ("1m", "2024-11-29 14:31:59", 1),
        ("1m", "2024-11-29 14:32:00", 2),
        ("1h", "2024-11-29 15:29:59", 0),
        ("1h", "2024-11-29 15:30:00", 1),
        ("1h", "2024-11-29 17:59:59", 3),
        ("1h", "2024-11-29 18:00:00", 4),
        ("1d", "2024-11-29 17:59:59", 0),
        ("1d", "2024-11-29 18:00:00", 1),
    ],
)
def test_a_bar_ends_after_its_length_or_with_its_session(timeframe, now, count):
    minutes = {"1m": 1, "1h": 60, "1d": 210}[timeframe]
    opened = session_open(HALF_DAY)
    moments = [opened + dt.timedelta(minutes=at) for at in range(0, 210, minutes)]
    frame = pl.DataFrame({"ts": moments}, schema={"ts": CANDLE_SCHEMA["ts"]})
    assert ended(frame, XNYS, timeframe, utc(now)).height == count


def test_a_day_of_a_24_7_instrument_ends_at_midnight_utc():
    frame = pl.DataFrame({"ts": [utc("2024-11-29")]}, schema={"ts": CANDLE_SCHEMA["ts"]})
    assert ended(frame, CRYPTO, "1d", utc("2024-11-29 23:59:59")).is_empty()
    assert ended(frame, CRYPTO, "1d", utc("2024-11-30")).height == 1
