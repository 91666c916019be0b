import datetime as dt

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.contracts.findings import ACTIONS, FINDINGS
from turbomode_assets.contracts.table import check_table
from turbomode_assets.contracts.tables import BARS, REPAIRS
from turbomode_assets.curation import REASONS, curate, find_defects
from turbomode_assets.sessions import offset_session
from turbomode_assets_tests.builders import real_data_folder
from turbomode_assets_tests.curation.builders import (
    ARRIVED,
    MONDAY,
    SATURDAY,
    SUNDAY,
    TUESDAY,
    candle,
    candles,
    dividends,
    instruments,
    shipped_config,
    splits,
)

GOOD = (10.0, 11.0, 9.0, 10.5)
NO_SPLITS = splits()
NO_DIVIDENDS = dividends()
SHORT = shipped_config().model_copy(update={"look_back_sessions": 5})


def curated(*rows, known=None, events=NO_SPLITS, cash=NO_DIVIDENDS, since=None):
    known = known if known is not None else instruments()
    clean, repairs = curate(candles(*rows), known, events, cash, shipped_config(), since=since)
    check_table(clean, BARS)
    check_table(repairs, REPAIRS)
    assert set(repairs["reason"]) <= set(REASONS)
    return clean.to_dicts(), repairs.to_dicts()


def test_a_sound_candle_becomes_its_bar():
    (clean,), repairs = curated(candle(MONDAY, GOOD))
    assert repairs == []
    assert clean == {
        "symbol": "AAA",
        "session": MONDAY,
        "open": 10.0,
        "high": 11.0,
        "low": 9.0,
        "close": 10.5,
        "volume": 1000.0,
        "dollar_volume": 10_500.0,
        "adjustment": "raw",
        "adjusted_as_of": None,
        "repairs": None,
        "vendor": "archive",
    }


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        ((None, 11.0, 9.0, 10.5), "missing_price"),
        ((10.0, None, None, 10.5), "missing_price"),
        ((10.0, 11.0, 9.0, None), "missing_price"),
        ((10.0, 11.0, 0.0, 10.5), "non_positive_price"),
        ((-10.0, 11.0, 9.0, 10.5), "non_positive_price"),
        ((0.9217, 0.9217, 9.0103, 9.036), "irreconcilable_prices"),
    ],
)
def test_a_candle_that_cannot_be_trusted_is_left_out_with_its_reason(prices, reason):
    clean, (repair,) = curated(candle(MONDAY, prices))
    assert clean == []
    assert (repair["reason"], repair["column"], repair["new_value"]) == (reason, "row", None)
    assert repair["old_value"] == prices[3]
    assert repair["session"] == MONDAY


def test_a_stock_candle_on_a_saturday_is_left_out_and_mondays_bar_is_untouched():
    (clean,), (repair,) = curated(candle(SATURDAY, (1.0, 1.0, 1.0, 1.0)), candle(MONDAY, GOOD))
    assert (clean["open"], clean["repairs"]) == (10.0, None)
    assert (repair["reason"], repair["session"]) == ("off_session", MONDAY)
    assert repair["ts"] == dt.datetime(2015, 3, 7, 12, tzinfo=dt.UTC)


def test_of_two_candles_of_one_day_the_last_to_arrive_is_kept():
    noon = dt.datetime(2015, 3, 9, 12, tzinfo=dt.UTC)
    later = candle(
        MONDAY, (20.0, 21.0, 19.0, 20.5), ts=noon, ingested_at=ARRIVED + dt.timedelta(days=1)
    )
    (clean,), (repair,) = curated(later, candle(MONDAY, GOOD))
    assert (clean["close"], clean["repairs"]) == (20.5, "duplicate_candle")
    assert (repair["old_value"], repair["column"]) == (10.5, "row")


