import datetime as dt
import hashlib
import json

import polars as pl
import pytest

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.table import check_table
from turbomode_assets.contracts.tables import CANDLES, DATA_QUALITY_LOG, SPLITS
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.vendors import Candles, Request, fetch_universe
from turbomode_assets.vendors.candle_rows import absent_sessions, differences, noticed
from turbomode_assets.vendors.protocol import CANDLE_SCHEMA
from turbomode_assets.vendors.simulated import SimulatedVendor
from turbomode_assets_tests.builders import make_candles, make_rows
from turbomode_assets_tests.vendors.builders import (
    FRIDAY,
    KNOWN_AT,
    MONDAY,
    TUESDAY,
    archive,
    candle_rows,
    delivered,
    simulated_config,
)

SPAN = SessionSpan(dt.date(2012, 1, 3), dt.date(2014, 12, 31))
ARRIVED = dt.datetime(2020, 1, 2, 13, tzinfo=dt.UTC)
DAYS = SessionSpan(FRIDAY, TUESDAY)
NO_SPLITS = SPLITS.empty()
OPENS = {
    FRIDAY: dt.datetime(2015, 3, 6, 14, 30, tzinfo=dt.UTC),
    MONDAY: dt.datetime(2015, 3, 9, 13, 30, tzinfo=dt.UTC),
    TUESDAY: dt.datetime(2015, 3, 10, 13, 30, tzinfo=dt.UTC),
}


@pytest.fixture(scope="module")
def market():
    vendors = [SimulatedVendor(simulated_config(stocks=6, crypto=1))]
    return vendors, fetch_universe(vendors, KNOWN_AT)[0]


def test_rows_keep_the_contract_and_name_their_vendor(market):
    candles = delivered(*market, SPAN, ingested_at=ARRIVED)
    assert check_table(candles, CANDLES).equals(candles)
    assert set(candles["vendor"]) == {"simulated"}


def test_weekend_candles_belong_to_mondays_session(market):
    monday = SessionSpan(dt.date(2012, 3, 5), dt.date(2012, 3, 5))
    candles = delivered(*market, monday, ingested_at=ARRIVED)
    assert set(candles["session"]) == {monday.first}
    coin = candles.filter(pl.col("symbol") == "SIMC1-USD")
    assert coin["ts"].dt.date().to_list() == [
        dt.date(2012, 3, 3),
        dt.date(2012, 3, 4),
        dt.date(2012, 3, 5),
    ]


def test_a_range_equals_its_sessions_one_by_one(market):
    span = SessionSpan(dt.date(2012, 11, 1), dt.date(2013, 1, 10))
    whole = delivered(*market, span, ingested_at=ARRIVED)
    singly = [
        delivered(*market, SessionSpan(day, day), ingested_at=ARRIVED) for day in span.sessions
    ]
    assert pl.concat(singly).sort(CANDLES.sort_by).equals(whole)


def test_the_digest_is_of_the_row_as_delivered_and_not_of_its_arrival(tmp_path):
    vendor = archive(tmp_path, candle_rows(("AAA", MONDAY, 10.0)))
    metadata, _ = fetch_universe([vendor], KNOWN_AT)
    span = SessionSpan(MONDAY, MONDAY)
    first = delivered([vendor], metadata, span, ingested_at=ARRIVED)
    again = delivered([vendor], metadata, span, ingested_at=ARRIVED + dt.timedelta(days=1))
    assert first["payload_sha256"].equals(again["payload_sha256"])
    payload = {
        "vendor": "archive",
        "symbol": "AAA",
        "timeframe": "1d",
        "ts": "2015-03-09T13:30:00+00:00",
        "open": 10.0,
        "high": 11.0,
        "low": 9.0,
        "close": 10.0,
        "volume": 1000.0,
        "vwap": None,
        "trades": None,
        "adjustment": "raw",
        "adjusted_as_of": None,
    }
    text = json.dumps(payload, separators=(",", ":"))
    assert first["payload_sha256"][0] == hashlib.sha256(text.encode()).hexdigest()
    changed = archive(tmp_path, candle_rows(("AAA", MONDAY, 10.01)))
    other = delivered([changed], metadata, span, ingested_at=ARRIVED)
    assert other["payload_sha256"][0] != first["payload_sha256"][0]


def test_adjusted_candles_must_say_up_to_when():
    rows = CANDLE_SCHEMA.to_frame()
    for adjustment, as_of in (("raw", MONDAY), ("split", None), ("split_dividend", None)):
        with pytest.raises(
            InputError, match=f"adjustment={adjustment} with adjusted_as_of={as_of}"
        ):
            Candles(rows, adjustment, as_of)


