import datetime as dt
import shutil

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from turbomode_assets.contracts.errors import InputError, MissingDataError
from turbomode_assets.contracts.tables import (
    CANDLES,
    DIVIDENDS,
    FUNDAMENTALS,
    SECTOR_MAPPINGS,
    SPLITS,
    SYMBOL_METADATA,
)
from turbomode_assets.curation import resample_calendar
from turbomode_assets.sessions import SessionSpan, session_open
from turbomode_assets.stores import MarketData
from turbomode_assets.stores.market_data.bars import adjusted_candles
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets_tests.builders import make_log, make_rows, with_digests
from turbomode_assets_tests.curation.builders import candle, candles, dividends, splits

FRIDAY, SATURDAY, SUNDAY = dt.date(2015, 3, 6), dt.date(2015, 3, 7), dt.date(2015, 3, 8)
MONDAY, TUESDAY, WEDNESDAY = dt.date(2015, 3, 9), dt.date(2015, 3, 10), dt.date(2015, 3, 11)
THURSDAY, NEXT_FRIDAY = dt.date(2015, 3, 12), dt.date(2015, 3, 13)
SPAN = SessionSpan(FRIDAY, NEXT_FRIDAY)
SESSIONS = SPAN.sessions
LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
SYMBOLS = ["AAA", "BBB", "COIN", "GONE"]


def flat(day, close, *, symbol="AAA", **values):
    return candle(day, (close,) * 4, symbol=symbol, **values)


def at_noon(day):
    return dt.datetime.combine(day, dt.time(12), dt.UTC)


UNIVERSE = make_rows(
    SYMBOL_METADATA,
    {"symbol": "AAA"},
    {"symbol": "BBB", "first_session": TUESDAY},
    {"symbol": "COIN", "calendar": "24/7", "asset_class": "crypto"},
    {"symbol": "GONE", "last_session": TUESDAY, "knowledge_ts": at_noon(WEDNESDAY)},
    vendor="archive",
)


def write(root, table, frame, *, span=None, symbols=SYMBOLS):
    writer = MasterWriter(f"{root}/master")
    return writer.replace(table, frame, span=span, symbols=symbols, caller="test")