def test_a_broken_duplicate_does_not_displace_a_sound_candle():
    noon = dt.datetime(2015, 3, 9, 12, tzinfo=dt.UTC)
    later = candle(
        MONDAY, (None, 21.0, 19.0, 20.5), ts=noon, ingested_at=ARRIVED + dt.timedelta(days=1)
    )
    (clean,), (repair,) = curated(later, candle(MONDAY, GOOD))
    assert (clean["close"], repair["reason"]) == (10.5, "missing_price")


def test_a_mended_value_stands_in_the_bar_and_in_the_repairs():
    (clean,), (repair,) = curated(candle(MONDAY, (10.0, 11.0, 9.0, 11.2)))
    assert (clean["high"], clean["repairs"]) == (11.2, "high_widened")
    assert (repair["column"], repair["old_value"], repair["new_value"]) == ("high", 11.0, 11.2)


def test_a_weekend_of_a_round_the_clock_symbol_belongs_to_mondays_bar():
    (clean,), repairs = curated(
        candle(SATURDAY, (10.0, 12.0, 9.5, 11.0), symbol="COIN"),
        candle(SUNDAY, (11.0, 11.5, 8.0, 9.0), symbol="COIN"),
        candle(MONDAY, (9.0, 10.0, 8.5, 9.5), symbol="COIN", volume=500.0),
    )
    assert repairs == []
    prices = [clean[name] for name in ("open", "high", "low", "close")]
    assert prices == [10.0, 12.0, 8.0, 9.5]
    assert clean["session"] == MONDAY
    assert (clean["volume"], clean["dollar_volume"]) == (2500.0, 23_750.0)


def test_an_unknown_volume_inside_a_weekend_makes_the_sum_unknown():
    (clean,), _ = curated(
        candle(SATURDAY, GOOD, symbol="COIN", volume=None),
        candle(SUNDAY, GOOD, symbol="COIN", volume=900.0),
        candle(MONDAY, GOOD, symbol="COIN"),
    )
    assert (clean["volume"], clean["dollar_volume"]) == (None, None)


def test_a_missing_weekend_day_is_noted_and_the_bar_made_without_it():
    (clean,), (repair,) = curated(
        candle(SATURDAY, (10.0, 12.0, 9.5, 11.0), symbol="COIN"),
        candle(MONDAY, (9.0, 10.0, 8.5, 9.5), symbol="COIN"),
    )
    assert (clean["open"], clean["close"], clean["repairs"]) == (10.0, 9.5, "missing_day")
    assert (repair["reason"], repair["ts"]) == (
        "missing_day",
        dt.datetime(2015, 3, 8, tzinfo=dt.UTC),
    )


def test_days_before_a_coin_was_listed_are_not_missing():
    known = instruments(COIN=MONDAY)
    (clean,), repairs = curated(candle(MONDAY, GOOD, symbol="COIN"), known=known)
    assert (clean["repairs"], repairs) == (None, [])


def test_a_left_out_weekend_candle_is_not_called_missing_too():
    _, repairs = curated(
        candle(SATURDAY, GOOD, symbol="COIN"),
        candle(SUNDAY, (None, 11.0, 9.0, 10.0), symbol="COIN"),
        candle(MONDAY, GOOD, symbol="COIN", volume=900.0),
    )
    assert [repair["reason"] for repair in repairs] == ["missing_price"]


def test_without_a_candle_on_the_sessions_own_day_there_is_no_bar():
    clean, repairs = curated(
        candle(SATURDAY, GOOD, symbol="COIN"), candle(SUNDAY, GOOD, symbol="COIN", volume=1.0)
    )
    assert clean == []
    assert [repair["reason"] for repair in repairs] == ["no_session_candle"] * 2


def test_split_adjusted_candles_return_to_the_shares_of_their_day():
    adjusted = {"adjustment": "split", "adjusted_as_of": dt.date(2015, 6, 1)}
    events = splits(
        (MONDAY, 5.0), (TUESDAY, 2.0), (dt.date(2015, 5, 1), 3.0), (dt.date(2015, 7, 1), 7.0)
    )
    (clean,), repairs = curated(candle(MONDAY, GOOD, volume=600.0, **adjusted), events=events)
    # Splits after the day and up to the date of adjustment: 2 x 3.
    assert (clean["close"], clean["volume"]) == (63.0, 100.0)
    assert clean["dollar_volume"] == 6300.0
    assert (clean["adjustment"], clean["adjusted_as_of"], clean["repairs"]) == ("raw", None, None)
    assert repairs == []


