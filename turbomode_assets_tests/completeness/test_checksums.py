import datetime as dt

import polars as pl

from turbomode_assets.completeness import corrupted
from turbomode_assets.contracts.findings import FINDINGS
from turbomode_assets.sessions import SessionSpan
from turbomode_assets_tests.completeness.builders import full_candles, instrument, ledger_of, said

FRIDAY, MONDAY = dt.date(2024, 6, 7), dt.date(2024, 6, 10)
SPAN = SessionSpan(FRIDAY, MONDAY)
STOCK = instrument("A")


def test_candles_as_delivered_are_not_corrupted():
    assert corrupted(full_candles(STOCK, SPAN, ["1d", "1h"])).equals(FINDINGS.to_frame())


def test_a_candle_changed_in_the_store_is_found_and_its_cell_is_red():
    changed = pl.when(pl.col("session") == MONDAY).then(10.51).otherwise("close")
    candles = full_candles(STOCK, SPAN, ["1d"]).with_columns(close=changed)
    found = corrupted(candles)
    assert found.select("symbol", "session", "reason", "old_value").rows() == [
        ("A", MONDAY, "checksum_mismatch", 10.51)
    ]
    ledger = ledger_of(candles, STOCK, SPAN, findings=found)
    assert said(ledger) == [(FRIDAY, "GREEN", ""), (MONDAY, "RED", "checksum_mismatch")]


def test_when_and_with_what_digest_a_candle_arrived_is_told_apart():
    candles = full_candles(STOCK, SPAN, ["1d"])
    later = pl.col("ingested_at") + dt.timedelta(days=1)
    assert corrupted(candles.with_columns(ingested_at=later)).is_empty()
    assert corrupted(candles.with_columns(payload_sha256=pl.lit("0" * 64))).height == 2
