"""The one module that uses yfinance: its HTTP session, and the questions put through it.

yfinance is left as it is. It brings cookies, crumbs, consent pages and a browser's handshake; the
session decides whether a request may be made at all, and how large a reply may be.
"""

import contextlib
import json
import logging
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import curl_cffi
import peewee
import yfinance
from curl_cffi import requests
from curl_cffi.curl import CURL_WRITEFUNC_ERROR
from yfinance.cache import get_cookie_cache
from yfinance.data import SingletonMeta, YfData
from yfinance.exceptions import YFException, YFRateLimitError

from turbomode_assets.config.vendors import YahooConfig
from turbomode_assets.rationing.protocol import Budget, Call
from turbomode_assets.vendors.yahoo.failures import (
    YahooError,
    denied,
    malformed,
    refusal_of,
    refused,
)

CHART_URL = "https://query2.finance.yahoo.com/v8/finance/chart/"
SUMMARY_URL = "https://query2.finance.yahoo.com/v10/finance/quoteSummary/"

_COOKIE_HOSTS = ("fc.yahoo.com", "guce.yahoo.com", "consent.yahoo.com")
_REDIRECTS = {301: "GET", 302: "GET", 303: "GET", 307: None, 308: None}
"""Statuses that send elsewhere, and the method that is used there (None: the same)."""
_MOST_REDIRECTS = 8
_ASKED_TOO_OFTEN = b"Too Many Requests"

_yfinance_lock = threading.Lock()
"""yfinance keeps one session, crumb and cache for the whole process."""


class YahooSession(requests.Session[Any]):
    """A browser-like session in which every request has its turn from the budget.

    Its first refusal holds until `begin` is called again: yfinance catches exceptions, tries
    another way and hides what happened.
    """

    def __init__(self, config: YahooConfig, budget: Budget) -> None:
        super().__init__(impersonate="chrome")
        self.refusal: YahooError | None = None
        self._config = config
        self._budget = budget
        self._group = ""

    def begin(self, symbol: str) -> None:
        """Start a question about a symbol."""
        self.refusal = None
        self._group = symbol

    # The options are curl's and handed on, whatever they are.
    def request(self, method: Any, url: str, **options: Any) -> Any:  # type: ignore[override]
        """Make a request and those that it is redirected to, each at the budget's expense."""
        for _ in range(_MOST_REDIRECTS):
            response = self._spend_and_send(method, url, options)
            target = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not target:
                return response
            url = urljoin(url, target)
            if not _is_yahoo(url):
                raise self._latch(
                    malformed(f"redirected away from Yahoo, to {urlsplit(url).hostname}")
                )
            method = _REDIRECTS[response.status_code] or method
            # The new address brings its own parameters; a GET has no body.
            dropped = {"params", "data", "json"} if method == "GET" else {"params"}
            options = {name: value for name, value in options.items() if name not in dropped}
        raise self._latch(malformed(f"more than {_MOST_REDIRECTS} redirects"))

    def _spend_and_send(self, method: Any, url: str, options: dict[str, Any]) -> Any:
        if self.refusal is not None:
            raise self.refusal
        call = Call("yahoo", identity=_identity(url, options.get("params")), group=self._group)
        with self._budget.spend(call) as spent:
            if spent is not None:
                raise self._latch(
                    refused("budget", spent.reason, retryable=True, retry_at=spent.retry_at)
                )
            response = self._send(method, url, options)
        self._judge(url, response)
        return response

    def _send(self, method: Any, url: str, options: dict[str, Any]) -> Any:
        limit, chunks, size = self._config.largest_reply_bytes, [], 0

        def keep(chunk: bytes) -> int:
            nonlocal size
            size += len(chunk)
            if size > limit:
                return CURL_WRITEFUNC_ERROR
            chunks.append(chunk)
            return len(chunk)

        bounds = {"timeout": self._config.request_timeout_seconds, "allow_redirects": False}
        try:
            # The size is counted after decompression: a small reply may unpack to a huge one.
            response = super().request(method, url, **(options | bounds), content_callback=keep)
        except requests.exceptions.RequestException as error:
            if size > limit:
                raise self._latch(malformed(f"a reply is larger than {limit} bytes")) from error
            raise
        response.content = b"".join(chunks)
        return response

    def _judge(self, url: str, response: Any) -> None:
        """Refuse what asking once more, as yfinance would, cannot mend."""
        status, path = response.status_code, urlsplit(url).path
        is_crumb = path.endswith("/getcrumb")
        if status == 429 or (is_crumb and _ASKED_TOO_OFTEN in response.content):
            reason = f"Yahoo says that it was asked too often (HTTP {status}, {path})"
            self._budget.cool_off("yahoo", reason)
            raise self._latch(refused("rate_limited", reason, retryable=True))
        if is_crumb or urlsplit(url).hostname in _COOKIE_HOSTS:
            return
        # 401 and 403 are how Yahoo asks for another cookie, which yfinance then fetches.
        if status >= 400 and status not in (401, 403):
            raise self._latch(refusal_of(status, path, response.content))

    def _latch(self, refusal: YahooError) -> YahooError:
        self.refusal = refusal
        return refusal


