"""From probabilities to signals, and what became of them."""

from turbomode_assets.signals.decision import decide
from turbomode_assets.signals.outcomes import (
    close_signals,
    fully_known,
    name_unsettled,
    outcome_figures,
)
from turbomode_assets.signals.predictions import make_predictions
from turbomode_assets.signals.release import Release, release_signals

__all__ = [
    "Release",
    "close_signals",
    "decide",
    "fully_known",
    "make_predictions",
    "name_unsettled",
    "outcome_figures",
    "release_signals",
]
