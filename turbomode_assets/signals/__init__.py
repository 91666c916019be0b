"""From probabilities to signals, and what became of them."""

from turbomode_assets.signals.barriers import daily_volatility, with_trade_terms
from turbomode_assets.signals.decision import decide
from turbomode_assets.signals.outcomes import (
    close_signals,
    fully_known,
    name_unsettled,
    outcome_figures,
)
from turbomode_assets.signals.predictions import make_predictions
from turbomode_assets.signals.release import Release, rank_signals, release_signals
from turbomode_assets.signals.scanner import scan_symbols

__all__ = [
    "Release",
    "close_signals",
    "daily_volatility",
    "decide",
    "fully_known",
    "make_predictions",
    "name_unsettled",
    "outcome_figures",
    "rank_signals",
    "release_signals",
    "scan_symbols",
    "with_trade_terms",
]
