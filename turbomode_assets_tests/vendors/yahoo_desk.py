"""A `YahooVendor` whose way to Yahoo ends at a fake."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from turbomode_assets.config.vendors import YahooConfig
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.vendors.protocol import Candles, NoData, Request, VendorFailure
from turbomode_assets.vendors.yahoo import YahooVendor
from turbomode_assets_tests.vendors.builders import CountedBudget, universe_of, universe_row
from turbomode_assets_tests.vendors.fake_yahoo import FakeYahoo

UNIVERSE = universe_of(
    universe_row("AAPL", name="Apple", sector="Information Technology"),
    universe_row("BRK.B", name="Berkshire", sector="Financials", yahoo_symbol="BRK-B"),
    universe_row("BTC-USD", name="Bitcoin", asset_class="crypto", calendar="24/7"),
    universe_row("SPY", name="SPDR Trust", asset_class="etf", role="benchmark"),
).drop("primary_exchange")
CALENDARS = dict(UNIVERSE.select("symbol", "calendar").iter_rows())


def config(**values: object) -> YahooConfig:
    defaults: dict[str, object] = {
        "look_back_days": {"1m": 30, "1h": 730, "1d": None},
        "days_per_request": {"1m": 8, "1h": 730, "1d": None},
        "request_timeout_seconds": 30,
        "largest_reply_bytes": 4_000_000,
    }
    return YahooConfig(**(defaults | values))


def request(symbol: str, first: str, last: str, timeframe: str = "1d") -> Request:
    span = SessionSpan(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
    return Request(symbol, CALENDARS.get(symbol, "XNYS"), span, timeframe)


def at(text: str) -> dt.datetime:
    """A time in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def failure(answer: object) -> tuple[str, bool]:
    """Kind of a failure, and whether it may pass."""
    assert isinstance(answer, VendorFailure), answer
    return answer.kind, answer.retryable


@dataclass
class Desk:
    """A vendor, the fake that it asks and the budget that it asks at."""

    yahoo: FakeYahoo
    folder: Path
    budget: CountedBudget
    vendor: YahooVendor

    def rebuild(self, **values: object) -> None:
        """Another vendor with other settings."""
        self.vendor.close()
        self.vendor = YahooVendor(
            config(**values), UNIVERSE, self.budget, self.folder, lambda: self.yahoo.now
        )

    def candles(
        self, symbol: str, first: str, last: str, timeframe: str = "1d"
    ) -> Candles | NoData | VendorFailure:
        return self.vendor.fetch_candles(request(symbol, first, last, timeframe))

    def frame(self, symbol: str, first: str, last: str, timeframe: str = "1d") -> pl.DataFrame:
        answer = self.candles(symbol, first, last, timeframe)
        assert isinstance(answer, Candles), answer
        return answer.frame
