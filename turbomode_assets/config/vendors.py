"""Sections of `vendors.json`: which vendors deliver, in which order, and their settings."""

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from turbomode_assets.config.section import ConfigurationFile, Section

VendorName = Literal["simulated", "archive"]


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


class VendorsConfig(ConfigurationFile):
    """Vendors in order of precedence and the settings of each."""

    precedence: Annotated[list[VendorName], Field(min_length=1)]
    simulated: SimulatedConfig
    archive: ArchiveConfig

    @model_validator(mode="after")
    def _simulated_stands_alone(self) -> Self:
        if len(set(self.precedence)) != len(self.precedence):
            raise ValueError(f"precedence names a vendor twice: {self.precedence}")
        if "simulated" in self.precedence and len(self.precedence) > 1:
            raise ValueError(
                "the simulated market never stands in for a real vendor: name it alone"
            )
        return self
