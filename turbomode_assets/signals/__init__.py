"""From probabilities to signals: what to do about each symbol in each session."""

from turbomode_assets.signals.decision import decide
from turbomode_assets.signals.predictions import make_predictions

__all__ = ["decide", "make_predictions"]
