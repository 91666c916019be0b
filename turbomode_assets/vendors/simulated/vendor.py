"""The `simulated` vendor: a made-up market that is a function of its configuration alone."""

import bisect
import datetime as dt
import functools
from dataclasses import dataclass

import numpy as np
import polars as pl

from turbomode_assets.config.vendors import SimulatedConfig
from turbomode_assets.sessions import (
    CALENDAR_END,
    SessionSpan,
    offset_session,
    require_session,
    sessions_between,
)
from turbomode_assets.vendors.protocol import (
    CANDLE_SCHEMA,
    DIVIDEND_SCHEMA,
    INSTRUMENT_SCHEMA,
    SPLIT_SCHEMA,
    Candles,
    CorporateActions,
    Fundamentals,
    Instruments,
    NoData,
    Request,
    VendorFailure,
)
from turbomode_assets.vendors.simulated.market import (
    MarketPanel,
    listing_steps,
    simulate_crypto,
    simulate_stocks,
)
from turbomode_assets.vendors.timestamps import ROUND_THE_CLOCK, XNYS, daily_bar_starts

GICS_SECTORS = (
    "Communication Services",
    "Consumer Discretionary",
    "Consumer Staples",
    "Energy",
    "Financials",
    "Health Care",
    "Industrials",
    "Information Technology",
    "Materials",
    "Real Estate",
    "Utilities",
)


class SimulatedVendor:
    """Raw prices of made-up stocks (SIM001, ...) and coins (SIMC1-USD, ...).

    Any span asked gives the same rows for the same days. The market begins at
    `config.first_session`; crypto has candles on every calendar day, stocks on sessions.

    Raises:
        InputError: `config.first_session` is no session.
    """

    name = "simulated"
    notes = ("every row is made up: vendor=simulated marks a market that does not exist",)

    def __init__(self, config: SimulatedConfig) -> None:
        require_session(config.first_session, where="vendors.json, simulated.first_session")
        self.config = config

    def fetch_metadata(self) -> Instruments | VendorFailure:
        """Every made-up symbol, with the sessions on which one is listed late and one delisted."""
        stocks = stock_symbols(self.config)
        sectors = _sector_numbers(self.config)
        rows: list[tuple[object, ...]] = []
        for number, symbol in enumerate(stocks):
            sector = GICS_SECTORS[sectors[number]]
            name = f"Simulated {sector} {number + 1}"
            listing = self._listing(number)
            rows.append((symbol, name, "stock", XNYS, "tradeable", sector, None, *listing))
        for number, symbol in enumerate(crypto_symbols(self.config)):
            name = f"Simulated coin {number + 1}"
            first = SessionSpan(self.config.first_session, self.config.first_session).first_day
            rows.append(
                (symbol, name, "crypto", ROUND_THE_CLOCK, "tradeable", None, None, first, None)
            )
        return Instruments(pl.DataFrame(rows, schema=INSTRUMENT_SCHEMA, orient="row"))

    def fetch_candles(self, request: Request) -> Candles | NoData | VendorFailure:
        """Candles of one symbol over a span of sessions."""
        found = self._find(request)
        if isinstance(found, VendorFailure):
            return found
        if found.end <= found.begin:
            return NoData(f"the simulated market begins on {self.config.first_session}")
        frame = self._candle_frame(found, request.calendar)
        return Candles(frame) if frame.height else NoData(self._why_empty(found, request.span))

    def candle_calls(self, request: Request) -> int:
        """None: it costs no vendor's budget."""
        return 0

    def fetch_corporate_actions(self, request: Request) -> CorporateActions | VendorFailure:
        """Splits and dividends of one symbol with an ex-date inside a span of sessions."""
        found = self._find(request)
        if isinstance(found, VendorFailure):
            return found
        days, row = found.panel.days, found.row
        wanted = range(found.begin, found.end)
        splits = [
            (days[s.step], s.ratio)
            for s in found.panel.splits
            if s.symbol == row and s.step in wanted
        ]
        dividends = [
            (days[d.step], d.amount, d.previous_close)
            for d in found.panel.dividends
            if d.symbol == row and d.step in wanted
        ]
        return CorporateActions(
            pl.DataFrame(splits, schema=SPLIT_SCHEMA, orient="row"),
            pl.DataFrame(dividends, schema=DIVIDEND_SCHEMA, orient="row"),
        )

    def fetch_fundamentals(self, request: Request) -> Fundamentals | NoData | VendorFailure:
        """Nothing: made-up companies publish no accounts."""
        return NoData("the simulated market has no fundamentals")

    def close(self) -> None:
        """Hold nothing that could be closed."""

    def _find(self, request: Request) -> "_Found | VendorFailure":
        if request.timeframe != "1d":
            return VendorFailure(
                "unsupported", "the simulated market has daily candles only", False
            )
        is_crypto = request.calendar == ROUND_THE_CLOCK
        symbols = crypto_symbols(self.config) if is_crypto else stock_symbols(self.config)
        if request.symbol not in symbols:
            message = f"{request.symbol} ({request.calendar}) is not a simulated symbol"
            return VendorFailure("unknown_symbol", message, False)
        panel = market_panel(self.config, request.calendar, request.span.last)
        begin = bisect.bisect_left(panel.days, request.span.first_day)
        end = bisect.bisect_right(panel.days, request.span.last)
        return _Found(panel, symbols.index(request.symbol), begin, end)

    def _candle_frame(self, found: "_Found", calendar: str) -> pl.DataFrame:
        panel, row = found.panel, found.row
        part = slice(found.begin, found.end)
        present = np.isfinite(panel.close[row, part])
        days = pl.Series("ts", panel.days[part], dtype=pl.Date).filter(pl.Series(present))
        values = {
            name: getattr(panel, name)[row, part][present]
            for name in ("open", "high", "low", "close", "volume")
        }
        absent = {"vwap": None, "trades": None}
        return pl.DataFrame({"ts": daily_bar_starts(days, calendar), **values}).select(
            pl.lit(absent[name], dtype=dtype).alias(name) if name in absent else pl.col(name)
            for name, dtype in CANDLE_SCHEMA.items()
        )

    def _why_empty(self, found: "_Found", span: SessionSpan) -> str:
        first, last = self._listing(found.row)
        if first > span.last:
            return f"not listed before {first}"
        if last is not None and last < span.first:
            return f"delisted after {last}"
        return "trading was halted"

    def _listing(self, number: int) -> tuple[dt.date, dt.date | None]:
        start = self.config.first_session
        listed_late, last_bar = listing_steps(self.config.seed)
        if number == self.config.stocks - 2:
            return offset_session(start, listed_late), None
        if number == self.config.stocks - 1:
            return start, offset_session(start, last_bar)
        return start, None


