"""Curation: clean bars from candles as delivered, and adjustment for corporate actions."""

from turbomode_assets.curation.corporate_actions import (
    adjust_back,
    adjust_forward,
    adjustment_factors,
)
from turbomode_assets.curation.curate import curate
from turbomode_assets.curation.reasons import REASONS
from turbomode_assets.curation.resampling import (
    first_day_of_periods,
    resample_calendar,
    resample_intraday,
)
from turbomode_assets.curation.sectors import with_sectors

__all__ = [
    "REASONS",
    "adjust_back",
    "adjust_forward",
    "adjustment_factors",
    "curate",
    "first_day_of_periods",
    "resample_calendar",
    "resample_intraday",
    "with_sectors",
]