@pytest.fixture(scope="module")
def _written(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    rows = [flat(day, 10.0 + n) for n, day in enumerate(SESSIONS)]
    rows += [flat(day, 20.0, symbol="BBB") for day in SESSIONS[2:]]
    rows += [flat(FRIDAY + dt.timedelta(n), 5.0, symbol="COIN") for n in range(8) if n != 2]
    rows += [flat(day, 7.0, symbol="GONE") for day in SESSIONS[:3] if day != MONDAY]
    store(root, rows)
    write(root, "symbol_metadata", UNIVERSE)
    write(root, "splits", SPLITS.empty())
    write(root, "dividends", DIVIDENDS.empty())
    sectors = make_rows(
        SECTOR_MAPPINGS,
        {"symbol": "AAA", "sector": "Energy", "valid_to": MONDAY},
        {"symbol": "AAA", "sector": "Utilities", "valid_from": TUESDAY},
        {"symbol": "BBB", "sector": "Energy"},
        {"symbol": "BBB", "sector": "Oil", "vocabulary": "Yahoo"},
    )
    write(root, "sector_mappings", sectors)
    return root


@pytest.fixture
def root(_written, tmp_path):
    """A store of four symbols over six sessions, without events; yours to change."""
    shutil.copytree(_written / "master", tmp_path / "master")
    return tmp_path


@pytest.fixture
def market(root):
    with MarketData(root) as market:
        yield market


def store(root, rows, *, span=SPAN, symbols=SYMBOLS):
    return write(root, "candles", with_digests(candles(*rows)), span=span, symbols=symbols)


def closes(frame):
    return frame["close"].to_list()


# Candles


def test_candles_come_as_stored_in_order_with_their_provenance(market):
    rows = market.get_candles("AAA")
    assert rows.columns == [name for name in CANDLES.column_names if name != "payload_sha256"]
    assert rows["session"].to_list() == SESSIONS
    assert closes(rows) == [10.0, 11.0, 12.0, 13.0, 14.0, 15.0]
    assert rows["ts"][1] == session_open(MONDAY)


def test_a_range_holds_both_its_ends(market):
    rows = market.get_candles(["BBB", "AAA"], start=TUESDAY, end=WEDNESDAY)
    assert rows.select("symbol", "session").rows() == [
        ("AAA", TUESDAY),
        ("AAA", WEDNESDAY),
        ("BBB", TUESDAY),
        ("BBB", WEDNESDAY),
    ]


def test_days_back_count_calendar_days_up_to_the_end(market):
    assert market.get_candles("AAA", end=TUESDAY, days_back=5)["session"].to_list() == SESSIONS[:3]
    assert market.get_candles("AAA", as_of=TUESDAY, days_back=2)["session"].to_list() == [
        MONDAY,
        TUESDAY,
    ]
    assert market.get_candles("AAA", days_back=1)["session"].to_list() == [NEXT_FRIDAY]


def test_as_of_hides_later_sessions(market):
    assert market.get_candles("AAA", as_of=MONDAY)["session"].to_list() == [FRIDAY, MONDAY]
    assert market.get_candles("AAA", end=NEXT_FRIDAY, as_of=FRIDAY).height == 1


def test_a_weekends_candle_is_hidden_until_mondays_session(market):
    days = market.get_candles("COIN", as_of=SUNDAY)["ts"].dt.date().to_list()
    assert days == [FRIDAY]
    assert market.get_candles("COIN", as_of=MONDAY).height == 3


def test_a_timeframe_without_candles_gives_none(market):
    rows = market.get_candles("AAA", "1h")
    assert rows.is_empty()
    assert market.get_candles("AAA", "1h", adjusted=True).equals(rows)
    assert market.get_latest_candle("AAA", "1h").is_empty()


def test_the_latest_candle_of_each_symbol_may_be_old(market):
    rows = market.get_latest_candle(SYMBOLS)
    assert dict(rows.select("symbol", "session").rows()) == {
        "AAA": NEXT_FRIDAY,
        "BBB": NEXT_FRIDAY,
        "COIN": NEXT_FRIDAY,
        "GONE": TUESDAY,
    }
    assert dict(
        market.get_latest_candle(SYMBOLS, as_of=MONDAY).select("symbol", "close").rows()
    ) == {
        "AAA": 11.0,
        "COIN": 5.0,
        "GONE": 7.0,
    }


def test_the_latest_candle_is_found_years_before_the_others(root, market):
    then = dt.date(2013, 6, 3)
    store(root, [flat(then, 3.0, symbol="OLD")], span=SessionSpan(then, then), symbols=["OLD"])
    old = make_rows(SYMBOL_METADATA, {"symbol": "OLD", "last_session": then}, vendor="archive")
    write(root, "symbol_metadata", old, symbols=["OLD"])
    assert market.get_latest_candle(["AAA", "OLD"])["session"].to_list() == [NEXT_FRIDAY, then]


# Adjustment, by hand


def add_events(root, split_rows, dividend_rows):
    write(root, "splits", split_rows)
    write(root, "dividends", dividend_rows)


def adjusted(market, symbols="AAA", timeframe="1d", **values):
    return market.get_candles(symbols, timeframe, adjusted=True, **values)


def test_adjusted_candles_hold_the_events_known_by_then_and_nothing_later(root, market):
    early = splits((TUESDAY, 2.0)).with_columns(knowledge_ts=session_open(TUESDAY))
    paid = dividends((THURSDAY, 1.0, 10.0)).with_columns(knowledge_ts=session_open(THURSDAY))
    add_events(root, early, paid)
    rows = [flat(day, 100.0, vwap=100.0) for day in SESSIONS[:2]]
    rows += [flat(day, 50.0, vwap=50.0) for day in SESSIONS[2:]]
    store(root, rows, symbols=["AAA"])
    assert closes(adjusted(market, as_of=MONDAY)) == [100.0, 100.0]
    known = adjusted(market, as_of=WEDNESDAY)
    assert closes(known) == [50.0, 50.0, 50.0, 50.0]
    assert known["vwap"].to_list() == [50.0] * 4
    assert known["volume"].to_list() == [2000.0, 2000.0, 1000.0, 1000.0]
    assert known.select("adjustment", "adjusted_as_of").unique().rows() == [
        ("split_dividend", WEDNESDAY)
    ]
    # A dividend of a tenth of the price leaves nine tenths of what came before it.
    assert closes(adjusted(market)) == pytest.approx([45.0, 45.0, 45.0, 45.0, 50.0, 50.0])
    assert adjusted(market)["volume"].to_list() == [2000.0, 2000.0] + [1000.0] * 4


def test_an_event_that_became_known_late_adjusts_only_from_then_on(root, market):
    late = splits((TUESDAY, 2.0)).with_columns(knowledge_ts=at_noon(THURSDAY))
    add_events(root, late, DIVIDENDS.empty())
    assert closes(adjusted(market, as_of=WEDNESDAY)) == [10.0, 11.0, 12.0, 13.0]
    assert closes(adjusted(market, as_of=THURSDAY)) == [5.0, 5.5, 12.0, 13.0, 14.0]
    assert market.get_splits("AAA", as_of=WEDNESDAY).is_empty()
    assert market.get_splits("AAA", as_of=THURSDAY)["ratio"].to_list() == [2.0]


def test_a_split_that_the_vendor_put_in_early_is_taken_out_as_of_then(root, market):
    add_events(
        root,
        splits((TUESDAY, 2.0), (THURSDAY, 5.0)).with_columns(knowledge_ts=LONG_AGO),
        DIVIDENDS.empty(),
    )
    # As traded: 100, 100, 50, 50, 10, 10. Delivered on Friday, all in Friday's shares.
    delivered = {"adjustment": "split", "adjusted_as_of": NEXT_FRIDAY}
    store(root, [flat(day, 10.0, volume=10.0, **delivered) for day in SESSIONS], symbols=["AAA"])
    assert closes(market.get_candles("AAA", as_of=MONDAY)) == [10.0, 10.0]
    assert closes(adjusted(market, as_of=MONDAY)) == [100.0, 100.0]
    assert adjusted(market, as_of=MONDAY)["volume"].to_list() == [1.0, 1.0]
    assert closes(adjusted(market, as_of=WEDNESDAY)) == [50.0] * 4
    assert closes(adjusted(market)) == [10.0] * 6
    assert adjusted(market)["volume"].to_list() == [10.0] * 6


def test_deliveries_in_different_bases_fit_together(root, market):
    events = splits((TUESDAY, 2.0), (THURSDAY, 5.0)).with_columns(knowledge_ts=LONG_AGO)
    add_events(root, events, DIVIDENDS.empty())
    rows = [
        flat(FRIDAY, 50.0, adjustment="split", adjusted_as_of=WEDNESDAY),
        flat(MONDAY, 100.0),
        flat(TUESDAY, 10.0, adjustment="split", adjusted_as_of=NEXT_FRIDAY),
        flat(THURSDAY, 10.0, adjustment="split", adjusted_as_of=THURSDAY),
    ]
    store(root, rows, symbols=["AAA"])
    assert closes(adjusted(market)) == [10.0] * 4
    assert closes(adjusted(market, as_of=WEDNESDAY)) == [50.0] * 3


def test_prices_with_dividends_in_them_are_not_adjusted_twice(root, market):
    paid = dividends((TUESDAY, 1.0, 10.0), (THURSDAY, 1.0, 10.0))
    add_events(root, SPLITS.empty(), paid.with_columns(knowledge_ts=LONG_AGO))
    marked = {"adjustment": "split_dividend", "adjusted_as_of": WEDNESDAY}
    store(root, [flat(day, 10.0, **marked) for day in SESSIONS[:4]], symbols=["AAA"])
    assert closes(adjusted(market, as_of=WEDNESDAY)) == [10.0] * 4
    assert closes(adjusted(market, as_of=THURSDAY)) == pytest.approx([9.0] * 4)
    early = adjusted(market, as_of=MONDAY)
    assert closes(early) == [10.0, 10.0]
    assert early["adjusted_as_of"].to_list() == [WEDNESDAY] * 2


def test_a_week_is_adjusted_in_the_shares_of_its_last_session(root, market):
    add_events(root, splits((TUESDAY, 2.0), (dt.date(2015, 3, 17), 5.0)), DIVIDENDS.empty())
    store(root, [flat(MONDAY, 100.0), flat(TUESDAY, 50.0)], symbols=["AAA"])
    daily = candles(flat(MONDAY, 100.0), flat(TUESDAY, 50.0))
    events = splits((TUESDAY, 2.0))
    week = resample_calendar(daily, "1wk", UNIVERSE, events, complete_through=NEXT_FRIDAY)
    write(root, "candles", week, span=SPAN, symbols=["AAA"])
    assert closes(market.get_candles("AAA", "1wk")) == [50.0]
    assert market.get_candles("AAA", "1wk", adjusted=True)["high"].to_list() == [50.0]
    later = dt.date(2015, 3, 18)
    rows = market.get_candles("AAA", "1wk", adjusted=True, as_of=dt.date(2020, 1, 2))
    assert rows["high"].to_list() == [10.0]
    # Known only from 2020 on: on the evening after the split nobody had told us.
    assert market.get_candles("AAA", "1wk", adjusted=True, as_of=later)["high"].to_list() == [50.0]


def test_weeks_around_the_clock_end_on_sunday_for_their_adjustment(root, market):
    split_on_monday = splits((MONDAY, 2.0), symbol="COIN").with_columns(knowledge_ts=LONG_AGO)
    add_events(root, split_on_monday, DIVIDENDS.empty())
    week = candles(
        flat(
            MONDAY,
            8.0,
            symbol="COIN",
            timeframe="1wk",
            ts=dt.datetime(2015, 3, 2, tzinfo=dt.UTC),
        )
    )
    write(root, "candles", week, span=SPAN, symbols=["COIN"])
    assert closes(adjusted(market, "COIN", "1wk", as_of=MONDAY)) == [4.0]


def test_intraday_candles_are_adjusted_as_their_day_is(root, market):
    add_events(root, splits((TUESDAY, 2.0)), DIVIDENDS.empty())
    hour = dt.timedelta(hours=1)
    rows = [
        flat(day, price, timeframe="1h", ts=session_open(day) + number * hour)
        for day, price in ((MONDAY, 100.0), (TUESDAY, 50.0))
        for number in range(2)
    ]
    store(root, rows, symbols=["AAA"])
    assert closes(adjusted(market, timeframe="1h", as_of=dt.date(2020, 1, 2))) == [50.0] * 4


def test_adjusting_without_tables_of_events_is_refused(tmp_path):
    store(tmp_path, [flat(MONDAY, 10.0)])
    write(tmp_path, "symbol_metadata", UNIVERSE)
    with MarketData(tmp_path) as market, pytest.raises(MissingDataError, match="table splits"):
        market.get_candles("AAA", adjusted=True)


def adjusted_as_of(rows, events, paid, today):
    """What the API gives of candles up to a day, if every event is known on its ex-date."""
    return adjusted_candles(
        rows.filter(pl.col("session") <= today),
        UNIVERSE,
        events,
        paid,
        known=pl.col("session") <= today,
        as_of=today,
    )


@st.composite
def traded_histories(draw):
    """Raw candles, the same delivered in Friday's shares, splits and dividends."""
    ratios = [draw(st.sampled_from([None, None, 0.25, 2.0, 4.0])) for _ in SESSIONS]
    raw, delivered, later = [], [], 1.0
    for day, ratio in reversed(list(zip(SESSIONS, ratios, strict=True))):
        close = float(draw(st.integers(16, 64)))
        raw.append(flat(day, close, volume=64.0))
        basis = {"adjustment": "split", "adjusted_as_of": NEXT_FRIDAY}
        delivered.append(flat(day, close / later, volume=64.0 * later, **basis))
        later *= ratio or 1.0
    events = [(day, ratio) for day, ratio in zip(SESSIONS, ratios, strict=True) if ratio]
    paid = [(day, 1.0, 8.0) for day in draw(st.sets(st.sampled_from(SESSIONS), max_size=2))]
    return candles(*raw), candles(*delivered), splits(*events), dividends(*sorted(paid))


@given(traded_histories(), st.sampled_from(SESSIONS))
@settings(max_examples=60)
def test_the_basis_of_the_delivery_makes_no_difference_to_adjusted_candles(history, today):
    raw, delivered, events, paid = history
    columns = ["ts", "close", "high", "volume", "adjusted_as_of"]
    one, other = (
        adjusted_as_of(rows, events, paid, today).select(columns) for rows in (raw, delivered)
    )
    # Closes are whole and ratios powers of two: only the dividends' products are rounded.
    assert_frame_equal(one, other, rel_tol=1e-14)


@given(traded_histories(), st.sampled_from(SESSIONS))
@settings(max_examples=60)
def test_no_later_event_changes_what_was_answered(history, today):
    raw, _, events, paid = history
    known = adjusted_as_of(
        raw,
        events.filter(pl.col("ex_date") <= today),
        paid.filter(pl.col("ex_date") <= today),
        today,
    )
    assert known.equals(adjusted_as_of(raw, events, paid, today))


# Events, fundamentals, symbols, sectors


def test_events_are_found_by_ex_date_and_hidden_before_they_were_known(root, market):
    paid = dividends((TUESDAY, 1.0, 10.0), (THURSDAY, 2.0, 10.0))
    add_events(root, splits((MONDAY, 2.0)), paid.with_columns(knowledge_ts=LONG_AGO))
    assert market.get_dividends()["amount"].to_list() == [1.0, 2.0]
    assert market.get_dividends("AAA", start=WEDNESDAY)["ex_date"].to_list() == [THURSDAY]
    assert market.get_dividends("AAA", end=WEDNESDAY)["amount"].to_list() == [1.0]
    assert market.get_dividends(as_of=TUESDAY)["ex_date"].to_list() == [TUESDAY]
    assert market.get_splits("AAA").select("ex_date", "ratio").rows() == [(MONDAY, 2.0)]
    assert market.get_splits("BBB").is_empty()


@pytest.fixture
def told(root):
    at_once = [
        {"symbol": "AAA", "session": MONDAY, "metric": "beta", "value": 1.0},
        {"symbol": "AAA", "session": MONDAY, "metric": "bookValue", "value": 7.0},
        {"symbol": "AAA", "session": WEDNESDAY, "metric": "beta", "value": 1.2},
    ]
    rows = [row | {"knowledge_ts": session_open(row["session"])} for row in at_once]
    late = {"symbol": "BBB", "session": MONDAY, "metric": "beta", "value": 0.5}
    rows.append(late | {"knowledge_ts": at_noon(NEXT_FRIDAY)})
    frame = make_rows(FUNDAMENTALS, *rows)
    write(root, "fundamentals", frame, span=SPAN)
    return MarketData(root)


def test_fundamentals_are_rows_of_one_metric_each(told):
    shown = told.get_fundamentals("AAA", metrics="beta").select("session", "value").rows()
    assert shown == [(MONDAY, 1.0), (WEDNESDAY, 1.2)]
    assert told.get_fundamentals("AAA").height == 3
    assert told.get_fundamentals("AAA", start=TUESDAY)["value"].to_list() == [1.2]
    assert told.get_fundamentals("AAA", end=TUESDAY, metrics=["beta"])["value"].to_list() == [1.0]


def test_the_latest_fundamentals_are_those_known_by_then(told):
    now = told.get_latest_fundamentals(["AAA", "BBB"])
    assert now.select("symbol", "metric", "value").rows() == [
        ("AAA", "beta", 1.2),
        ("AAA", "bookValue", 7.0),
        ("BBB", "beta", 0.5),
    ]
    then = told.get_latest_fundamentals(["AAA", "BBB"], metrics="beta", as_of=TUESDAY)
    assert then.select("symbol", "value").rows() == [("AAA", 1.0)]


def test_metadata_as_of_a_day_knows_no_later_listing_and_no_later_delisting(market):
    assert market.get_symbol_metadata("GONE")["last_session"].to_list() == [TUESDAY]
    assert market.get_symbol_metadata()["symbol"].to_list() == SYMBOLS
    monday = market.get_symbol_metadata(as_of=MONDAY)
    assert monday["symbol"].to_list() == ["AAA", "COIN", "GONE"]
    assert monday["last_session"].to_list() == [None] * 3
    # The last session was Tuesday, but that was told on Wednesday.
    assert market.get_symbol_metadata("GONE", as_of=TUESDAY)["last_session"].to_list() == [None]


def test_active_symbols_are_those_listed_on_the_day(market):
    assert market.get_all_active_symbols() == ["AAA", "BBB", "COIN"]
    assert market.get_all_active_symbols(MONDAY) == ["AAA", "COIN", "GONE"]
    assert market.get_all_active_symbols(TUESDAY) == SYMBOLS
    assert market.get_all_active_symbols(WEDNESDAY) == ["AAA", "BBB", "COIN"]


def test_sectors_hold_from_their_first_day_to_their_last(market):
    assert market.get_symbols_by_sector("Energy") == ["BBB"]
    assert market.get_symbols_by_sector("Energy", as_of=MONDAY) == ["AAA", "BBB"]
    assert market.get_symbols_by_sector("Utilities", as_of=TUESDAY) == ["AAA"]
    assert market.get_symbols_by_sector("Oil", "Yahoo") == ["BBB"]
    assert market.get_sector_mapping("AAA", MONDAY)["sector"].to_list() == ["Energy"]
    assert market.get_sector_mapping("AAA")["sector"].to_list() == ["Utilities"]
    assert market.get_sector_mapping("BBB", vocabulary="Yahoo")["sector"].to_list() == ["Oil"]
    assert market.get_sector_mapping("COIN").is_empty()


# Availability and quality


def test_date_ranges_count_candles(market):
    rows = market.get_date_range(["GONE", "AAA"]).rows()
    assert rows == [("AAA", "1d", FRIDAY, NEXT_FRIDAY, 6), ("GONE", "1d", FRIDAY, TUESDAY, 2)]
    assert market.get_date_range("AAA", "1h").rows() == [("AAA", "1h", None, None, 0)]


def test_availability_counts_the_days_of_the_symbols_own_calendar_and_listing(market):
    found = market.check_data_availability(SYMBOLS, "1d", FRIDAY, NEXT_FRIDAY)
    assert found.rows() == [
        ("AAA", 6, 6, []),
        ("BBB", 4, 4, []),
        ("COIN", 8, 7, [SUNDAY]),
        ("GONE", 3, 2, [MONDAY]),
    ]


def test_availability_of_a_weekend_looks_into_mondays_session(market):
    found = market.check_data_availability(["COIN", "AAA"], "1d", SATURDAY, SUNDAY)
    assert found.rows() == [("AAA", 0, 0, []), ("COIN", 2, 1, [SUNDAY])]


def test_an_intraday_day_is_present_with_its_first_candle(root, market):
    store(root, [flat(MONDAY, 1.0, timeframe="1h")], symbols=["AAA"])
    found = market.check_data_availability("AAA", "1h", MONDAY, TUESDAY)
    assert found.rows() == [("AAA", 2, 1, [TUESDAY])]


def test_weeks_and_months_are_expected_by_their_last_day(root, market):
    week = flat(NEXT_FRIDAY, 1.0, timeframe="1wk", ts=session_open(MONDAY))
    coin_week = flat(
        MONDAY, 1.0, symbol="COIN", timeframe="1wk", ts=dt.datetime(2015, 3, 2, tzinfo=dt.UTC)
    )
    store(root, [week, coin_week], symbols=["AAA", "COIN"])
    found = market.check_data_availability(["AAA", "COIN"], "1wk", FRIDAY, NEXT_FRIDAY)
    assert found.rows() == [("AAA", 2, 1, [FRIDAY]), ("COIN", 1, 1, [])]
    months = market.check_data_availability(["AAA", "COIN"], "1mo", dt.date(2015, 1, 15), FRIDAY)
    assert months["missing"].to_list() == [
        [dt.date(2015, 1, 30), dt.date(2015, 2, 27)],
        [dt.date(2015, 1, 31), dt.date(2015, 2, 28)],
    ]


def test_the_quality_log_is_found_by_symbol_kind_and_day(root, market):
    noticed = [
        {"symbol": "AAA", "first_session": FRIDAY, "session": MONDAY, "kind": "no_data"},
        {"symbol": "AAA", "first_session": WEDNESDAY, "session": WEDNESDAY, "kind": "revision"},
        {"symbol": "BBB", "first_session": TUESDAY, "session": TUESDAY, "kind": "failover"},
    ]
    frame = make_log(
        noticed[0] | {"knowledge_ts": at_noon(TUESDAY)},
        noticed[1] | {"knowledge_ts": at_noon(THURSDAY)},
        noticed[2] | {"knowledge_ts": at_noon(WEDNESDAY), "timeframe": "1h"},
    )
    MasterWriter(f"{root}/master").append("data_quality_log", frame, caller="test")
    assert market.get_data_quality().height == 3
    assert market.get_data_quality("AAA")["kind"].to_list() == ["no_data", "revision"]
    assert market.get_data_quality(kinds=["failover"])["symbol"].to_list() == ["BBB"]
    assert market.get_data_quality(timeframe="1h").height == 1
    assert market.get_data_quality(start=MONDAY, end=MONDAY)["kind"].to_list() == ["no_data"]
    assert market.get_data_quality(as_of=WEDNESDAY)["kind"].to_list() == ["no_data", "failover"]
    with pytest.raises(InputError, match=r"no such kind: 'revisions' \(near: revision\)"):
        market.get_data_quality(kinds="revisions")


# Versions and SQL


def test_reads_follow_what_is_written_and_a_snapshot_does_not(root, market):
    then = market.at_version()
    before = market.version("candles")
    store(root, [flat(day, 99.0) for day in SESSIONS], symbols=["AAA"])
    assert market.version("candles") == before + 1
    assert closes(market.get_candles("AAA")) == [99.0] * 6
    assert closes(then.get_candles("AAA"))[0] == 10.0
    assert then.sql("SELECT max(close) FROM candles WHERE symbol = 'AAA'").item() == 15.0
    assert market.sql("SELECT max(close) FROM candles WHERE symbol = 'AAA'").item() == 99.0


def test_a_named_version_is_read_again_years_later(root, market):
    versions = {"candles": market.version("candles")}
    store(root, [flat(day, 99.0) for day in SESSIONS], symbols=["AAA"])
    pinned = market.at_version(versions)
    assert pinned.version("candles") == versions["candles"]
    assert closes(pinned.get_candles("AAA"))[0] == 10.0
    assert closes(MarketData(root, versions).get_candles("AAA"))[0] == 10.0


def test_a_version_that_never_was_is_refused(market):
    with pytest.raises(MissingDataError, match="version 99 of candles cannot be read"):
        market.at_version({"candles": 99})
    with pytest.raises(InputError, match="has no table 'candle'"):
        market.version("candle")


def test_a_table_that_appears_later_is_found_by_sql(root, market):
    assert market.sql("SELECT count(*) AS n FROM candles")["n"].to_list() == [19]
    with pytest.raises(InputError, match="DuckDB refuses"):
        market.sql("SELECT * FROM fundamentals")
    write(root, "fundamentals", FUNDAMENTALS.empty(), span=SPAN)
    assert market.sql("SELECT * FROM fundamentals").is_empty()


def test_sql_takes_values_as_parameters(market):
    query = "SELECT count(*) FROM candles WHERE symbol = ? AND close > ?"
    assert market.sql(query, ["AAA", 12.5]).item() == 3
    named = "SELECT count(*) FROM candles WHERE symbol = $symbol"
    assert market.sql(named, {"symbol": "AAA' OR 'A' = 'A"}).item() == 0


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO '{target}'",
        "ATTACH '{target}'",
        "SELECT * FROM read_csv('{target}')",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELEC 1",
        "DELETE FROM candles",
    ],
)
def test_sql_can_neither_write_nor_open_anything(market, tmp_path, statement):
    target = tmp_path / "stolen.csv"
    with pytest.raises(InputError, match="DuckDB refuses the query"):
        market.sql(statement.format(target=target))
    assert not target.exists()


