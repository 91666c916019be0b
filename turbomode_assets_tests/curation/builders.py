"""Candles, instruments and events written by hand."""

import datetime as dt
import json
from functools import cache
from typing import Any

import polars as pl

from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.contracts.tables import BARS, CANDLES, DIVIDENDS, SPLITS, SYMBOL_METADATA
from turbomode_assets.sessions import is_session, session_of, session_open
from turbomode_assets_tests.builders import REPOSITORY

ARRIVED = dt.datetime(2020, 1, 2, 12, tzinfo=dt.UTC)
MONDAY = dt.date(2015, 3, 9)
SATURDAY, SUNDAY = dt.date(2015, 3, 7), dt.date(2015, 3, 8)
TUESDAY = dt.date(2015, 3, 10)


@cache
def shipped_config() -> CurationConfig:
    """Section `curation` of the shipped data_quality_config.json."""
    path = REPOSITORY / "configs" / "data_quality_config.json"
    return CurationConfig.model_validate(json.loads(path.read_text(encoding="utf-8"))["curation"])


def candle(
    day: dt.date, prices: tuple[Any, Any, Any, Any], *, symbol: str = "AAA", **values: Any
) -> dict[str, Any]:
    """A daily candle as the master holds it; a stock's starts at noon UTC outside sessions."""
    start = dt.datetime(day.year, day.month, day.day, 0 if symbol == "COIN" else 12, tzinfo=dt.UTC)
    on_exchange = symbol != "COIN" and is_session(day)
    row: dict[str, Any] = {
        "symbol": symbol,
        "timeframe": "1d",
        "ts": session_open(day) if on_exchange else start,
        "session": session_of(day),
        **dict(zip(("open", "high", "low", "close"), prices, strict=True)),
        "volume": 1000.0,
        "vwap": None,
        "trades": None,
        "vendor": "archive",
        "adjustment": "raw",
        "adjusted_as_of": None,
        "ingested_at": ARRIVED,
        "payload_sha256": "0",
    }
    return row | values


def candles(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=CANDLES.schema)


def instruments(**first_sessions: dt.date | None) -> pl.DataFrame:
    """Stocks AAA and BBB and the 24/7 symbol COIN; keywords set first sessions."""
    rows = [
        {
            "symbol": symbol,
            "name": None,
            "asset_class": "crypto" if symbol == "COIN" else "stock",
            "calendar": "24/7" if symbol == "COIN" else "XNYS",
            "role": "tradeable",
            "first_session": first_sessions.get(symbol),
            "last_session": None,
            "knowledge_ts": ARRIVED,
            "vendor": "archive",
        }
        for symbol in ("AAA", "BBB", "COIN")
    ]
    return pl.DataFrame(rows, schema=SYMBOL_METADATA.schema)


def bar(session: dt.date, close: float, *, symbol: str = "AAA", **values: Any) -> dict[str, Any]:
    """A bar with all four prices equal and 1000 shares."""
    row: dict[str, Any] = {
        "symbol": symbol,
        "session": session,
        **dict.fromkeys(("open", "high", "low", "close"), close),
        "volume": 1000.0,
        "dollar_volume": 1000.0 * close,
        "adjustment": "raw",
        "adjusted_as_of": None,
        "repairs": None,
        "vendor": "archive",
    }
    return row | values


def bars(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=BARS.schema)


def splits(*events: tuple[dt.date, float], symbol: str = "AAA") -> pl.DataFrame:
    """Events of (ex_date, ratio)."""
    rows = [(symbol, session_of(day), day, ratio, ARRIVED, "archive") for day, ratio in events]
    return pl.DataFrame(rows, schema=SPLITS.schema, orient="row")


def dividends(*events: tuple[dt.date, float, float], symbol: str = "AAA") -> pl.DataFrame:
    """Events of (ex_date, amount, previous close)."""
    rows = [
        (symbol, session_of(day), day, amount, previous, ARRIVED, "archive")
        for day, amount, previous in events
    ]
    return pl.DataFrame(rows, schema=DIVIDENDS.schema, orient="row")
