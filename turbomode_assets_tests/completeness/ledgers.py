"""Ledgers written as letters."""

import datetime as dt

import polars as pl

from turbomode_assets.contracts.tables import PARTITION_STATUS
from turbomode_assets.sessions import offset_session
from turbomode_assets_tests.builders import make_rows

LAST = dt.date(2024, 6, 28)
VERDICT_OF = {"G": "GREEN", "A": "AMBER", "R": "RED"}


def ledger(rows, *, last=LAST, timeframe="1d", vendor="archive", reasons=None) -> pl.DataFrame:
    """Cells written as {symbol: "GGAR."}, a letter a session up to `last`; a dot is no cell."""
    codes = {"A": "zero_volume", "R": "missing"} if reasons is None else reasons
    written = []
    for symbol, letters in rows.items():
        for back, letter in enumerate(reversed(letters)):
            if letter == ".":
                continue
            written.append(
                {
                    "symbol": symbol,
                    "session": offset_session(last, -back),
                    "verdict": VERDICT_OF[letter],
                    "reasons": codes.get(letter, ""),
                    "actual_rows": int(letter != "R"),
                }
            )
    cells = {"timeframe": timeframe, "delivered_by": vendor}
    checked_at = dt.datetime(2024, 6, 29, tzinfo=dt.UTC)
    return make_rows(PARTITION_STATUS, *written, **cells, checked_at=checked_at, store_version=3)
