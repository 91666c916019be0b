"""What a vendor is asked and what it may answer.

A vendor answers with data, with the fact that there is none, or with a failure. It never raises for
what its remote side does, and never says `NoData` when it could not find out.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Literal, Protocol

import polars as pl

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.tables import UTC_TIME
from turbomode_assets.sessions import SessionSpan

CANDLE_SCHEMA = pl.Schema(
    {
        "ts": UTC_TIME,
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Float64(),
        "vwap": pl.Float64(),
        "trades": pl.Int64(),
    }
)
"""Candles of one symbol; ts is the start of the bar. Daily bars start at the session's open (24/7:
midnight UTC). Intraday bars are counted from there, whatever anchor the vendor has by itself."""

SPLIT_SCHEMA = pl.Schema({"ex_date": pl.Date(), "ratio": pl.Float64()})
"""Splits of one symbol; the ratio is new shares per old share."""

DIVIDEND_SCHEMA = pl.Schema(
    {"ex_date": pl.Date(), "amount": pl.Float64(), "previous_close": pl.Float64()}
)
"""Cash dividends of one symbol, amount and previous close in the same share basis."""

INSTRUMENT_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "name": pl.String(),
        "asset_class": pl.String(),
        "calendar": pl.String(),
        "role": pl.String(),
        "sector": pl.String(),
        "vendor_sector": pl.String(),
        "first_session": pl.Date(),
        "last_session": pl.Date(),
    }
)
"""What a vendor knows of its symbols: `sector` in the GICS vocabulary, `vendor_sector` in its own.
Sectors and sessions are null where it does not know them."""

FUNDAMENTALS_SCHEMA = pl.Schema({"metric": pl.String(), "value": pl.Float64()})
"""Present values of one symbol's metrics, named as in `contracts.fundamentals.METRICS`."""


@dataclass(frozen=True)
class Request:
    """One symbol's data from `span.first_day` to `span.last`, both included."""

    symbol: str
    calendar: str
    span: SessionSpan
    timeframe: str = "1d"


@dataclass(frozen=True)
class Instruments:
    """Every symbol a vendor offers, in INSTRUMENT_SCHEMA, and whose names `vendor_sector` uses."""

    frame: pl.DataFrame
    vocabulary: str | None = None


@dataclass(frozen=True)
class Fundamentals:
    """One symbol's present metrics in FUNDAMENTALS_SCHEMA; those the vendor lacks have no row."""

    frame: pl.DataFrame


@dataclass(frozen=True)
class Candles:
    """One symbol's candles in CANDLE_SCHEMA, and what the vendor already did to their prices."""

    frame: pl.DataFrame
    adjustment: Literal["raw", "split", "split_dividend"] = "raw"
    adjusted_as_of: dt.date | None = None

    def __post_init__(self) -> None:
        """Refuse adjusted prices that do not say up to when, and raw ones that do."""
        if (self.adjustment == "raw") != (self.adjusted_as_of is None):
            raise InputError(
                f"adjustment={self.adjustment} with adjusted_as_of={self.adjusted_as_of}",
                where="candles of a vendor",
                fix="adjusted prices carry the date up to which they are adjusted, raw ones none",
            )


@dataclass(frozen=True)
class CorporateActions:
    """One symbol's events with an ex-date inside the span; frames without rows mean none."""

    splits: pl.DataFrame = field(default_factory=SPLIT_SCHEMA.to_frame)
    dividends: pl.DataFrame = field(default_factory=DIVIDEND_SCHEMA.to_frame)


@dataclass(frozen=True)
class NoData:
    """A fact: the vendor knows that there is nothing (not listed yet, delisted, no trading)."""

    reason: str


@dataclass(frozen=True)
class VendorFailure:
    """The vendor could not say. `kind` is one word for counting, `message` is for a person.

    `retryable`: the same question may be answered soon. `budget` as kind means that the vendor was
    not asked, because its budget allows no call before `retry_at`.
    """

    kind: str
    message: str
    retryable: bool
    retry_at: dt.datetime | None = None


class Vendor(Protocol):
    """A source of market data, asked one symbol at a time."""

    @property
    def name(self) -> str:
        """What the `vendor` column says of its rows."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of its deliveries should know, in sentences; empty when nothing."""
        ...

    def fetch_metadata(self) -> Instruments | VendorFailure:
        """Every symbol offered, or why that could not be found out."""
        ...

    def fetch_candles(self, request: Request) -> Candles | NoData | VendorFailure:
        """One symbol's candles over a span."""
        ...

    def candle_calls(self, request: Request) -> int:
        """Calls on its budget that `fetch_candles` takes for this request; nobody is asked."""
        ...

    def fetch_corporate_actions(self, request: Request) -> CorporateActions | VendorFailure:
        """One symbol's splits and dividends with an ex-date inside a span."""
        ...

    def fetch_fundamentals(self, request: Request) -> Fundamentals | NoData | VendorFailure:
        """One symbol's metrics as of now; the span of the request says nothing here."""
        ...

    def close(self) -> None:
        """Let go of connections; a later call opens them again."""
        ...