class YahooClient:
    """Asks Yahoo one question at a time and gives back what it sent.

    Raises from every question:
        YahooError: Yahoo, the way to it, or the budget did not give an answer.
    """

    def __init__(self, config: YahooConfig, budget: Budget, cache_folder: Path) -> None:
        self._config = config
        self._budget = budget
        self._cache_folder = cache_folder
        self._session: YahooSession | None = None
        self._transport: Any = None

    def chart(self, symbol: str, parameters: dict[str, str]) -> Any:
        """Reply of the chart service: bars, events, and what Yahoo knows of the symbol.

        `Ticker.history` would hide repeated bars, turn an absent volume into 0 and add the extra
        row of a running session to its last bar.
        """
        with self._question(symbol) as transport:
            return _parsed(transport.get(CHART_URL + symbol, params=parameters))

    def summary(self, symbol: str, modules: str) -> Any:
        """Reply of the summary service with some of its modules, in one request."""
        parameters = {"modules": modules, "formatted": "false", "symbol": symbol}
        with self._question(symbol) as transport:
            return _parsed(transport.get(SUMMARY_URL + symbol, params=parameters))

    def info(self, symbol: str) -> Any:
        """`Ticker.info`: three replies about a symbol, joined."""
        with self._question(symbol):
            return yfinance.Ticker(symbol, session=self._session).info

    def close(self) -> None:
        """Let go of connections and cookies; the next question opens new ones."""
        if self._session is not None:
            self._session.close()
        self._session = self._transport = None

    @contextlib.contextmanager
    def _question(self, symbol: str) -> Iterator[Any]:
        with _yfinance_lock:
            session = self._open()
            session.begin(symbol)
            # Past windows are remembered in the process: a bad answer would be given for ever.
            YfData.cache_get.cache_clear()
            try:
                with _translated(session):
                    yield self._transport
                if session.refusal is not None:
                    raise session.refusal
            except YahooError as error:
                if error.failure.kind in ("denied", "cache", "malformed"):
                    self.close()
                raise

    def _open(self) -> YahooSession:
        if self._session is None:
            _silence_loggers()
            yfinance.config.debug.hide_exceptions = False
            yfinance.set_tz_cache_location(str(self._cache_folder))
            # What holds the cookies' file keeps the folder that it was first opened in.
            yfinance.cache._CookieCacheManager._Cookie_cache = None
            self._session = YahooSession(self._config, self._budget)
            # A crumb belongs to its session's cookies: never take over the one of another session.
            SingletonMeta._instances.pop(YfData, None)
            self._transport = YfData(session=self._session)
        SingletonMeta._instances[YfData] = self._transport
        return self._session


@contextlib.contextmanager
def _translated(session: YahooSession) -> Iterator[None]:
    """Turn what curl, yfinance and its parsing raise into a failure; ours comes first."""
    try:
        yield
    except YahooError:
        raise
    except requests.exceptions.RequestException as error:
        raise session.refusal or _transport_failure(error) from error
    except curl_cffi.CurlError as error:
        raise session.refusal or refused("connectivity", str(error), retryable=True) from error
    except YFRateLimitError as error:
        raise session.refusal or refused("rate_limited", str(error), retryable=True) from error
    except (peewee.PeeweeException, pickle.UnpicklingError, EOFError) as error:
        message = f"the folder of yfinance's cookies cannot be used: {error}"
        raise session.refusal or refused("cache", message, retryable=True) from error
    except (
        YFException,
        LookupError,
        ValueError,  # JSON and encodings
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        _forget_cookie()
        what = f"{type(error).__name__}: {error}"
        raise session.refusal or malformed(f"Yahoo's reply is not understood: {what}") from error


def _forget_cookie() -> None:
    """Drop the stored cookie: one that yfinance cannot read fails every later question too."""
    with contextlib.suppress(peewee.PeeweeException):
        get_cookie_cache().store("curlCffi", None)


def _transport_failure(error: requests.exceptions.RequestException) -> YahooError:
    if isinstance(error, requests.exceptions.Timeout):
        return refused("timeout", f"no answer in time: {error}", retryable=True)
    status = getattr(error.response, "status_code", 0)
    if status in (401, 403):
        return denied(status)
    return refused("connectivity", f"Yahoo cannot be reached: {error}", retryable=True)


def _parsed(response: Any) -> Any:
    if response.status_code >= 400:
        raise denied(response.status_code)
    return json.loads(response.content, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} among the numbers")


def _identity(url: str, parameters: Any) -> str:
    said = {name: value for name, value in (parameters or {}).items() if name != "crumb"}
    return f"{url}?{urlencode(said)}" if said else url


def _is_yahoo(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "https" and (host == "yahoo.com" or host.endswith(".yahoo.com"))


def _silence_loggers() -> None:
    """Keep cookies and the addresses of proxies out of other people's logs."""
    for name in ("yfinance", "peewee"):
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
