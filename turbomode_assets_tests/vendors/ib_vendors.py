"""IBKR vendors on a fake gateway, for the tests of that vendor."""

import datetime as dt
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl

from turbomode_assets.config.vendors import IbkrConfig, IbkrRequestConfig
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.vendors.ibkr import IbkrVendor
from turbomode_assets.vendors.protocol import Request
from turbomode_assets.vendors.universe import UNIVERSE_SCHEMA
from turbomode_assets_tests.vendors.builders import CountedBudget
from turbomode_assets_tests.vendors.fake_ib_gateway import FakeGateway

NOW = dt.datetime(2024, 12, 31, 23, tzinfo=dt.UTC)
REQUESTS = {
    "1m": IbkrRequestConfig(bar_size="1 min", duration="1 D"),
    "1h": IbkrRequestConfig(bar_size="30 mins", duration="1 M"),
    "1d": IbkrRequestConfig(bar_size="1 day", duration="1 Y"),
}
TECHNOLOGY = "Information Technology"
UNIVERSE = pl.DataFrame(
    [
        ("AAPL", "Apple", "stock", "XNYS", "tradeable", TECHNOLOGY, "AAPL", "AAPL", "NASDAQ"),
        ("BRK.B", "Berkshire", "stock", "XNYS", "tradeable", "Financials", "BRK B", "BRK-B", None),
        ("NOPE", "Nobody", "stock", "XNYS", "tradeable", "Energy", "NOPE", "NOPE", "NYSE"),
        ("TWINS", "Two of it", "stock", "XNYS", "tradeable", "Energy", "TWINS", "TWINS", "NYSE"),
        ("BTC-USD", "Bitcoin", "crypto", "24/7", "tradeable", None, "BTC", "BTC-USD", "PAXOS"),
        ("SPY", "SPDR", "etf", "XNYS", "benchmark", None, "SPY", "SPY", "ARCA"),
    ],
    schema=UNIVERSE_SCHEMA,
    orient="row",
)


def ib_config(**values: Any) -> IbkrConfig:
    defaults = {
        "host": "127.0.0.1",
        "port": 1,
        "client_id": 17,
        "connect_timeout_seconds": 20,
        "request_timeout_seconds": 20,
        "largest_reply_bars": 20_000,
        "requests": REQUESTS,
    }
    return IbkrConfig(**(defaults | values))


def patient_clock() -> Any:
    """A clock on which every arrival is 20 s after the last, so that no pacing rule is broken."""
    return itertools.count(step=20).__next__


def patient_gateway(**values: Any) -> FakeGateway:
    return FakeGateway(**({"clock": patient_clock()} | values))


@contextmanager
def vendor_on(
    gateway: FakeGateway,
    *,
    now: dt.datetime = NOW,
    budget: CountedBudget | None = None,
    **config: Any,
) -> Iterator[IbkrVendor]:
    """A vendor connected to a gateway that runs; closed at the end."""
    settings = ib_config(**({"port": gateway.port} | config))
    vendor = IbkrVendor(settings, UNIVERSE, budget or CountedBudget(), lambda: now)
    try:
        yield vendor
    finally:
        vendor.close()


def question(
    symbol: str, first: dt.date, last: dt.date | None = None, timeframe: str = "1d"
) -> Request:
    calendar = "24/7" if symbol.endswith("-USD") else "XNYS"
    return Request(symbol, calendar, SessionSpan(first, last or first), timeframe)
