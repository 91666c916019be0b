"""The `yahoo` vendor: Yahoo Finance through yfinance (`client.py`)."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from turbomode_assets.config.vendors import YahooConfig
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.rationing.protocol import Budget
from turbomode_assets.sessions import session_of
from turbomode_assets.vendors.protocol import (
    CANDLE_SCHEMA,
    INSTRUMENT_SCHEMA,
    Candles,
    CorporateActions,
    Fundamentals,
    Instruments,
    NoData,
    Request,
    VendorFailure,
)
from turbomode_assets.vendors.timestamps import XNYS
from turbomode_assets.vendors.yahoo.actions import read_actions
from turbomode_assets.vendors.yahoo.bars import ended_bars, rows_within
from turbomode_assets.vendors.yahoo.client import YahooClient
from turbomode_assets.vendors.yahoo.failures import YahooError, refused
from turbomode_assets.vendors.yahoo.replies import (
    Chart,
    read_chart,
    read_metrics,
    read_summary,
    read_text,
    read_time,
)
from turbomode_assets.vendors.yahoo.windows import Window, trading_day, windows_of

_DAYS_BEFORE_A_DIVIDEND = 14
"""How far before a span the previous close of its first dividend is looked for."""
_BREAKER = ("budget", "rate_limited")
_UNREACHABLE = ("connectivity", "timeout")
_VAIN_ATTEMPTS = 5
"""After so many symbols of which none could be reached, nobody is there."""


@dataclass(frozen=True)
class _Listing:
    """A symbol of the universe: as Yahoo spells it, and what it is."""

    symbol: str
    asset_class: str
    calendar: str


class YahooVendor:
    """Prices of stocks and ETFs adjusted for splits as of the fetch, those of crypto raw.

    Yahoo keeps a symbol's dividends in the same share basis as its prices, so the close before an
    ex-date in the same reply is the dividend's previous close. A dividend before the first bar of
    a symbol changes nothing and is left out.

    `now` gives the present time: bars that have not ended by then are not delivered.
    """

    name = "yahoo"
    notes = (
        "yahoo: prices of stocks and ETFs are adjusted for splits as of the day of the fetch",
        "yahoo: an unofficial service, whose limits and data may change without notice",
    )

    def __init__(
        self,
        config: YahooConfig,
        universe: pl.DataFrame,
        budget: Budget,
        cache_folder: Path,
        now: Callable[[], dt.datetime],
    ) -> None:
        self.config = config
        self.universe = universe
        self.now = now
        self._client = YahooClient(config, budget, cache_folder)
        self._listings = {
            row["symbol"]: _Listing(row["yahoo_symbol"], row["asset_class"], row["calendar"])
            for row in universe.iter_rows(named=True)
        }

    def fetch_metadata(self) -> Instruments | VendorFailure:
        """The universe with names, sectors and first sessions; null where Yahoo fails on a symbol.

        A failure where it fails on all of them, or may not be asked any more.
        """
        facts: list[tuple[str, str | None, str | None, dt.date | None]] = []
        failures: list[VendorFailure] = []
        for symbol, listing in self._listings.items():
            try:
                facts.append((symbol, *self._facts(listing)))
            except YahooError as error:
                failures.append(error.failure)
                if _is_hopeless(failures, told=len(facts)):
                    return _all_of(failures)
        if failures and not facts:
            return _all_of(failures)
        told = pl.DataFrame(
            facts,
            schema={
                "symbol": pl.String(),
                "long_name": pl.String(),
                "vendor_sector": pl.String(),
                "first_session": pl.Date(),
            },
            orient="row",
        )
        frame = self.universe.join(
            told, on="symbol", how="left", validate="1:1", maintain_order="left"
        ).with_columns(
            name=pl.coalesce("long_name", "name"), last_session=pl.lit(None, dtype=pl.Date)
        )
        return Instruments(frame.select(INSTRUMENT_SCHEMA.names()), vocabulary="Yahoo")

    def fetch_candles(self, request: Request) -> Candles | NoData | VendorFailure:
        """One symbol's candles over a span, whole or not at all."""
        now = self.now()
        try:
            listing = self._listing(request)
            windows = windows_of(request, self.config, now)
            charts = self._charts(listing, request.timeframe, windows)
            frame = _bars(charts, request.timeframe, listing.calendar, now)
        except YahooError as error:
            return error.failure
        if all(chart.rows.is_empty() for chart in charts):
            return NoData(f"Yahoo's first trade of {request.symbol} is at {charts[0].first_trade}")
        if frame.is_empty():
            return VendorFailure("empty", f"no bar of {request.span} has ended yet", True)
        if listing.asset_class == "crypto":
            return Candles(frame)
        return Candles(frame, "split", adjusted_as_of=trading_day(now, XNYS))

    def candle_calls(self, request: Request) -> int:
        """Charts that the span is cut into; none where Yahoo does not look back that far."""
        try:
            return len(windows_of(request, self.config, self.now()))
        except YahooError:
            return 0

    def fetch_corporate_actions(self, request: Request) -> CorporateActions | VendorFailure:
        """Splits and dividends of one symbol with an ex-date inside a span."""
        now = self.now()
        daily = dataclasses.replace(request, timeframe="1d")
        try:
            listing = self._listing(request)
            if listing.asset_class == "crypto":
                return CorporateActions()
            windows = windows_of(daily, self.config, now, days_before=_DAYS_BEFORE_A_DIVIDEND)
            charts = self._charts(listing, "1d", windows)
            bars = _bars(charts, "1d", listing.calendar, now)
            return read_actions(charts, bars, request.span, windows[0].begin)
        except YahooError as error:
            return error.failure

    def fetch_fundamentals(self, request: Request) -> Fundamentals | NoData | VendorFailure:
        """One symbol's metrics as of now."""
        try:
            listing = self._listing(request)
            if listing.asset_class == "crypto":
                return NoData(f"{request.symbol} is a coin and has no fundamentals")
            metrics = read_metrics(self._client.info(listing.symbol))
        except YahooError as error:
            return error.failure
        if metrics.height:
            return Fundamentals(metrics)
        if listing.asset_class == "etf":
            return NoData(f"Yahoo tells no fundamentals of the ETF {request.symbol}")
        return VendorFailure("empty", f"Yahoo tells no metric of {request.symbol}", True)

    def close(self) -> None:
        """Let go of connections and cookies; a later call opens them again."""
        self._client.close()

    def _listing(self, request: Request) -> _Listing:
        listing = self._listings.get(request.symbol)
        if listing is None or listing.calendar != request.calendar:
            what = f"{request.symbol} ({request.calendar}) is not in the universe"
            raise refused("unknown_symbol", what, retryable=False)
        return listing

    def _charts(self, listing: _Listing, timeframe: str, windows: Sequence[Window]) -> list[Chart]:
        """One chart for each window; only windows before the first trade have no rows."""
        charts = [self._chart(listing, timeframe, window) for window in windows]
        for chart, window in zip(charts, windows, strict=True):
            if chart.rows.is_empty() and not _is_before_first_trade(window, chart):
                what = f"no {timeframe} bar of {listing.symbol} from {window.begin} to {window.end}"
                raise refused("empty", what, retryable=True)
        return charts

    def _chart(self, listing: _Listing, timeframe: str, window: Window) -> Chart:
        begin, end = window.seconds
        parameters = {
            "period1": str(begin),
            "period2": str(end),
            "interval": timeframe,
            "includePrePost": "false",
            "events": "div,splits",
        }
        try:
            reply = self._client.chart(listing.symbol, parameters)
        except YahooError as error:
            if error.failure.kind != "empty":
                raise
            # Before the first trade Yahoo sends an error without saying when that trade was.
            return rows_within(self._newest_chart(listing), window)
        return rows_within(read_chart(reply, listing.symbol, timeframe), window)

    def _newest_chart(self, listing: _Listing) -> Chart:
        reply = self._client.chart(listing.symbol, {"range": "1d", "interval": "1d"})
        return read_chart(reply, listing.symbol, "1d")

    def _facts(self, listing: _Listing) -> tuple[str | None, str | None, dt.date | None]:
        """Name, sector and first session of a symbol, each null where Yahoo does not tell it."""
        summary = read_summary(self._client.summary(listing.symbol, "quoteType,assetProfile"))
        identity = summary.get("quoteType", {})
        first_trade = read_time(identity.get("firstTradeDateEpochUtc"))
        if first_trade is None:
            first_trade = self._newest_chart(listing).first_trade
        sector = read_text(summary.get("assetProfile", {}), "sector")
        return read_text(identity, "longName"), sector, _first_session(first_trade, listing)


