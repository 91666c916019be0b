"""Yahoo's replies as typed values, or a refusal that says what is wrong with them."""

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from turbomode_assets.contracts.fundamentals import METRICS
from turbomode_assets.vendors.protocol import FUNDAMENTALS_SCHEMA
from turbomode_assets.vendors.yahoo.failures import malformed

VALUES = ("open", "high", "low", "close", "volume")
ROW_SCHEMA = pl.Schema({"second": pl.Int64(), **dict.fromkeys(VALUES, pl.Float64())})
"""Bars as sent; `second` counts from 1970, UTC."""

_SPELLINGS = {"1h": ("1h", "60m")}
_LATEST_SECOND = 4_102_444_800  # 2100-01-01: later than any time that can be meant


@dataclass(frozen=True)
class Chart:
    """One reply of the chart service.

    `first_trade` and `last_trade` are what Yahoo says of the symbol as a whole. Splits are
    (second, numerator, denominator), dividends (second, amount).
    """

    rows: pl.DataFrame
    first_trade: dt.datetime | None
    last_trade: dt.datetime | None
    splits: tuple[tuple[int, float, float], ...]
    dividends: tuple[tuple[int, float], ...]


def read_chart(reply: Any, symbol: str, timeframe: str) -> Chart:
    """Read a reply to a question about a symbol's bars.

    Raises:
        YahooError: the reply lacks something, or speaks of another symbol, timeframe or currency.
    """
    result = _mapping(_only(_mapping(_mapping(reply, "reply").get("chart"), "chart"), "result"))
    meta = _mapping(result.get("meta"), "meta")
    _require(meta, "symbol", (symbol,))
    _require(meta, "dataGranularity", _SPELLINGS.get(timeframe, (timeframe,)))
    _require(meta, "currency", ("USD",))
    events = _mapping(result.get("events") or {}, "events")
    return Chart(
        rows=_rows(result),
        first_trade=_time(meta, "firstTradeDate"),
        last_trade=_time(meta, "regularMarketTime"),
        splits=tuple(
            (
                _second(event.get("date")),
                _positive(event, "numerator"),
                _positive(event, "denominator"),
            )
            for event in _events(events, "splits")
        ),
        dividends=tuple(
            (_second(event.get("date")), _positive(event, "amount"))
            for event in _events(events, "dividends")
        ),
    )


def read_summary(reply: Any) -> Mapping[str, Mapping[str, Any]]:
    """Read the modules of a summary, those that it lacks left out."""
    summary = _mapping(_mapping(reply, "reply").get("quoteSummary"), "quoteSummary")
    result = _mapping(_only(summary, "result"))
    return {name: module for name, module in result.items() if isinstance(module, Mapping)}


def read_metrics(info: Any) -> pl.DataFrame:
    """Metrics among the values of `Ticker.info`, in FUNDAMENTALS_SCHEMA.

    Yahoo says dividendYield and debtToEquity in percent, as the contract does. Amounts of a company
    that reports or trades in another currency than the contract's have no row.
    """
    values = _mapping(info, "info")
    in_dollars = {values.get("currency"), values.get("financialCurrency")} <= {"USD", None}
    rows = [
        (name, float(values[name]))
        for name, (unit, _) in METRICS.items()
        if _is_finite(values.get(name)) and (in_dollars or not unit.startswith("USD"))
    ]
    return pl.DataFrame(rows, schema=FUNDAMENTALS_SCHEMA, orient="row")


def read_text(module: Mapping[str, Any], name: str) -> str | None:
    """Read a text, None where there is none."""
    value = module.get(name)
    return value.strip() or None if isinstance(value, str) else None


def read_time(value: object) -> dt.datetime | None:
    """Read a time given as seconds from 1970, None where there is none."""
    return None if value is None else dt.datetime.fromtimestamp(_second(value), dt.UTC)


def _rows(result: Mapping[str, Any]) -> pl.DataFrame:
    seconds = result.get("timestamp") or []
    indicators = _mapping(result.get("indicators"), "indicators")
    quote = _mapping(_only(indicators, "quote") if seconds else {}, "quote")
    if not isinstance(seconds, list):
        raise malformed("the bars' times are no list")
    columns: dict[str, list[Any]] = {"second": [_second(second) for second in seconds]}
    for name in VALUES:
        values = quote.get(name, []) if seconds else []
        if not isinstance(values, list) or len(values) != len(seconds):
            raise malformed(f"the bars have {len(seconds)} times, but not as many of {name}")
        strange = [value for value in values if value is not None and not _is_finite(value)]
        if strange:
            raise malformed(f"{name} is {strange[0]!r}")
        columns[name] = [None if value is None else float(value) for value in values]
    if any(volume is not None and volume < 0 for volume in columns["volume"]):
        raise malformed(f"a volume is negative: {min(filter(None, columns['volume']))}")
    return pl.DataFrame(columns, schema=ROW_SCHEMA)


def _events(events: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    listed = _mapping(events.get(kind) or {}, kind).values()
    found = [_mapping(event, kind) for event in listed]
    for event in found:
        if event.get("currency"):
            _require(event, "currency", ("USD",))
    return found


def _mapping(value: Any, what: str = "result") -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise malformed(f"{what} is {type(value).__name__}, not an object")
    return value


def _only(parent: Mapping[str, Any], name: str) -> Any:
    value = parent.get(name)
    if not isinstance(value, list) or len(value) != 1:
        raise malformed(f"{name} is not a list of one")
    return value[0]


def _require(parent: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> None:
    value = parent.get(name)
    if value is not None and value not in allowed:
        raise malformed(f"{name} is {value!r}, not {allowed[0]}")


def _time(meta: Mapping[str, Any], name: str) -> dt.datetime | None:
    return read_time(meta.get(name))


def _second(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LATEST_SECOND:
        raise malformed(f"a time is {value!r}, not seconds from 1970")
    return value


def _positive(event: Mapping[str, Any], name: str) -> float:
    value = event.get(name)
    if not _is_finite(value) or value <= 0:  # type: ignore[operator]  # finite: a number
        raise malformed(f"{name} of an event is {value!r}")
    return float(value)  # type: ignore[arg-type]


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and math.isfinite(value)