def test_prices_with_dividends_inside_keep_their_basis_and_mark():
    marks = {"adjustment": "split_dividend", "adjusted_as_of": dt.date(2015, 6, 1)}
    (clean,), _ = curated(candle(MONDAY, GOOD, **marks), events=splits((TUESDAY, 2.0)))
    assert clean["close"] == 10.5
    assert {name: clean[name] for name in marks} == marks


def test_other_timeframes_are_passed_over():
    assert curated(candle(MONDAY, GOOD, timeframe="1h")) == ([], [])


def test_candles_of_a_stranger_are_refused():
    with pytest.raises(MissingDataError, match="no instruments: ZZZ"):
        curated(candle(MONDAY, GOOD, symbol="ZZZ"))


def test_no_candles_give_no_bars():
    assert curated() == ([], [])


def week_of_candles(closes, **values):
    """A candle for each session from MONDAY on, one price each, volumes all different."""
    return [
        candle(offset_session(MONDAY, n), (c, c * 1.01, c * 0.99, c), volume=1000.0 + n, **values)
        for n, c in enumerate(closes)
    ]


def test_a_bar_in_pence_is_brought_back_and_both_values_stand_in_the_repairs():
    clean, repairs = curated(*week_of_candles([10.0, 10.1, 10.2, 1030.0, 10.4]))
    assert [round(bar["close"], 9) for bar in clean] == [10.0, 10.1, 10.2, 10.3, 10.4]
    assert [repair["column"] for repair in repairs] == ["close", "high", "low", "open"]
    assert {repair["reason"] for repair in repairs} == {"unit_error"}
    close = repairs[0]
    assert (close["old_value"], round(close["new_value"], 9)) == (1030.0, 10.3)
    assert clean[3]["repairs"] == "unit_error"


def test_sessions_beyond_the_look_back_are_forgotten_however_few_bars_there_are():
    rows = week_of_candles([10.0, 10.1, 10.2])
    within = candle(offset_session(MONDAY, 20), (1040.0, 1041.0, 1039.0, 1040.0))
    beyond = candle(offset_session(MONDAY, 23), (1040.0, 1041.0, 1039.0, 1040.0))
    assert len(curated(*rows, within)[1]) == 4
    assert curated(*rows, beyond)[1] == []


def test_a_repaired_price_still_has_its_bounds_mended():
    rows = week_of_candles([60.0, 60.5, 59.0])
    rows.append(candle(offset_session(MONDAY, 3), (58.5, 61.5, 0.6, 0.6)))
    clean, repairs = curated(*rows)
    assert [clean[3][n] for n in ("open", "high", "low", "close")] == [58.5, 61.5, 58.5, 60.0]
    assert [(r["reason"], r["column"], r["new_value"]) for r in repairs] == [
        ("field_unit_error", "close", 60.0),
        ("field_unit_error", "low", 60.0),
        ("low_widened", "low", 58.5),
    ]


def test_a_candle_that_arrived_before_the_close_is_left_out():
    noon = dt.datetime(2015, 3, 9, 16, tzinfo=dt.UTC)
    clean, (repair,) = curated(candle(MONDAY, GOOD, ingested_at=noon))
    assert (clean, repair["reason"]) == ([], "before_close")


def test_a_contradictory_duplicate_that_arrived_later_gives_way():
    noon = dt.datetime(2015, 3, 9, 12, tzinfo=dt.UTC)
    late = ARRIVED + dt.timedelta(days=1)
    broken = candle(MONDAY, (0.92, 0.92, 9.01, 9.03), ts=noon, ingested_at=late)
    (clean,), (repair,) = curated(candle(MONDAY, GOOD), broken)
    assert (clean["close"], repair["reason"], repair["old_value"]) == (
        10.5,
        "duplicate_candle",
        9.03,
    )


