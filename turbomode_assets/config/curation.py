"""How candles and dividends are screened: section `curation` of `data_quality_config.json`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from turbomode_assets.config.section import Section

Factor = Annotated[float, Field(gt=1)]
"""How many times one price is another, whichever is the larger."""
Share = Annotated[float, Field(gt=0, lt=1)]


class DividendScreeningConfig(Section):
    """When a dividend is not believed. A yield is the amount over the close before the ex-date."""

    minimum_events: Annotated[int, Field(ge=2, le=20)]
    unit_tolerance: Factor
    repeat_days: Annotated[int, Field(ge=1, le=6)]
    repeat_tolerance: Share
    largest_yield: Share
    largest_first_yield: Share
    large_yield: Share
    largest_year_of_large_yields: Share
    judged_yield: Share
    smallest_drop_share: Share
    adjusted_close_tolerance: Share

    @model_validator(mode="after")
    def _yields_are_ordered(self) -> Self:
        if not self.judged_yield <= self.large_yield <= self.largest_first_yield:
            raise ValueError("judged_yield <= large_yield <= largest_first_yield does not hold")
        if self.largest_first_yield > self.largest_yield:
            raise ValueError("largest_first_yield is above largest_yield")
        return self


class CurationConfig(Section):
    """Thresholds of the detectors that look at a bar beside the bars before it.

    A bar is compared with the median close of the `look_back_sessions` sessions before it.
    """

    look_back_sessions: Annotated[int, Field(ge=5, le=63)]
    minimum_sessions: Annotated[int, Field(ge=2, le=20)]
    support_share: Annotated[float, Field(gt=0.5, le=1)]
    agreement: Factor
    unit_tolerance: Factor
    split_tolerance: Factor
    smallest_split: Factor
    jump: Factor
    split_sized_jump: Factor
    normal_dollar_volume: Factor
    half_formed_volume_share: Share
    dividends: DividendScreeningConfig

    @model_validator(mode="after")
    def _minimum_fits_the_window(self) -> Self:
        if self.minimum_sessions > self.look_back_sessions:
            raise ValueError("minimum_sessions is above look_back_sessions")
        if self.jump > self.split_sized_jump:
            raise ValueError("jump is above split_sized_jump")
        return self
