"""IBKR vendors on a fake gateway, for the tests of that vendor."""

import datetime as dt
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from turbomode_assets.config.vendors import IbkrConfig, IbkrRequestConfig
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.vendors.ibkr import IbkrVendor
from turbomode_assets.vendors.protocol import Request
from turbomode_assets_tests.vendors.builders import CountedBudget, universe_of, universe_row
from turbomode_assets_tests.vendors.fake_ib_gateway import FakeGateway

NOW = dt.datetime(2024, 12, 31, 23, tzinfo=dt.UTC)
REQUESTS = {
    "1m": IbkrRequestConfig(bar_size="1 min", duration="1 D"),
    "1h": IbkrRequestConfig(bar_size="30 mins", duration="1 M"),
    "1d": IbkrRequestConfig(bar_size="1 day", duration="1 Y"),
}
UNIVERSE = universe_of(
    universe_row("AAPL", name="Apple", sector="Information Technology", primary_exchange="NASDAQ"),
    universe_row("BRK.B", name="Berkshire", sector="Financials", ibkr_symbol="BRK B"),
    universe_row("NOPE", name="Nobody", sector="Energy", primary_exchange="NYSE"),
    universe_row("TWINS", name="Two of it", sector="Energy", primary_exchange="NYSE"),
    universe_row(
        "BTC-USD",
        name="Bitcoin",
        asset_class="crypto",
        calendar="24/7",
        ibkr_symbol="BTC",
        primary_exchange="PAXOS",
    ),
    universe_row("SPY", name="SPDR", asset_class="etf", role="benchmark", primary_exchange="ARCA"),
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