def test_what_is_noticed_of_a_whole_request_spans_its_sessions():
    row = noticed(Request("AAA", "XNYS", DAYS), "no_data", "ibkr", "HMDS has none", ARRIVED)
    assert check_table(row, DATA_QUALITY_LOG).equals(row)
    told = row.select("symbol", "timeframe", "first_session", "session", "kind", "ts").row(0)
    assert told == ("AAA", "1d", FRIDAY, TUESDAY, "no_data", OPENS[FRIDAY])


def test_the_same_thing_noticed_again_is_the_same_event():
    request = Request("AAA", "XNYS", DAYS)
    once = noticed(request, "no_data", "ibkr", "none", ARRIVED)
    later = noticed(request, "no_data", "ibkr", "none", ARRIVED + dt.timedelta(days=1))
    other = noticed(request, "no_data", "yahoo", "none", ARRIVED)
    assert once["event"][0] == later["event"][0] != other["event"][0]


def test_sessions_that_an_answer_leaves_out_are_facts_of_their_own():
    rows = make_candles(["AAA"], SessionSpan(MONDAY, MONDAY))
    absent = absent_sessions("yahoo", rows, Request("AAA", "XNYS", DAYS), ARRIVED)
    assert check_table(absent, DATA_QUALITY_LOG).equals(absent)
    assert absent.select("first_session", "session", "ts").rows() == [
        (FRIDAY, FRIDAY, OPENS[FRIDAY]),
        (TUESDAY, TUESDAY, OPENS[TUESDAY]),
    ]


def test_an_answer_that_says_the_same_shows_no_difference():
    stored = make_candles(["AAA"], DAYS)
    assert differences(stored, stored, NO_SPLITS, 50).is_empty()


def test_a_changed_value_is_a_revision_with_both_values():
    stored = make_candles(["AAA"], DAYS, vendor="yahoo")
    is_monday = pl.col("session") == MONDAY
    now = stored.with_columns(close=pl.when(is_monday).then(10.01).otherwise("close"))
    found = differences(stored, now, NO_SPLITS, 50)
    assert check_table(found, DATA_QUALITY_LOG).equals(found)
    said = found.select("session", "kind", "ts", "column", "old_value", "new_value", "vendor")
    assert said.rows() == [(MONDAY, "revision", OPENS[MONDAY], "close", 10.0, 10.01, "yahoo")]


def test_a_bar_that_came_or_went_is_a_revision():
    stored = make_candles(["AAA"], SessionSpan(FRIDAY, MONDAY))
    now = make_candles(["AAA"], SessionSpan(MONDAY, TUESDAY))
    found = differences(stored, now, NO_SPLITS, 50).sort("session")
    assert found.select("session", "column", "old_value", "new_value").rows() == [
        (FRIDAY, "bar", 10.0, None),
        (TUESDAY, "bar", None, 10.0),
    ]


def test_vendors_disagree_only_beyond_the_tolerance_and_only_in_prices():
    stored = make_candles(["AAA"], DAYS, vendor="ibkr", close=100.0)
    far = pl.col("session") == MONDAY
    now = make_candles(["AAA"], DAYS, vendor="yahoo", close=100.0).with_columns(
        close=pl.when(far).then(100.6).otherwise(100.4), volume=pl.lit(777.0)
    )
    found = differences(stored, now, NO_SPLITS, 50)
    columns = ("session", "kind", "column", "old_value", "new_value", "vendor", "other_vendor")
    assert found.select(columns).rows() == [
        (MONDAY, "disagreement", "close", 100.0, 100.6, "yahoo", "ibkr")
    ]


def split_adjusted(as_of, close, volume):
    return make_candles(["AAA"], SessionSpan(MONDAY, MONDAY), close=close).with_columns(
        adjustment=pl.lit("split"), adjusted_as_of=pl.lit(as_of), volume=pl.lit(volume)
    )


def test_a_split_between_two_fetches_is_no_revision():
    split = {"symbol": "AAA", "session": TUESDAY, "ex_date": TUESDAY, "ratio": 4.0}
    splits = make_rows(SPLITS, split)
    before, after = split_adjusted(MONDAY, 100.0, 50.0), split_adjusted(TUESDAY, 25.0, 200.0)
    assert differences(before, after, splits, 50).is_empty()
    assert differences(before, after, NO_SPLITS, 50).height == 5
