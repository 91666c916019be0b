"""What a healthy Yahoo replies: a function of the day, of a clock and of the listings.

On day d of a month a price opens at 100 + d, and 1000 d shares are traded, in the shares of that
day. How it is sent (`fake_yahoo.py`) is no matter of this module.
"""

import datetime as dt
import json
import urllib.parse
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from turbomode_assets.sessions import session_close, session_open, sessions_between

NEW_YORK = ZoneInfo("America/New_York")
DAY = dt.timedelta(days=1)
CRUMB = "fake.crumb"
MINUTES = {"1m": 1, "1h": 60, "60m": 60}
KEPT_DAYS = {"1m": 30, "1h": 730, "60m": 730}

Reply = tuple[int, str, bytes, dict[str, str]]
"""Status, content type, body, further headers."""


@dataclass
class Listing:
    """A symbol: what it is, and the events of its past, in the shares of their day."""

    name: str
    kind: str = "EQUITY"
    sector: str | None = None
    first: dt.date = dt.date(1980, 12, 12)
    splits: dict[dt.date, tuple[int, int]] = field(default_factory=dict)
    dividends: dict[dt.date, float] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    peg_ratio: float | None = None

    @property
    def is_crypto(self) -> bool:
        return self.kind == "CRYPTOCURRENCY"

    @property
    def first_trade(self) -> dt.datetime:
        if self.is_crypto:
            return self.hours(self.first)[0]
        return dt.datetime.combine(self.first, dt.time(9, 30), NEW_YORK)

    def hours(self, day: dt.date) -> tuple[dt.datetime, dt.datetime]:
        if self.is_crypto:
            midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
            return midnight, midnight + DAY
        return session_open(day), session_close(day)

    def days(self, first: dt.date, last: dt.date) -> list[dt.date]:
        first = max(first, self.first)
        if self.is_crypto:
            return [first + n * DAY for n in range((last - first).days + 1)]
        return sessions_between(first, last)