def _bars(charts: Sequence[Chart], timeframe: str, calendar: str, now: dt.datetime) -> pl.DataFrame:
    frames = [ended_bars(chart, timeframe, calendar, now) for chart in charts]
    return pl.concat([CANDLE_SCHEMA.to_frame(), *frames])


def _is_before_first_trade(window: Window, chart: Chart) -> bool:
    return chart.first_trade is not None and window.end <= chart.first_trade


def _first_session(first_trade: dt.datetime | None, listing: _Listing) -> dt.date | None:
    if first_trade is None:
        return None
    try:
        return session_of(trading_day(first_trade, listing.calendar))
    except InputError:  # before the session calendar begins
        return None


def _is_hopeless(failures: Sequence[VendorFailure], *, told: int) -> bool:
    if failures[-1].kind in _BREAKER:
        return True
    unreachable = all(failure.kind in _UNREACHABLE for failure in failures)
    return not told and unreachable and len(failures) >= _VAIN_ATTEMPTS


def _all_of(failures: Sequence[VendorFailure]) -> VendorFailure:
    """The last failure, with what the earlier ones said."""
    messages = dict.fromkeys(failure.message for failure in reversed(failures))
    return dataclasses.replace(
        failures[-1],
        message=first_few(messages, limit=3),
        retryable=any(failure.retryable for failure in failures),
    )
