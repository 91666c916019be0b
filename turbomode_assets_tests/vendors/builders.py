"""Requests, small archives and simulated markets for the tests of this room."""

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl

from turbomode_assets.config.vendors import ArchiveConfig, SimulatedConfig
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.vendors import Request
from turbomode_assets.vendors.archive import ArchiveVendor

KNOWN_AT = dt.datetime(2020, 1, 2, 12, tzinfo=dt.UTC)
FRIDAY, MONDAY, TUESDAY = dt.date(2015, 3, 6), dt.date(2015, 3, 9), dt.date(2015, 3, 10)
WEEK = SessionSpan(FRIDAY, dt.date(2015, 3, 12))


def simulated_config(**values: Any) -> SimulatedConfig:
    defaults = {
        "seed": 11,
        "first_session": dt.date(2012, 1, 3),
        "stocks": 4,
        "crypto": 1,
        "edge_information_coefficient": 0.0,
    }
    return SimulatedConfig(**(defaults | values))


def request(symbol: str, span: SessionSpan = WEEK, calendar: str = "XNYS") -> Request:
    return Request(symbol, calendar, span)


def candle_rows(*closes: tuple[str, dt.date, float]) -> pl.DataFrame:
    """Candles of (symbol, date, close) with a range of one dollar each way."""
    return pl.DataFrame(
        [
            {
                "symbol": symbol,
                "date": day,
                "open": close,
                "high": close + 1,
                "low": close - 1,
                "close": close,
                "volume": 1000,
            }
            for symbol, day, close in closes
        ]
    )


def archive(root: Path, rows: pl.DataFrame | None = None, **values: Any) -> ArchiveVendor:
    """An archive vendor on a data root, in which `rows` are first written as candles.parquet."""
    if rows is not None:
        rows.write_parquet(root / "candles.parquet")
    defaults = {
        "folder": str(root),
        "candles": "candles.parquet",
        "splits": None,
        "dividends": None,
        "symbols": None,
        "adjustment": "raw",
        "adjusted_as_of": None,
        "off_session_rows": "refuse",
    }
    return ArchiveVendor(ArchiveConfig(**(defaults | values)), root)


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text.replace("    ", ""), encoding="utf-8")