class YahooMarket:
    """Yahoo's services at the time `now`, about `listings`."""

    def __init__(self) -> None:
        self.now = dt.datetime(2024, 12, 20, 3, tzinfo=dt.UTC)
        self.listings = {
            "AAPL": Listing("Apple Inc.", sector="Technology"),
            "BTC-USD": Listing("Bitcoin USD", "CRYPTOCURRENCY", first=dt.date(2014, 9, 17)),
            "SPY": Listing("SPDR S&P 500 ETF Trust", "ETF", first=dt.date(1993, 1, 29)),
        }

    def reply(self, host: str, target: str, cookies: str) -> Reply:
        """The reply of a healthy Yahoo."""
        parts = urllib.parse.urlsplit(target)
        asked = dict(urllib.parse.parse_qsl(parts.query))
        name = urllib.parse.unquote(parts.path.rsplit("/", 1)[-1])
        if host == "fc.yahoo.com":
            cookie = "A3=d=fake; Domain=.yahoo.com; Path=/; Max-Age=31536000; Secure"
            return 404, "text/html", b"<html></html>", {"Set-Cookie": cookie}
        if host in ("guce.yahoo.com", "consent.yahoo.com"):
            return _consent(host, parts.path)
        if parts.path.endswith("/getcrumb"):
            if "A3=" in cookies:
                return 200, "text/plain", CRUMB.encode(), {}
            return 401, "text/plain", b"", {}
        if "/v8/finance/chart/" in parts.path:
            return self._chart(name, asked)
        if "fundamentals-timeseries" in parts.path:
            return self._peg_ratio(name)
        if asked.get("crumb") != CRUMB or "A3=" not in cookies:
            return _json(401, _error("finance", "Unauthorized", "Invalid Crumb"))
        if "/quoteSummary/" in parts.path:
            return self._summary(name, asked["modules"].split(","))
        if "/v7/finance/quote" in parts.path:
            return self._quote(asked["symbols"])
        return _json(404, _error("finance", "Not Found", "no such path"))

    def _chart(self, symbol: str, asked: dict[str, str]) -> Reply:
        listing = self.listings.get(symbol)
        if listing is None:
            reason = "No data found, symbol may be delisted"
            return _json(404, _error("chart", "Not Found", reason))
        interval = asked["interval"]
        end = float(asked.get("period2", self.now.timestamp() + 1))
        begin = float(asked.get("period1", end - 86400))
        if end <= listing.first_trade.timestamp():
            reason = f"Data doesn't exist for startDate = {begin:.0f}, endDate = {end:.0f}"
            return _json(400, _error("chart", "Bad Request", reason))
        too_old = begin < (self.now - KEPT_DAYS.get(interval, 99_999) * DAY).timestamp()
        if too_old or (interval == "1m" and end - begin > 8 * 86400):
            reason = f"{interval} data not available for startTime={begin:.0f}"
            return _json(422, _error("chart", "Unprocessable Entity", reason))
        rows = self._rows(listing, interval, begin, end)
        meta = {
            "currency": "USD",
            "symbol": symbol,
            "instrumentType": listing.kind,
            "exchangeTimezoneName": "UTC" if listing.is_crypto else "America/New_York",
            "firstTradeDate": int(listing.first_trade.timestamp()),
            "regularMarketTime": int(self._last_trade(listing).timestamp()),
            "dataGranularity": interval,
            "validRanges": ["1d", "5d", "max"],
        }
        names = ("open", "high", "low", "close", "volume")
        quote = {name: [row[n + 1] for row in rows] for n, name in enumerate(names)}
        result = {
            "meta": meta,
            "timestamp": [int(row[0].timestamp()) for row in rows],
            "events": self._events(listing, begin, end),
            "indicators": {"quote": [quote if rows else {}]},
        }
        if not rows:
            del result["timestamp"]
        return _json(200, {"chart": {"result": [result], "error": None}})

    def _last_trade(self, listing: Listing) -> dt.datetime:
        if listing.is_crypto:
            return self.now.replace(microsecond=0)
        today = self.now.astimezone(NEW_YORK).date()
        days = sessions_between(today - 10 * DAY, today)
        opened = [day for day in days if session_open(day) <= self.now]
        return min(self.now, session_close(opened[-1]) + dt.timedelta(seconds=2))

    def _rows(
        self, listing: Listing, interval: str, begin: float, end: float
    ) -> list[tuple[Any, ...]]:
        first, last = (dt.datetime.fromtimestamp(second, dt.UTC).date() for second in (begin, end))
        last = min(last, self.now.date())
        newest = self._last_trade(listing)
        rows: list[tuple[Any, ...]] = []
        for day in listing.days(first - DAY, last):
            opens, closes = listing.hours(day)
            if opens <= self.now:
                if interval == "1d":
                    at = newest if opens <= newest < opens + DAY else opens
                    rows.append((at, *self._daily(listing, day)))
                else:
                    rows += self._intraday(listing, day, opens, closes, MINUTES[interval])
        inside = [row for row in rows if begin <= row[0].timestamp() < end]
        if interval != "1d" and not any(row[0] == newest for row in inside):
            # Sent even after the end of what was asked for.
            inside.append((newest, 55.0, 55.0, 55.0, 55.0, 0))
        return inside

    def _daily(self, listing: Listing, day: dt.date) -> tuple[float, ...]:
        price, shares = 100.0 + day.day, self._shares(listing, day)
        prices = (price, price + 2, price - 1, price + 1)
        return (*(value / shares for value in prices), 1000 * day.day * shares)

    def _intraday(
        self, listing: Listing, day: dt.date, opens: dt.datetime, closes: dt.datetime, minutes: int
    ) -> list[tuple[Any, ...]]:
        rows, at, shares = [], opens, self._shares(listing, day)
        early = closes - opens < dt.timedelta(hours=6, minutes=30)
        # After an early close Yahoo goes on with trades after hours that nobody asked for.
        until = closes + dt.timedelta(minutes=90) if early else closes
        while at < until and at <= self.now:
            price = 100.0 + day.day + len(rows) / 100
            prices = (price, price + 0.5, price - 0.5, price + 0.25)
            rows.append((at, *(value / shares for value in prices), (100 + len(rows)) * shares))
            at += dt.timedelta(minutes=minutes)
        return rows

    def _shares(self, listing: Listing, day: dt.date) -> float:
        """Shares of now for one of a day."""
        shares = 1.0
        for ex_date, (new, old) in listing.splits.items():
            if day < ex_date <= self.now.astimezone(NEW_YORK).date():
                shares *= new / old
        return shares

    def _events(self, listing: Listing, begin: float, end: float) -> dict[str, Any]:
        events: dict[str, Any] = {}
        for day, (new, old) in listing.splits.items():
            second = int(listing.hours(day)[0].timestamp())
            if begin <= second < min(end, self.now.timestamp()):
                event = {"date": second, "numerator": new, "denominator": old}
                events.setdefault("splits", {})[str(second)] = event
        for day, paid in listing.dividends.items():
            second = int(listing.hours(day)[0].timestamp())
            if begin <= second < min(end, self.now.timestamp()):
                # The day before is in the shares that the amount was announced in.
                event = {"date": second, "amount": paid / self._shares(listing, day)}
                events.setdefault("dividends", {})[str(second)] = event
        return events

    def _summary(self, symbol: str, modules: list[str]) -> Reply:
        listing = self.listings.get(symbol)
        if listing is None:
            reason = f"Quote not found for symbol: {symbol}"
            return _json(404, _error("quoteSummary", "Not Found", reason))
        known = {
            "quoteType": {
                "symbol": symbol,
                "quoteType": listing.kind,
                "longName": listing.name,
                "firstTradeDateEpochUtc": int(listing.first_trade.timestamp()),
            },
            "assetProfile": {"sector": listing.sector} if listing.sector else {},
            **listing.values,
        }
        result = {name: known[name] for name in modules if name in known}
        return _json(200, {"quoteSummary": {"result": [result], "error": None}})

    def _quote(self, symbol: str) -> Reply:
        listing = self.listings.get(symbol)
        found = [] if listing is None else [{"symbol": symbol, "longName": listing.name}]
        return _json(200, {"quoteResponse": {"result": found, "error": None}})

    def _peg_ratio(self, symbol: str) -> Reply:
        listing = self.listings.get(symbol)
        result: dict[str, Any] = {"meta": {"symbol": [symbol], "type": ["trailingPegRatio"]}}
        if listing is not None and listing.peg_ratio is not None:
            value = {"asOfDate": "2024-12-19", "reportedValue": {"raw": listing.peg_ratio}}
            result["trailingPegRatio"] = [value]
        return _json(200, {"timeseries": {"result": [result], "error": None}})


def _json(status: int, value: Any) -> Reply:
    return status, "application/json", json.dumps(value).encode(), {}


def _error(service: str, code: str, description: str) -> dict[str, Any]:
    return {service: {"result": None, "error": {"code": code, "description": description}}}


def _consent(host: str, path: str) -> Reply:
    """The consent form: one redirect to it, and a page for all that is posted there."""
    if host == "guce.yahoo.com" and path == "/consent":
        target = "https://consent.yahoo.com/v2/collectConsent?sessionId=1"
        return 302, "text/html", b"", {"Location": target}
    form = b'<form><input name="csrfToken" value="t"><input name="sessionId" value="1"></form>'
    return 200, "text/html", b"<html>" + form + b"</html>", {}
