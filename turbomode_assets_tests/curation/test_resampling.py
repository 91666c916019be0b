import datetime as dt
import hashlib

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import ContractError, InputError, MissingDataError
from turbomode_assets.contracts.payload import payload_digests
from turbomode_assets.contracts.table import check_table
from turbomode_assets.contracts.tables import CANDLES
from turbomode_assets.contracts.timeframes import DERIVED_FROM, INTRADAY_MINUTES
from turbomode_assets.curation import first_day_of_periods, resample_calendar, resample_intraday
from turbomode_assets.sessions import (
    SessionSpan,
    bars_in_sessions,
    session_close,
    session_of,
    session_open,
    sessions_between,
)
from turbomode_assets_tests.curation.builders import (
    ARRIVED,
    candle,
    candles,
    instruments,
    splits,
)

WHOLE, HALF = dt.date(2024, 7, 2), dt.date(2024, 7, 3)
FRIDAY, SATURDAY, SUNDAY = dt.date(2015, 3, 6), dt.date(2015, 3, 7), dt.date(2015, 3, 8)
MONDAY, TUESDAY = dt.date(2015, 3, 9), dt.date(2015, 3, 10)
WEDNESDAY, THURSDAY = dt.date(2015, 3, 11), dt.date(2015, 3, 12)
NEXT_FRIDAY = dt.date(2015, 3, 13)
UNIVERSE = instruments()
NO_SPLITS = splits()
INTRADAY = [name for name in DERIVED_FROM if name in INTRADAY_MINUTES]
PRICES = ["open", "high", "low", "close"]


def minute_bars(start, prices, *, symbol="AAA", timeframe="1m", session=None, **values):
    """Bars one after the other from `start`, each (open, high, low, close, volume)."""
    length = dt.timedelta(minutes=INTRADAY_MINUTES[timeframe])
    return [
        candle(
            session or session_of(start.date()),
            row[:4],
            symbol=symbol,
            **{"ts": start + number * length, "timeframe": timeframe, "volume": row[4]} | values,
        )
        for number, row in enumerate(prices)
        if row is not None
    ]


def flat(count, price=10.0, volume=1.0):
    return [(price, price, price, price, volume)] * count