def test_only_rows_from_since_on_are_returned_and_earlier_ones_are_looked_back_to():
    rows = week_of_candles([10.0, 10.1, 10.2, 1030.0, 10.4])
    fourth = offset_session(MONDAY, 3)
    clean, repairs = curated(*rows, since=fourth)
    assert [bar["session"] for bar in clean] == [fourth, offset_session(MONDAY, 4)]
    assert (round(clean[0]["close"], 9), len(repairs)) == (10.3, 4)


def test_a_split_explains_its_move_and_the_bars_stay_as_delivered():
    rows = week_of_candles([100.0, 101.0, 102.0, 51.2, 51.0])
    assert curated(*rows, events=splits((offset_session(MONDAY, 3), 2.0)))[1] == []
    assert defects(rows, events=splits((offset_session(MONDAY, 3), 2.0))) == []


def defects(rows, *, events=NO_SPLITS, cash=NO_DIVIDENDS):
    found = find_defects(candles(*rows), instruments(), events, cash, shipped_config())
    assert found.schema == FINDINGS
    assert set(found["reason"]) <= set(REASONS)
    assert set(found["action"]) <= set(ACTIONS)
    return found.select("session", "reason", "column", "action").rows()


def test_defects_are_what_is_repaired_left_out_and_flagged():
    rows = week_of_candles([100.0, 101.0, 102.0, 51.0, 51.2])
    rows.append(candle(offset_session(MONDAY, 5), (None, 1.0, 1.0, 1.0)))
    rows.append(candle(offset_session(MONDAY, 6), (51.0, 52.0, 50.0, 52.1)))
    assert defects(rows) == [
        (offset_session(MONDAY, 3), "split_sized_jump", "close", "flagged"),
        (offset_session(MONDAY, 5), "missing_price", "row", "left_out"),
        (offset_session(MONDAY, 6), "high_widened", "high", "repaired"),
    ]


def test_a_special_dividend_explains_its_drop():
    rows = week_of_candles([100.0, 101.0, 102.0, 51.0, 51.2])
    fourth = offset_session(MONDAY, 3)
    history = [(offset_session(MONDAY, -60), 1.0, 100.0)]
    assert defects(rows, cash=dividends(*history, (fourth, 51.0, 102.0))) == []


def test_a_flag_does_not_stand_in_the_repairs():
    assert curated(*week_of_candles([100.0, 101.0, 102.0, 51.0]))[1] == []


PRICES_OF_FAULTS = {
    "null": (None, 11.0, 9.0, 10.5),
    "zero": (10.0, 11.0, 0.0, 10.5),
    "digit": (10.0, 11.0, 9.0, 1.05),
    "near": (10.0, 11.0, 9.0, 11.1),
    "hundred": (1000.0, 1100.0, 900.0, 1050.0),
    "half": (5.0, 5.5, 4.5, 5.25),
    "copy": (10.0, 11.0, 9.0, 10.5),
}


@st.composite
def deliveries(draw):
    """Candles of a stock and a coin over two weeks, some absent or broken."""
    rows = []
    spoilt = st.sampled_from([None, None, None, "absent", *PRICES_OF_FAULTS])
    for offset in range(14):
        day = MONDAY + dt.timedelta(days=offset)
        for symbol in ("AAA", "COIN"):
            fault = draw(spoilt)
            if fault == "absent":
                continue
            x = offset / 10
            prices = PRICES_OF_FAULTS.get(fault or "", (10.0 + x, 11.0 + x, 9.0 + x, 10.5 + x))
            volume = 1000.0 if fault == "copy" else 1000.0 + offset
            rows.append(candle(day, prices, symbol=symbol, volume=volume))
    return candles(*rows)


some_splits = st.lists(st.integers(0, 13), max_size=2, unique=True).map(
    lambda days: splits(*((MONDAY + dt.timedelta(days=n), 3.0) for n in sorted(days)))
)


