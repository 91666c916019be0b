"""Whether features, predictions and outcomes still look like what the champion was trained on."""

from turbomode_assets.drift.reference import DriftReference, WindowMaxima, freeze_reference
from turbomode_assets.drift.stability import drift_by_session, population_stability
from turbomode_assets.drift.statistics import (
    kl_divergence,
    ks_statistic,
    population_stability_index,
)
from turbomode_assets.drift.subjects import (
    SUBJECTS,
    drift_where_whole,
    freeze_outcomes,
    freeze_predictions,
    outcome_values,
    rank_drift,
    subject_verdicts,
)
from turbomode_assets.drift.verdict import drift_verdicts

__all__ = [
    "SUBJECTS",
    "DriftReference",
    "WindowMaxima",
    "drift_by_session",
    "drift_verdicts",
    "drift_where_whole",
    "freeze_outcomes",
    "freeze_predictions",
    "freeze_reference",
    "kl_divergence",
    "ks_statistic",
    "outcome_values",
    "population_stability",
    "population_stability_index",
    "rank_drift",
    "subject_verdicts",
]
