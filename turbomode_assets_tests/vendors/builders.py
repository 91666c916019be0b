"""Requests, small archives and simulated markets for the tests of this room."""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from turbomode_assets.config.vendors import ArchiveConfig, FetchConfig, SimulatedConfig
from turbomode_assets.contracts.tables import CANDLES
from turbomode_assets.rationing.protocol import BudgetRefusal, Call
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.vendors import Asking, Candles, Request, Vendor, VendorFailure
from turbomode_assets.vendors.archive import ArchiveVendor
from turbomode_assets.vendors.asking import ask
from turbomode_assets.vendors.candle_rows import candle_rows as candle_rows_of
from turbomode_assets.vendors.universe import UNIVERSE_SCHEMA
from turbomode_assets_tests.builders import REPOSITORY

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


def universe_row(symbol: str, **values: str) -> dict[str, str]:
    """A symbol of `universe.csv`: unless named otherwise a stock that every vendor spells alike."""
    row = {
        "symbol": symbol,
        "asset_class": "stock",
        "calendar": "XNYS",
        "role": "tradeable",
        "ibkr_symbol": symbol,
        "yahoo_symbol": symbol,
    }
    return row | values


def universe_of(*rows: dict[str, str]) -> pl.DataFrame:
    """A universe of rows of `universe_row`."""
    return pl.DataFrame(rows, schema=UNIVERSE_SCHEMA)


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


def fetch_config(**values: Any) -> FetchConfig:
    """The shipped rules of fetching, without waits."""
    shipped = json.loads((REPOSITORY / "configs" / "vendors.json").read_text(encoding="utf-8"))
    return FetchConfig(**(shipped["fetch"] | {"retry_wait_seconds": 0} | values))


def asking(vendors: Sequence[Vendor], **values: Any) -> Asking:
    """Ask these vendors without ever sleeping."""
    return Asking(vendors, fetch_config(**values), sleep=lambda seconds: None)


def delivered(
    vendors: Sequence[Vendor],
    instruments: pl.DataFrame,
    span: SessionSpan,
    *,
    ingested_at: dt.datetime,
) -> pl.DataFrame:
    """Rows of `candles` that the vendors have for a span."""
    whole = asking(vendors)
    frames = [CANDLES.empty()]
    for symbol, calendar in instruments.select("symbol", "calendar").iter_rows():
        each = Request(symbol, calendar, span)
        asked = ask(vendors, each, lambda v, r: v.fetch_candles(r), whole.fetch, whole.sleep)
        assert not isinstance(asked.answer, VendorFailure), asked.answer
        if isinstance(asked.answer, Candles):
            frames.append(candle_rows_of(asked.vendor, asked.answer, each, ingested_at))
    return pl.concat(frames).sort(CANDLES.sort_by)


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text.replace("    ", ""), encoding="utf-8")


class CountedBudget:
    """Lets every call through, or none before `closed_until`, and remembers what it was asked."""

    def __init__(self, closed_until: dt.datetime | None = None) -> None:
        self.closed_until = closed_until
        self.calls: list[Call] = []
        self.cooled_off: list[tuple[str, str]] = []

    @contextmanager
    def spend(self, call: Call) -> Iterator[BudgetRefusal | None]:
        if self.closed_until is not None:
            yield BudgetRefusal("closed for the test", self.closed_until)
            return
        self.calls.append(call)
        yield None

    def cool_off(self, vendor: str, reason: str) -> None:
        self.cooled_off.append((vendor, reason))