@dataclass(frozen=True)
class _Found:
    """Where a request's rows lie: a row of a panel and a half-open range of its days."""

    panel: MarketPanel
    row: int
    begin: int
    end: int


def stock_symbols(config: SimulatedConfig) -> tuple[str, ...]:
    """Stocks in order: SIM001, SIM002, ..."""
    return tuple(f"SIM{number:03d}" for number in range(1, config.stocks + 1))


def crypto_symbols(config: SimulatedConfig) -> tuple[str, ...]:
    """Coins in order: SIMC1-USD, SIMC2-USD, ..."""
    return tuple(f"SIMC{number}-USD" for number in range(1, config.crypto + 1))


def market_panel(config: SimulatedConfig, calendar: str, until: dt.date) -> MarketPanel:
    """Arrays of one half of the market (`XNYS` or `24/7`), at least until a day.

    Computed to the end of that day's year, once per process; a longer horizon changes nothing
    before it.
    """
    horizon = min(dt.date(max(until, config.first_session).year, 12, 31), CALENDAR_END)
    return _market_panel(config, calendar, horizon)


@functools.lru_cache(maxsize=8)
def _market_panel(config: SimulatedConfig, calendar: str, horizon: dt.date) -> MarketPanel:
    edge = config.edge_information_coefficient
    if calendar == XNYS:
        sessions = tuple(sessions_between(config.first_session, horizon))
        return simulate_stocks(config.seed, sessions, _sector_numbers(config), edge)
    first = SessionSpan(config.first_session, config.first_session).first_day
    days = tuple(first + dt.timedelta(days=n) for n in range((horizon - first).days + 1))
    return simulate_crypto(config.seed, days, config.crypto, edge)


def _sector_numbers(config: SimulatedConfig) -> list[int]:
    return [number % len(GICS_SECTORS) for number in range(config.stocks)]
