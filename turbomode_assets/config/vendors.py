"""Sections of `vendors.json`: which vendors deliver, in which order, and their settings."""

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from turbomode_assets.config.budgets import BudgetConfig
from turbomode_assets.config.section import ConfigurationFile, Section
from turbomode_assets.contracts.timeframes import DERIVED_FROM

VendorName = Literal["simulated", "archive", "ibkr", "yahoo"]
FetchedTimeframe = Literal["1m", "1h", "1d"]


class SimulatedConfig(Section):
    """A made-up market, a function of these values alone."""

    seed: int
    first_session: dt.date
    stocks: Annotated[int, Field(ge=2, le=2000)]
    crypto: Annotated[int, Field(ge=0, le=50)]
    edge_information_coefficient: Annotated[float, Field(ge=0, le=0.9)]


class ArchiveConfig(Section):
    """Files on disk. Paths are relative to `folder`; a relative `folder` to the data root."""

    folder: str
    candles: str
    splits: str | None
    dividends: str | None
    symbols: str | None
    adjustment: Literal["raw", "split", "split_dividend"]
    adjusted_as_of: dt.date | None
    off_session_rows: Literal["refuse", "drop"]

    @model_validator(mode="after")
    def _adjusted_prices_say_when(self) -> Self:
        if (self.adjustment == "raw") != (self.adjusted_as_of is None):
            raise ValueError(
                "adjusted_as_of is the date up to which prices are adjusted: "
                "null for adjustment=raw, a date for split or split_dividend"
            )
        if self.adjustment == "split" and self.splits is None:
            raise ValueError(
                "split-adjusted prices are taken back to unadjusted: name the splits file"
            )
        return self


class IbkrRequestConfig(Section):
    """How a fetched timeframe is asked for: bars of `bar_size` in pieces of `duration`.

    Both as Interactive Brokers writes them (`30 mins`, `1 M`). Bars smaller than the timeframe are
    joined into it, counted from the session's open.
    """

    bar_size: Literal["1 min", "30 mins", "1 day"]
    duration: Annotated[str, Field(pattern=r"^[1-9][0-9]* [DWMY]$")]


class IbkrConfig(Section):
    """Interactive Brokers through IB Gateway or TWS; the login lives there, never here."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    client_id: Annotated[int, Field(ge=0)]
    connect_timeout_seconds: Annotated[float, Field(gt=0)]
    request_timeout_seconds: Annotated[float, Field(gt=0)]
    largest_reply_bars: Annotated[int, Field(ge=1)]
    requests: dict[FetchedTimeframe, IbkrRequestConfig]


class YahooConfig(Section):
    """Yahoo Finance. Days that it looks back, and days per request; null: no limit."""

    look_back_days: dict[FetchedTimeframe, Annotated[int, Field(ge=1)] | None]
    days_per_request: dict[FetchedTimeframe, Annotated[int, Field(ge=1)] | None]
    request_timeout_seconds: Annotated[float, Field(gt=0)]
    largest_reply_bytes: Annotated[int, Field(ge=1024)]


class FetchConfig(Section):
    """How ingestion asks, whoever answers.

    `timeframes` are fetched and everything derivable from them is derived. One question covers at
    most `sessions_per_question` sessions of one symbol. A failure that may pass is asked again, up
    to `attempts` times in all. Sessions are asked once more until `recheck_sessions` later ones
    have closed. Closes of two vendors further apart than `disagreement_tolerance_bps` are logged.
    Rows are stored whenever `rows_per_commit` have gathered or `seconds_per_commit` have gone by. A
    question that a worker took is its own while it works, and free for others `lease_seconds` after
    it died. Reference data is asked again after `reference_age_sessions`.
    """

    timeframes: Annotated[list[FetchedTimeframe], Field(min_length=1)]
    sessions_per_question: dict[FetchedTimeframe, Annotated[int, Field(ge=1)]]
    attempts: Annotated[int, Field(ge=1, le=10)]
    retry_wait_seconds: Annotated[float, Field(ge=0)]
    recheck_sessions: Annotated[int, Field(ge=0, le=20)]
    disagreement_tolerance_bps: Annotated[float, Field(ge=0)]
    rows_per_commit: Annotated[int, Field(ge=1)]
    seconds_per_commit: Annotated[float, Field(gt=0)]
    lease_seconds: Annotated[float, Field(gt=0)]
    reference_age_sessions: dict[
        Literal["instruments", "corporate_actions", "fundamentals"], Annotated[int, Field(ge=1)]
    ]

    @model_validator(mode="after")
    def _every_timeframe_has_a_width(self) -> Self:
        widthless = set(self.timeframes) - set(self.sessions_per_question)
        if widthless or len(set(self.timeframes)) != len(self.timeframes):
            raise ValueError(
                f"timeframes {self.timeframes}: name each once, and give every one a number in "
                "sessions_per_question"
            )
        return self

    @property
    def derived_timeframes(self) -> list[str]:
        """Timeframes that follow from the fetched ones."""
        return [name for name, base in DERIVED_FROM.items() if base in self.timeframes]


class VendorsConfig(ConfigurationFile):
    """Vendors in order of precedence and the settings of each."""

    precedence: Annotated[list[VendorName], Field(min_length=1)]
    fetch: FetchConfig
    simulated: SimulatedConfig
    archive: ArchiveConfig
    ibkr: IbkrConfig
    yahoo: YahooConfig
    budgets: dict[str, BudgetConfig]

    @model_validator(mode="after")
    def _simulated_stands_alone(self) -> Self:
        if len(set(self.precedence)) != len(self.precedence):
            raise ValueError(f"precedence names a vendor twice: {self.precedence}")
        if "simulated" in self.precedence and len(self.precedence) > 1:
            raise ValueError(
                "the simulated market never stands in for a real vendor: name it alone"
            )
        return self

    @model_validator(mode="after")
    def _vendors_with_limits_have_budgets(self) -> Self:
        unlimited = {"ibkr", "yahoo"} - set(self.budgets)
        if unlimited:
            raise ValueError(f"no budget for {', '.join(sorted(unlimited))}")
        return self
