import datetime as dt
import hashlib
import json

import polars as pl
import pytest

from turbomode_assets.config.vendors import VendorsConfig
from turbomode_assets.contracts.errors import InputError, VendorError
from turbomode_assets.contracts.table import check_table
from turbomode_assets.contracts.tables import (
    CANDLES,
    DIVIDENDS,
    SECTOR_MAPPINGS,
    SPLITS,
    SYMBOL_METADATA,
)
from turbomode_assets.sessions import SessionSpan, session_close
from turbomode_assets.vendors import (
    Candles,
    build_vendors,
    fetch_candles,
    fetch_corporate_actions,
    fetch_universe,
)
from turbomode_assets.vendors.protocol import CANDLE_SCHEMA
from turbomode_assets.vendors.simulated import SimulatedVendor
from turbomode_assets_tests.vendors.builders import (
    FRIDAY,
    KNOWN_AT,
    MONDAY,
    TUESDAY,
    archive,
    candle_rows,
    simulated_config,
    write,
)

SPAN = SessionSpan(dt.date(2012, 1, 3), dt.date(2014, 12, 31))
ARRIVED = dt.datetime(2020, 1, 2, 13, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def market():
    vendors = [SimulatedVendor(simulated_config(stocks=6, crypto=1))]
    metadata, mappings = fetch_universe(vendors, KNOWN_AT)
    return vendors, metadata, mappings


def test_every_table_keeps_its_contract(market):
    vendors, metadata, mappings = market
    candles = fetch_candles(vendors, metadata, SPAN, ingested_at=ARRIVED)
    splits, dividends = fetch_corporate_actions(vendors, metadata, SPAN)
    for frame, contract in (
        (metadata, SYMBOL_METADATA),
        (mappings, SECTOR_MAPPINGS),
        (candles, CANDLES),
        (splits, SPLITS),
        (dividends, DIVIDENDS),
    ):
        assert check_table(frame, contract).equals(frame)
        assert set(frame["vendor"].unique()) <= {"simulated"}
    assert dividends.height > 0


def test_weekend_candles_belong_to_mondays_session(market):
    vendors, metadata, _ = market
    monday = SessionSpan(dt.date(2012, 3, 5), dt.date(2012, 3, 5))
    candles = fetch_candles(vendors, metadata, monday, ingested_at=ARRIVED)
    assert set(candles["session"]) == {monday.first}
    coin = candles.filter(pl.col("symbol") == "SIMC1-USD")
    assert coin["ts"].dt.date().to_list() == [
        dt.date(2012, 3, 3),
        dt.date(2012, 3, 4),
        dt.date(2012, 3, 5),
    ]


def test_a_range_equals_its_sessions_one_by_one(market):
    vendors, metadata, _ = market
    span = SessionSpan(dt.date(2012, 11, 1), dt.date(2013, 1, 10))
    whole = fetch_candles(vendors, metadata, span, ingested_at=ARRIVED)
    singly = [
        fetch_candles(vendors, metadata, SessionSpan(day, day), ingested_at=ARRIVED)
        for day in span.sessions
    ]
    assert pl.concat(singly).sort(CANDLES.sort_by).equals(whole)
    for events, parts in zip(
        fetch_corporate_actions(vendors, metadata, span),
        zip(
            *(
                fetch_corporate_actions(vendors, metadata, SessionSpan(day, day))
                for day in span.sessions
            ),
            strict=True,
        ),
        strict=True,
    ):
        assert pl.concat(parts).sort("symbol", "ex_date").equals(events)


def test_the_digest_is_of_the_row_as_delivered_and_not_of_its_arrival(tmp_path):
    vendor = archive(tmp_path, candle_rows(("AAA", MONDAY, 10.0)))
    metadata, _ = fetch_universe([vendor], KNOWN_AT)
    span = SessionSpan(MONDAY, MONDAY)
    first = fetch_candles([vendor], metadata, span, ingested_at=ARRIVED)
    again = fetch_candles([vendor], metadata, span, ingested_at=ARRIVED + dt.timedelta(days=1))
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
    other = fetch_candles([changed], metadata, span, ingested_at=ARRIVED)
    assert other["payload_sha256"][0] != first["payload_sha256"][0]


def test_events_belong_to_the_session_of_their_ex_date_and_were_known_at_its_open(tmp_path):
    write(tmp_path, "s.csv", "symbol,ex_date,ratio\nAAA,2015-03-07,2\n")
    vendor = archive(tmp_path, candle_rows(("AAA", FRIDAY, 10.0)), splits="s.csv")
    metadata, _ = fetch_universe([vendor], KNOWN_AT)
    splits, _ = fetch_corporate_actions([vendor], metadata, SessionSpan(MONDAY, MONDAY))
    assert splits.select("session", "ex_date", "knowledge_ts").rows() == [
        (MONDAY, dt.date(2015, 3, 7), dt.datetime(2015, 3, 9, 13, 30, tzinfo=dt.UTC))
    ]


def test_a_failure_passes_on_to_the_next_vendor_and_a_fact_does_not(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = archive(
        tmp_path / "one",
        candle_rows(("AAA", FRIDAY, 1.0), ("AAA", TUESDAY, 1.0), ("CCC", MONDAY, 3.0)),
    )
    two = archive(
        tmp_path / "two",
        candle_rows(("AAA", MONDAY, 2.0), ("BBB", MONDAY, 2.0)),
    )
    metadata = pl.concat([fetch_universe([vendor], KNOWN_AT)[0] for vendor in (one, two)])
    metadata = metadata.unique("symbol").sort("symbol")
    found = fetch_candles([one, two], metadata, SessionSpan(MONDAY, MONDAY), ingested_at=ARRIVED)
    # AAA did not trade by the first vendor's word; BBB it does not know.
    assert found.select("symbol", "close").rows() == [("BBB", 2.0), ("CCC", 3.0)]


def test_a_symbol_that_no_vendor_knows_fails_the_fetch(tmp_path, market):
    vendor = archive(tmp_path, candle_rows(("SIM001", dt.date(2012, 1, 4), 1.0)))
    _, metadata, _ = market
    day = SessionSpan(dt.date(2012, 1, 4), dt.date(2012, 1, 4))
    with pytest.raises(VendorError, match=r"SIM002 \(archive: unknown_symbol: .*\(6 in all\)"):
        fetch_candles([vendor], metadata, day, ingested_at=ARRIVED)


def test_a_span_without_any_candle_fails(tmp_path):
    vendor = archive(tmp_path, candle_rows(("AAA", FRIDAY, 1.0), ("AAA", TUESDAY, 1.0)))
    metadata, _ = fetch_universe([vendor], KNOWN_AT)
    with pytest.raises(VendorError, match="no candle of any of 1 symbols"):
        fetch_candles([vendor], metadata, SessionSpan(MONDAY, MONDAY), ingested_at=ARRIVED)


def test_a_delisting_is_told_once_its_last_session_has_closed():
    vendor = SimulatedVendor(simulated_config())
    gone = vendor.fetch_metadata().frame.row(by_predicate=pl.col("symbol") == "SIM004", named=True)
    closed = session_close(gone["last_session"])
    for known_at, told in (
        (closed - dt.timedelta(seconds=1), None),
        (closed, gone["last_session"]),
    ):
        metadata, _ = fetch_universe([vendor], known_at)
        row = metadata.row(by_predicate=pl.col("symbol") == "SIM004", named=True)
        assert (row["last_session"], row["knowledge_ts"]) == (told, known_at)
    metadata, _ = fetch_universe([vendor], KNOWN_AT)
    row = metadata.row(by_predicate=pl.col("symbol") == "SIM004", named=True)
    assert row["knowledge_ts"] == closed


def test_a_symbol_listed_later_is_left_out():
    vendor = SimulatedVendor(simulated_config())
    metadata, mappings = fetch_universe([vendor], dt.datetime(2012, 1, 5, 1, tzinfo=dt.UTC))
    assert "SIM003" not in metadata["symbol"].to_list()
    assert "SIM003" not in mappings["symbol"].to_list()
    with pytest.raises(VendorError, match="none of 5 symbols was listed by 2011-01-05"):
        fetch_universe([vendor], dt.datetime(2011, 1, 5, tzinfo=dt.UTC))


def test_adjusted_candles_must_say_up_to_when():
    rows = CANDLE_SCHEMA.to_frame()
    for adjustment, as_of in (("raw", MONDAY), ("split", None), ("split_dividend", None)):
        with pytest.raises(
            InputError, match=f"adjustment={adjustment} with adjusted_as_of={as_of}"
        ):
            Candles(rows, adjustment, as_of)


def test_progress_counts_every_symbol(market):
    vendors, metadata, _ = market
    heard = []
    day = SessionSpan(SPAN.first, SPAN.first)
    fetch_candles(
        vendors, metadata, day, ingested_at=ARRIVED, progress=lambda *told: heard.append(told)
    )
    assert heard == [(n, metadata.height) for n in range(1, metadata.height + 1)]


def test_vendors_are_built_in_order_of_precedence(tmp_path):
    config = VendorsConfig(
        version="1.0.0",
        precedence=["archive"],
        simulated=simulated_config(),
        archive=archive(tmp_path).config,
    )
    assert [vendor.name for vendor in build_vendors(config, tmp_path)] == ["archive"]
    simulated = config.model_copy(update={"precedence": ["simulated"]})
    assert [vendor.name for vendor in build_vendors(simulated, tmp_path)] == ["simulated"]
