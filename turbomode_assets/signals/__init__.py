"""From probabilities to signals: what to do about each symbol in each session."""

from turbomode_assets.signals.decision import decide
from turbomode_assets.signals.predictions import make_predictions
from turbomode_assets.signals.release import Release, release_signals

__all__ = ["Release", "decide", "make_predictions", "release_signals"]
