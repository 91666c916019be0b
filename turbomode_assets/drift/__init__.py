"""Whether today's features still look like the ones that the champion was trained on."""

from turbomode_assets.drift.reference import DriftReference, freeze_reference
from turbomode_assets.drift.stability import drift_by_session, population_stability

__all__ = ["DriftReference", "drift_by_session", "freeze_reference", "population_stability"]