@given(deliveries(), some_splits, st.sampled_from(["raw", "split"]), st.integers(0, 9))
@settings(max_examples=6, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_a_range_equals_its_sessions_one_by_one(delivered, events, adjustment, chosen):
    cash = dividends((offset_session(MONDAY, 4), 0.1, 10.0))
    if adjustment == "split":
        as_of = pl.lit(dt.date(2015, 4, 30))
        delivered = delivered.with_columns(adjustment=pl.lit("split"), adjusted_as_of=as_of)
    facts = (instruments(), events, cash, SHORT)
    clean, repairs = curate(delivered, *facts)
    sessions = [offset_session(MONDAY, n) for n in range(11)]
    seen = {
        session: delivered.filter(
            pl.col("session").is_between(offset_session(session, -5), session)
        )
        for session in sessions
    }
    parts = [curate(seen[session], *facts, since=session) for session in sessions]
    assert pl.concat([bars for bars, _ in parts]).sort(BARS.sort_by).equals(clean)
    assert pl.concat([noted for _, noted in parts]).sort(REPAIRS.sort_by).equals(repairs)
    session = sessions[chosen]
    found = find_defects(delivered, *facts).filter(pl.col("session") == session)
    assert find_defects(seen[session], *facts, since=session).equals(found)


@given(deliveries())
@settings(max_examples=8)
def test_every_bar_is_sound_and_every_candle_accounted_for(delivered):
    clean, repairs = curate(delivered, instruments(), NO_SPLITS, NO_DIVIDENDS, shipped_config())
    check_table(repairs, REPAIRS)
    check_table(clean, BARS)
    low, high = pl.col("low"), pl.col("high")
    assert clean.filter(
        (low > pl.min_horizontal("open", "close")) | (high < pl.max_horizontal("open", "close"))
    ).is_empty()
    stocks = delivered.filter(pl.col("symbol") == "AAA")
    left_out = repairs.filter((pl.col("symbol") == "AAA") & (pl.col("column") == "row"))
    assert clean.filter(pl.col("symbol") == "AAA").height == stocks.height - left_out.height


@given(st.lists(st.floats(-0.15, 0.15), min_size=1, max_size=30), st.floats(0.5, 500.0))
@settings(max_examples=12)
def test_sound_candles_are_never_touched(returns, start):
    closes = [start]
    for change in returns:
        closes.append(closes[-1] * (1 + change))
    rows = week_of_candles(closes)
    assert curated(*rows)[1] == []
    assert defects(rows) == []


@pytest.mark.real_data
def test_dropped_digits_and_partial_bars_of_real_vendors_are_found():
    folder = real_data_folder()
    rows = pl.read_parquet(folder / "daily_500.parquet").filter(
        (pl.col("symbol") == "CHD") & (pl.col("date") == dt.date(2014, 5, 19))
        | (pl.col("symbol") == "LNT") & (pl.col("date") == dt.date(2016, 5, 19))
        | (pl.col("symbol") == "O") & (pl.col("date") == dt.date(2014, 8, 27))
        | (pl.col("symbol") == "VRTX") & (pl.col("date") == dt.date(2015, 5, 12))
    )
    delivered = [
        candle(
            row["date"], (row["open"], row["high"], row["low"], row["close"]), symbol=row["symbol"]
        )
        for row in rows.to_dicts()
    ]
    known = instruments().head(1)
    known = pl.concat(
        known.with_columns(symbol=pl.lit(symbol)) for symbol in ("CHD", "LNT", "O", "VRTX")
    )
    clean, repairs = curated(*delivered, known=known)
    found = {(repair["symbol"], repair["reason"], repair["new_value"]) for repair in repairs}
    assert found == {
        ("CHD", "open_far_outside", 33.695),
        ("LNT", "close_far_outside", 35.085),
        ("O", "low_widened", 44.5272),
        ("VRTX", "missing_price", None),
    }
    assert len(clean) == 3
