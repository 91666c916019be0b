"""Candles, instruments and events written by hand."""

import datetime as dt
import json
from functools import cache
from typing import Any

import polars as pl

from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.tables import BARS, CANDLES, DIVIDENDS, SPLITS, SYMBOL_METADATA
from turbomode_assets.sessions import is_session, session_of, session_open
from turbomode_assets_tests.builders import REPOSITORY, make_rows

ARRIVED = dt.datetime(2020, 1, 2, 12, tzinfo=dt.UTC)
KNOWN: dict[str, Any] = {"knowledge_ts": ARRIVED, "vendor": "archive"}
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
        "ts": session_open(day) if on_exchange else start,
        "session": session_of(day),
        **dict(zip(PRICES, prices, strict=True)),
    }
    return row | values


def candles(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `candle`, whatever is wrong with them."""
    made: dict[str, Any] = {"volume": 1000.0, "vendor": "archive", "ingested_at": ARRIVED}
    return make_rows(CANDLES, *rows, is_checked=False, **made)


def instruments(**first_sessions: dt.date | None) -> pl.DataFrame:
    """Stocks AAA and BBB and the 24/7 symbol COIN; keywords set first sessions."""
    coin = {"symbol": "COIN", "asset_class": "crypto", "calendar": "24/7"}
    rows = [
        row | {"first_session": first_sessions.get(row["symbol"])}
        for row in ({"symbol": "AAA"}, {"symbol": "BBB"}, coin)
    ]
    return make_rows(SYMBOL_METADATA, *rows, **KNOWN)


def bar(session: dt.date, close: float, *, symbol: str = "AAA", **values: Any) -> dict[str, Any]:
    """A bar with all four prices equal and 1000 shares."""
    row: dict[str, Any] = {
        "symbol": symbol,
        "session": session,
        **dict.fromkeys(PRICES, close),
        "dollar_volume": 1000.0 * close,
    }
    return row | values


def bars(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `bar`, whatever is wrong with them."""
    return make_rows(BARS, *rows, is_checked=False, volume=1000.0, vendor="archive")


def splits(*events: tuple[dt.date, float], symbol: str = "AAA") -> pl.DataFrame:
    """Events of (ex_date, ratio)."""
    rows = [{"session": session_of(day), "ex_date": day, "ratio": ratio} for day, ratio in events]
    return make_rows(SPLITS, *rows, is_checked=False, symbol=symbol, **KNOWN)


def dividends(*events: tuple[dt.date, float, float], symbol: str = "AAA") -> pl.DataFrame:
    """Events of (ex_date, amount, previous close)."""
    rows = [
        {
            "session": session_of(day),
            "ex_date": day,
            "amount": amount,
            "previous_close": previous_close,
        }
        for day, amount, previous_close in events
    ]
    return make_rows(DIVIDENDS, *rows, is_checked=False, symbol=symbol, **KNOWN)
