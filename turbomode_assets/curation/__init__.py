"""Curation: clean bars from candles as delivered, and adjustment for corporate actions."""

from turbomode_assets.curation.adjusted_closes import screen_adjusted_closes
from turbomode_assets.curation.adjusting import adjust
from turbomode_assets.curation.corporate_actions import (
    adjust_back,
    adjust_forward,
    adjustment_factors,
)
from turbomode_assets.curation.curate import curate, find_defects
from turbomode_assets.curation.dividend_screening import screen_dividends, usable_dividends
from turbomode_assets.curation.late_actions import late_actions, straddling_sessions
from turbomode_assets.curation.reasons import ADJUSTED_CLOSE_REASONS, DIVIDEND_REASONS, REASONS
from turbomode_assets.curation.resampling import (
    first_day_of_periods,
    resample_calendar,
    resample_intraday,
)
from turbomode_assets.curation.screening import screen_bars
from turbomode_assets.curation.sectors import with_sectors

__all__ = [
    "ADJUSTED_CLOSE_REASONS",
    "DIVIDEND_REASONS",
    "REASONS",
    "adjust",
    "adjust_back",
    "adjust_forward",
    "adjustment_factors",
    "curate",
    "find_defects",
    "first_day_of_periods",
    "late_actions",
    "resample_calendar",
    "resample_intraday",
    "screen_adjusted_closes",
    "screen_bars",
    "screen_dividends",
    "straddling_sessions",
    "usable_dividends",
    "with_sectors",
]