def test_market_data_has_no_method_that_writes(market):
    public = [name for name in dir(market) if not name.startswith("_")]
    assert all(
        name.startswith(("get_", "check_")) or name in {"sql", "version", "at_version", "close"}
        for name in public
    )


# Refusals


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: m.get_candles("AAB"), r"no such symbol: 'AAB' \(near: AAA\)"),
        (lambda m: m.get_candles(["AAA", "coin"]), r"'coin' \(near: COIN"),
        (lambda m: m.get_candles("x' OR 'A'='A"), "no such symbol"),
        (lambda m: m.get_candles("AAA", "1day"), r"no such timeframe: '1day' \(near: 1d"),
        (lambda m: m.get_latest_candle("AAA", "60m"), "no such timeframe"),
        (lambda m: m.get_symbols_by_sector("energy"), r"GICS sector: 'energy' \(near: Energy\)"),
        (lambda m: m.get_symbols_by_sector("Energy", "Yahoo"), "no such Yahoo sector"),
        (lambda m: m.get_sector_mapping("AAA", vocabulary="SIC"), "no such vocabulary"),
        (lambda m: m.get_date_range("ZZZZ"), r"'ZZZZ' \(near: none\)"),
        (lambda m: m.get_fundamentals("AAA", metrics="Beta"), r"'Beta' \(near: beta"),
        (lambda m: m.get_candles("AAA", start=TUESDAY, end=MONDAY), "ends .* before it begins"),
        (lambda m: m.get_candles("AAA", start="2015-03-09"), "start is '2015-03-09', not a date"),
        (lambda m: m.get_candles("AAA", as_of=LONG_AGO), "as_of is .* not a date"),
        (lambda m: m.get_candles("AAA", start=MONDAY, days_back=3), "days_back=3 with start="),
        (lambda m: m.get_candles("AAA", days_back=0), "days_back=0"),
        (lambda m: m.sql("SET threads = 1"), "DuckDB refuses|no result"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_nearest_name(market, ask, message):
    with pytest.raises(InputError, match=message):
        ask(market)


def test_tables_that_were_never_written_are_missing_data(market, tmp_path):
    with pytest.raises(MissingDataError, match="table fundamentals does not exist yet"):
        market.get_fundamentals("AAA")
    with pytest.raises(MissingDataError, match="table data_quality_log does not exist"):
        market.get_data_quality()
    with pytest.raises(MissingDataError, match="table symbol_metadata does not exist"):
        MarketData(tmp_path / "elsewhere").get_candles("AAA")


def test_the_data_root_and_the_master_itself_are_both_understood(root):
    for place in (root, str(root), f"{root}/master", root / "master", f"{root}/"):
        assert MarketData(place).get_candles("AAA").height == 6


def test_a_closed_market_answers_no_more(root):
    with MarketData(root) as market:
        market.sql("SELECT 1")
    with pytest.raises(InputError, match="was closed"):
        market.get_candles("AAA")