def whole_session(session, timeframe="1m", **values):
    count = int((session_close(session) - session_open(session)).total_seconds()) // 60
    minutes = INTRADAY_MINUTES[timeframe]
    bars = flat(-(-count // minutes), volume=float(minutes))
    return minute_bars(session_open(session), bars, timeframe=timeframe, session=session, **values)


def resample(rows, timeframe):
    resampled = resample_intraday(candles(*rows), timeframe, UNIVERSE)
    return check_table(resampled, CANDLES)


def weekly(rows, *, through=NEXT_FRIDAY, timeframe="1wk", events=NO_SPLITS):
    frame = candles(*rows).sort("symbol", "ts")
    joined = resample_calendar(frame, timeframe, UNIVERSE, events, complete_through=through)
    return check_table(joined, CANDLES)


def stamps(frame):
    return [f"{stamp:%d %H:%M}" for stamp in frame["ts"]]


# Intraday, by hand


def test_a_bar_has_the_first_open_the_extremes_the_last_close_and_the_sums():
    rows = minute_bars(
        session_open(WHOLE),
        [(10.0, 12.0, 9.5, 11.0, 100.0), (11.0, 11.5, 8.0, 9.0, 300.0), (9.0, 9.1, 8.9, 9.05, 7.0)],
        trades=4,
        vwap=10.0,
    )
    rows[1]["vwap"] = 9.0
    first, second = resample(rows, "2m").rows(named=True)
    assert [first[name] for name in PRICES] == [10.0, 12.0, 8.0, 9.0]
    assert (first["volume"], first["trades"]) == (400.0, 8)
    # (10 x 100 + 9 x 300) / 400
    assert first["vwap"] == pytest.approx(9.25)
    assert first["ts"] == session_open(WHOLE)
    assert first["timeframe"] == "2m"
    assert [second[name] for name in PRICES] == [9.0, 9.1, 8.9, 9.05]


def test_ninety_minutes_divide_a_session_into_five_bars_the_last_of_thirty_minutes():
    bars = resample(whole_session(WHOLE), "90m")
    assert stamps(bars) == ["02 13:30", "02 15:00", "02 16:30", "02 18:00", "02 19:30"]
    assert bars["volume"].to_list() == [90.0, 90.0, 90.0, 90.0, 30.0]


def test_a_half_day_ends_the_last_bar_at_thirteen_hundred_in_new_york():
    bars = resample(whole_session(HALF), "90m")
    assert stamps(bars) == ["03 13:30", "03 15:00", "03 16:30"]
    assert bars["volume"].to_list() == [90.0, 90.0, 30.0]


def test_hours_count_from_the_open_and_eight_of_them_are_the_whole_session():
    hourly = whole_session(WHOLE, "1h")
    assert stamps(resample(hourly, "2h")) == ["02 13:30", "02 15:30", "02 17:30", "02 19:30"]
    assert resample(hourly, "2h")["volume"].to_list() == [120.0, 120.0, 120.0, 60.0]
    assert stamps(resample(hourly, "8h")) == ["02 13:30"]
    assert stamps(resample(whole_session(dt.date(2015, 11, 27), "1h"), "3h")) == [
        "27 14:30",
        "27 17:30",
    ]


def test_the_grid_moves_with_the_clocks_of_new_york():
    friday, monday = dt.date(2024, 3, 8), dt.date(2024, 3, 11)
    bars = resample([*whole_session(friday, "1h"), *whole_session(monday, "1h")], "4h")
    assert stamps(bars) == ["08 14:30", "08 18:30", "11 13:30", "11 17:30"]
    assert bars["session"].to_list() == [friday, friday, monday, monday]


def test_round_the_clock_bars_start_at_midnight_utc_of_each_day_of_a_weekend():
    rows = []
    for day in (SATURDAY, SUNDAY, MONDAY):
        midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
        rows += minute_bars(midnight, flat(24), symbol="COIN", timeframe="1h", session=MONDAY)
    bars = resample(rows, "8h")
    assert stamps(bars) == [f"{day:02d} {hour:02d}:00" for day in (7, 8, 9) for hour in (0, 8, 16)]
    assert bars["session"].unique().to_list() == [MONDAY]
    assert bars["volume"].to_list() == [8.0] * 9


def test_ninety_minutes_divide_a_utc_day_into_sixteen_bars():
    midnight = dt.datetime.combine(SUNDAY, dt.time(), dt.UTC)
    rows = minute_bars(midnight, flat(1440), symbol="COIN", session=MONDAY)
    assert resample(rows, "90m")["volume"].to_list() == [90.0] * 16


def test_missing_minutes_never_shift_the_grid():
    prices = [None, (1.0, 2.0, 1.0, 2.0, 5.0), None, None, None, None, (3.0, 3.0, 3.0, 3.0, 6.0)]
    bars = resample(minute_bars(session_open(WHOLE), prices), "5m")
    assert stamps(bars) == ["02 13:30", "02 13:35"]
    assert bars["open"].to_list() == [1.0, 3.0]
    assert bars["volume"].to_list() == [5.0, 6.0]


def test_a_halt_over_a_whole_bar_leaves_that_bar_out():
    prices = [*flat(2), None, None, *flat(2)]
    assert stamps(resample(minute_bars(session_open(WHOLE), prices), "2m")) == [
        "02 13:30",
        "02 13:34",
    ]


def test_null_prices_are_passed_over_and_all_null_is_null():
    nothing = (None, None, None, None, 1.0)
    prices = [nothing, (2.0, 3.0, 1.0, 2.5, 1.0), nothing, nothing, nothing, nothing]
    bars = resample(minute_bars(session_open(WHOLE), prices), "3m")
    assert bars.select(PRICES).rows() == [(2.0, 3.0, 1.0, 2.5), (None, None, None, None)]
    assert bars["volume"].to_list() == [3.0, 3.0]


def test_an_unknown_volume_makes_the_sum_and_the_average_unknown():
    rows = minute_bars(session_open(WHOLE), flat(4), vwap=10.0, trades=1)
    rows[1] |= {"volume": None, "trades": None}
    bars = resample(rows, "2m")
    assert bars.select("volume", "trades", "vwap").rows() == [(None, None, None), (2.0, 2, 10.0)]


def test_an_average_price_is_unknown_where_traded_shares_lack_one():
    rows = minute_bars(session_open(WHOLE), flat(4), vwap=10.0)
    rows[1] |= {"vwap": None}
    rows[3] |= {"vwap": None, "volume": 0.0}
    assert resample(rows, "2m")["vwap"].to_list() == [None, 10.0]


def test_a_bar_without_trading_has_volume_zero_and_no_average_price():
    rows = minute_bars(session_open(WHOLE), flat(2, volume=0.0), vwap=10.0)
    assert resample(rows, "2m").select("volume", "vwap").row(0) == (0.0, None)


def test_symbols_are_joined_by_themselves():
    rows = [
        *minute_bars(session_open(WHOLE), flat(2, 10.0)),
        *minute_bars(session_open(WHOLE), flat(2, 20.0), symbol="BBB"),
    ]
    bars = resample(rows, "5m")
    assert bars.select("symbol", "high", "volume").rows() == [
        ("AAA", 10.0, 2.0),
        ("BBB", 20.0, 2.0),
    ]


def test_a_bar_keeps_its_delivery_and_arrives_with_its_latest_constituent():
    as_of = {"adjustment": "split", "adjusted_as_of": HALF}
    rows = minute_bars(session_open(WHOLE), flat(2), **as_of)
    rows[0]["ingested_at"] = ARRIVED + dt.timedelta(days=1)
    bar = resample(rows, "2m").row(0, named=True)
    assert (bar["vendor"], bar["adjustment"], bar["adjusted_as_of"]) == ("archive", "split", HALF)
    assert bar["ingested_at"] == ARRIVED + dt.timedelta(days=1)


def test_the_digest_is_of_the_derived_row():
    bars = resample(minute_bars(session_open(WHOLE), flat(2)), "2m")
    json = (
        '{"vendor":"archive","symbol":"AAA","timeframe":"2m",'
        '"ts":"2024-07-02T13:30:00+00:00",'
        '"open":10.0,"high":10.0,"low":10.0,"close":10.0,"volume":2.0,"vwap":null,"trades":null,'
        '"adjustment":"raw","adjusted_as_of":null}'
    )
    assert payload_digests(bars).to_list() == bars["payload_sha256"].to_list()
    assert bars["payload_sha256"].to_list() == [hashlib.sha256(json.encode()).hexdigest()]


def test_no_candles_give_no_bars():
    assert resample([], "5m").equals(CANDLES.empty())


# Intraday, refusals


def test_two_vendors_in_one_session_are_refused():
    rows = minute_bars(session_open(WHOLE), flat(2))
    rows[1]["vendor"] = "other"
    with pytest.raises(ContractError, match=r"several deliveries: symbol=AAA session=2024-07-02"):
        resample(rows, "2m")


def test_two_adjustments_in_one_session_are_refused():
    rows = minute_bars(session_open(WHOLE), flat(2))
    rows[1] |= {"adjustment": "split", "adjusted_as_of": HALF}
    with pytest.raises(ContractError, match="several deliveries"):
        resample(rows, "2m")


@pytest.mark.parametrize(
    "start",
    [
        session_open(WHOLE) - dt.timedelta(minutes=1),
        session_close(WHOLE),
        session_open(WHOLE) + dt.timedelta(seconds=30),
        session_open(WHOLE) - dt.timedelta(seconds=30),
    ],
)
def test_a_minute_off_the_grid_of_its_session_is_refused(start):
    rows = minute_bars(start, flat(1), session=WHOLE)
    with pytest.raises(ContractError, match="do not start on the grid"):
        resample(rows, "2m")


def test_an_hour_counted_by_the_clock_is_refused():
    ten = session_open(WHOLE) + dt.timedelta(minutes=30)
    with pytest.raises(ContractError, match="do not start on the grid"):
        resample(minute_bars(ten, flat(1), timeframe="1h"), "2h")


def test_candles_of_another_timeframe_are_refused():
    with pytest.raises(ContractError, match="not 1h: symbol=AAA timeframe=1m"):
        resample(whole_session(WHOLE)[:1], "2h")


@pytest.mark.parametrize("timeframe", ["1m", "1h", "1d", "1wk", "7m"])
def test_a_timeframe_that_is_not_derived_within_a_session_is_refused(timeframe):
    with pytest.raises(InputError, match=f"'{timeframe}' is not derived this way"):
        resample(whole_session(WHOLE)[:1], timeframe)


def test_a_symbol_that_is_no_instrument_is_refused():
    with pytest.raises(MissingDataError, match="no instruments: STRANGER"):
        resample(minute_bars(session_open(WHOLE), flat(1), symbol="STRANGER"), "2m")


# Intraday, properties

trades_of_a_minute = st.one_of(
    st.none(),
    st.tuples(
        st.integers(90, 110), st.integers(0, 9), st.integers(0, 9), st.integers(0, 10**6)
    ).map(
        lambda drawn: (
            float(drawn[0]),
            float(drawn[0] + drawn[1]),
            float(drawn[0] - drawn[2]),
            float(drawn[0] + drawn[1] - drawn[2]),
            float(drawn[3]),
        )
    ),
)
minutes_of_a_session = st.lists(trades_of_a_minute, min_size=1, max_size=210).filter(any)


@given(minutes_of_a_session, st.sampled_from([name for name in INTRADAY if name[-1] == "m"]))
@settings(max_examples=60)
def test_volume_extremes_and_ends_of_a_session_are_conserved(prices, timeframe):
    rows = candles(*minute_bars(session_open(HALF), prices, trades=3))
    bars = resample_intraday(rows, timeframe, UNIVERSE)
    assert bars["volume"].sum() == rows["volume"].sum()
    assert bars["trades"].sum() == rows["trades"].sum()
    assert bars["high"].max() == rows["high"].max()
    assert bars["low"].min() == rows["low"].min()
    assert (bars["open"][0], bars["close"][-1]) == (rows["open"][0], rows["close"][-1])
    assert bars.height <= bars_in_sessions(pl.Series([HALF]), timeframe).item()


@given(minutes_of_a_session, st.sampled_from([("2m", "10m"), ("5m", "15m"), ("10m", "90m")]))
@settings(max_examples=60)
def test_joining_twice_is_joining_once(prices, timeframes):
    rows = candles(*minute_bars(session_open(HALF), prices, trades=3, vwap=100.0))
    halfway, wanted = timeframes
    first = resample_intraday(rows, halfway, UNIVERSE).with_columns(timeframe=pl.lit("1m"))
    twice = resample_intraday(first, wanted, UNIVERSE)
    once = resample_intraday(rows, wanted, UNIVERSE)
    derived = ["ts", *PRICES, "volume", "trades"]
    assert twice.select(derived).equals(once.select(derived))
    assert twice["vwap"].is_null().equals(once["vwap"].is_null())
    assert twice["vwap"].drop_nulls().to_list() == pytest.approx(
        once["vwap"].drop_nulls().to_list()
    )


@given(minutes_of_a_session, st.integers(0, 209), st.sampled_from(["2m", "10m", "90m"]))
@settings(max_examples=60)
def test_what_comes_after_a_bar_changes_nothing_in_it(prices, cut, timeframe):
    rows = candles(*minute_bars(session_open(HALF), prices))
    minutes = INTRADAY_MINUTES[timeframe]
    end = session_open(HALF) + dt.timedelta(minutes=cut // minutes * minutes)
    before = resample_intraday(rows.filter(pl.col("ts") < end), timeframe, UNIVERSE)
    assert before.equals(resample_intraday(rows, timeframe, UNIVERSE).filter(pl.col("ts") < end))


@given(st.lists(st.floats(0.001, 1e6), min_size=48, max_size=48))
@settings(max_examples=25)
def test_a_range_gives_the_rows_of_its_sessions_to_the_last_bit(volumes):
    hourly = []
    for day, part in ((SUNDAY, volumes[:24]), (TUESDAY, volumes[24:])):
        midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
        bars = [(1.0, 1.0, 1.0, 1.0, volume) for volume in part]
        hourly += minute_bars(
            midnight, bars, symbol="COIN", timeframe="1h", session=session_of(day)
        )
    rows = candles(*hourly)
    singly = [
        resample_intraday(rows.filter(pl.col("session") == session), "8h", UNIVERSE)
        for session in (MONDAY, TUESDAY)
    ]
    assert pl.concat(singly).equals(resample_intraday(rows, "8h", UNIVERSE))


# Weeks and months, by hand


def day_bar(day, close, *, volume=1000.0, **values):
    return candle(day, (close, close + 1, close - 1, close), volume=volume, **values)


def test_a_week_joins_its_sessions_and_is_stored_under_the_last():
    days = sessions_between(MONDAY, NEXT_FRIDAY)
    rows = [day_bar(day, 10.0 + number) for number, day in enumerate(days)]
    rows[0] |= {"vwap": 10.0, "trades": 5}
    bar = weekly(rows).row(0, named=True)
    assert [bar[name] for name in PRICES] == [10.0, 15.0, 9.0, 14.0]
    assert (bar["volume"], bar["vwap"], bar["trades"]) == (5000.0, None, None)
    assert (bar["ts"], bar["session"]) == (session_open(MONDAY), NEXT_FRIDAY)
    assert bar["timeframe"] == "1wk"


def test_a_week_exists_once_its_last_session_is_complete():
    rows = [day_bar(day, 10.0) for day in sessions_between(MONDAY, NEXT_FRIDAY)]
    assert weekly(rows, through=THURSDAY).is_empty()
    assert weekly(rows, through=NEXT_FRIDAY).height == 1
    assert weekly(rows[:4], through=NEXT_FRIDAY)["volume"].to_list() == [4000.0]


def test_a_week_that_ends_with_a_holiday_is_over_on_thursday():
    thursday = dt.date(2015, 4, 2)
    rows = [day_bar(day, 10.0) for day in sessions_between(dt.date(2015, 3, 30), thursday)]
    bars = weekly(rows, through=thursday)
    assert bars.select("session", "volume").rows() == [(thursday, 4000.0)]


def test_a_week_starts_with_its_first_sessions_open_also_for_a_symbol_that_missed_it():
    holiday_week = sessions_between(dt.date(2015, 1, 19), dt.date(2015, 1, 23))
    assert holiday_week[0] == dt.date(2015, 1, 20)
    bars = weekly([day_bar(holiday_week[2], 10.0)], through=holiday_week[-1])
    assert bars["ts"].to_list() == [session_open(holiday_week[0])]
    assert bars["session"].to_list() == [holiday_week[-1]]


def test_a_half_day_ends_a_week_and_the_clocks_begin_another():
    thanksgiving = sessions_between(dt.date(2015, 11, 23), dt.date(2015, 11, 27))
    rows = [day_bar(day, 10.0) for day in thanksgiving]
    bar = weekly(rows, through=thanksgiving[-1]).row(0, named=True)
    assert (bar["session"], bar["volume"]) == (dt.date(2015, 11, 27), 4000.0)
    before, after = [day_bar(FRIDAY, 10.0)], [day_bar(MONDAY, 10.0)]
    assert weekly(before + after)["ts"].to_list() == [
        dt.datetime(2015, 3, 2, 14, 30, tzinfo=dt.UTC),
        dt.datetime(2015, 3, 9, 13, 30, tzinfo=dt.UTC),
    ]


def test_a_month_that_ends_on_a_weekend_is_stored_under_its_last_session():
    last, first = dt.date(2015, 5, 29), dt.date(2015, 5, 1)
    rows = [day_bar(day, 10.0) for day in sessions_between(first, last)]
    bars = weekly(rows, through=last, timeframe="1mo")
    assert bars.select("ts", "session", "volume").rows() == [(session_open(first), last, 20_000.0)]
    assert weekly(rows, through=dt.date(2015, 5, 28), timeframe="1mo").is_empty()


def test_a_month_that_begins_with_a_holiday_starts_with_its_first_session():
    days = sessions_between(dt.date(2015, 1, 1), dt.date(2015, 1, 30))
    bars = weekly([day_bar(day, 10.0) for day in days], through=days[-1], timeframe="1mo")
    assert bars["ts"].to_list() == [session_open(dt.date(2015, 1, 2))]


def coin_bar(day, close, **values):
    return day_bar(day, close, symbol="COIN", **values)


def test_a_week_around_the_clock_ends_on_sunday_and_is_stored_under_monday():
    rows = [coin_bar(dt.date(2015, 3, 2) + dt.timedelta(days=n), 10.0 + n) for n in range(8)]
    bars = weekly(rows, through=MONDAY)
    assert bars.select("ts", "session", "close", "volume").rows() == [
        (dt.datetime(2015, 3, 2, tzinfo=dt.UTC), MONDAY, 16.0, 7000.0)
    ]
    assert weekly(rows, through=FRIDAY).is_empty()


def test_a_month_around_the_clock_ends_with_its_last_utc_day():
    may = [dt.date(2015, 5, 1) + dt.timedelta(days=n) for n in range(31)]
    rows = [coin_bar(day, 10.0) for day in may]
    first_of_june = dt.date(2015, 6, 1)
    bars = weekly(rows, through=first_of_june, timeframe="1mo")
    assert bars.select("session", "volume").rows() == [(first_of_june, 31_000.0)]
    assert weekly(rows, through=dt.date(2015, 5, 29), timeframe="1mo").is_empty()


def test_a_split_inside_a_week_of_raw_candles_is_in_none_of_its_prices():
    rows = [day_bar(MONDAY, 100.0), day_bar(TUESDAY, 102.0), day_bar(WEDNESDAY, 51.0, volume=2e3)]
    bar = weekly(rows, events=splits((WEDNESDAY, 2.0))).row(0, named=True)
    # Monday's 100, 101, 99 and Tuesday's 102, 103, 101 in new shares; 1000 old are 2000 new ones.
    assert [bar[name] for name in PRICES] == [50.0, 52.0, 49.5, 51.0]
    assert bar["volume"] == 6000.0
    assert (bar["adjustment"], bar["adjusted_as_of"]) == ("raw", None)


def test_days_delivered_in_different_bases_are_brought_into_the_last_ones():
    monday = {"adjustment": "split", "adjusted_as_of": WEDNESDAY}
    friday = {"adjustment": "split", "adjusted_as_of": dt.date(2015, 3, 17)}
    rows = [
        day_bar(MONDAY, 60.0, volume=10.0, **monday),
        day_bar(TUESDAY, 120.0, volume=5.0),
        day_bar(NEXT_FRIDAY, 20.0, volume=30.0, **friday),
    ]
    events = splits((WEDNESDAY, 2.0), (dt.date(2015, 3, 16), 3.0))
    bar = weekly(rows, events=events).row(0, named=True)
    # Monday lacks the 3:1 split, Tuesday both: in the last basis all three closed at 20.
    assert (bar["open"], bar["close"]) == (20.0, 20.0)
    assert bar["volume"] == 30.0 + 30.0 + 30.0
    assert (bar["adjustment"], bar["adjusted_as_of"]) == ("split", dt.date(2015, 3, 17))


def test_days_delivered_in_a_later_basis_are_taken_back_to_the_last_ones():
    ahead = {"adjustment": "split", "adjusted_as_of": dt.date(2015, 3, 17)}
    rows = [day_bar(MONDAY, 20.0, volume=30.0, vwap=20.0, **ahead), day_bar(NEXT_FRIDAY, 60.0)]
    rows[1]["vwap"] = 60.0
    bar = weekly(rows, events=splits((dt.date(2015, 3, 16), 3.0))).row(0, named=True)
    assert (bar["open"], bar["close"], bar["volume"]) == (60.0, 60.0, 1010.0)
    assert bar["vwap"] == pytest.approx(60.0)
    assert bar["adjustment"] == "raw"


def test_a_raw_week_without_a_last_candle_is_in_the_shares_of_its_last_session():
    bar = weekly([day_bar(MONDAY, 100.0)], events=splits((NEXT_FRIDAY, 2.0))).row(0, named=True)
    assert (bar["close"], bar["volume"], bar["session"]) == (50.0, 2000.0, NEXT_FRIDAY)


def test_vendors_of_one_week_are_named_together():
    rows = [day_bar(MONDAY, 10.0, vendor="yahoo"), day_bar(TUESDAY, 10.0)]
    assert weekly(rows)["vendor"].to_list() == ["archive+yahoo"]


def test_a_candle_on_a_day_without_a_session_is_passed_over():
    rows = [day_bar(SATURDAY, 99.0), day_bar(MONDAY, 10.0)]
    assert weekly(rows)["high"].to_list() == [11.0]


def test_the_first_day_that_stored_periods_need_is_the_start_of_the_first():
    monday_alone = SessionSpan(MONDAY, MONDAY)
    # Monday's partition holds the weekend, in which a round-the-clock week ends.
    assert first_day_of_periods(monday_alone, "1wk") == dt.date(2015, 3, 2)
    assert first_day_of_periods(SessionSpan(TUESDAY, NEXT_FRIDAY), "1wk") == MONDAY
    assert first_day_of_periods(SessionSpan(TUESDAY, NEXT_FRIDAY), "1mo") == dt.date(2015, 3, 1)
    june = dt.date(2015, 6, 1)
    assert first_day_of_periods(SessionSpan(june, june), "1mo") == dt.date(2015, 5, 1)


# Weeks and months, refusals


@pytest.mark.parametrize("other", [{}, {"adjustment": "split", "adjusted_as_of": NEXT_FRIDAY}])
def test_dividends_in_some_prices_of_a_week_are_refused(other):
    marked = {"adjustment": "split_dividend", "adjusted_as_of": NEXT_FRIDAY}
    rows = [day_bar(MONDAY, 10.0, **marked), day_bar(TUESDAY, 10.0, **other)]
    with pytest.raises(ContractError, match=r"dividends in their prices.*symbol=AAA"):
        weekly(rows)


def test_dividends_as_of_different_days_are_refused_and_as_of_one_kept():
    marked = {"adjustment": "split_dividend", "adjusted_as_of": NEXT_FRIDAY}
    rows = [day_bar(MONDAY, 10.0, **marked), day_bar(TUESDAY, 11.0, **marked)]
    kept = weekly(rows, events=splits((TUESDAY, 2.0))).row(0, named=True)
    assert (kept["open"], kept["close"], kept["adjustment"]) == (10.0, 11.0, "split_dividend")
    rows[0]["adjusted_as_of"] = THURSDAY
    with pytest.raises(ContractError, match="as of different days"):
        weekly(rows)


@pytest.mark.parametrize("timeframe", ["1d", "1m", "2h", "1y"])
def test_a_timeframe_that_is_no_week_or_month_is_refused(timeframe):
    with pytest.raises(InputError, match="name one of 1wk, 1mo"):
        weekly([day_bar(MONDAY, 10.0)], timeframe=timeframe)


def test_minutes_do_not_make_a_week():
    with pytest.raises(ContractError, match="not 1d: symbol=AAA timeframe=1m"):
        weekly(whole_session(WHOLE)[:1], through=NEXT_FRIDAY)


# Weeks and months, properties

YEAR = sessions_between(dt.date(2015, 1, 1), dt.date(2015, 12, 31))
some_days = st.lists(
    st.tuples(st.sampled_from(YEAR), st.integers(50, 150), st.integers(0, 10**6)),
    unique_by=lambda drawn: drawn[0],
    min_size=1,
    max_size=60,
)


def drawn_days(drawn):
    return [day_bar(day, float(close), volume=float(volume)) for day, close, volume in drawn]


@given(some_days, st.sampled_from(["1wk", "1mo"]))
@settings(max_examples=50)
def test_volume_and_extremes_of_a_year_are_conserved(drawn, timeframe):
    rows = candles(*drawn_days(drawn))
    bars = weekly(rows.rows(named=True), through=YEAR[-1] + dt.timedelta(7), timeframe=timeframe)
    assert bars["volume"].sum() == rows["volume"].sum()
    assert (bars["high"].max(), bars["low"].min()) == (rows["high"].max(), rows["low"].min())


@given(some_days, st.sampled_from(YEAR), st.sampled_from(["1wk", "1mo"]))
@settings(max_examples=50)
def test_no_later_candle_or_split_changes_a_finished_bar(drawn, today, timeframe):
    rows = drawn_days(drawn)
    events = splits((dt.date(2015, 4, 15), 2.0), (dt.date(2015, 9, 16), 4.0))
    everything = weekly(rows, through=YEAR[-1], timeframe=timeframe, events=events)
    known = weekly(
        [row for row in rows if row["session"] <= today],
        through=today,
        timeframe=timeframe,
        events=events.filter(pl.col("ex_date") <= today),
    )
    assert known.equals(everything.filter(pl.col("session") <= today))
