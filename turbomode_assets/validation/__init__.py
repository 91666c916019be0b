"""Splits that cannot leak, and the numbers a model is judged by."""

from turbomode_assets.validation.calibration import (
    brier_score,
    expected_calibration_error,
    reliability_curve,
)
from turbomode_assets.validation.combinatorial import (
    CombinatorialSplit,
    backtest_paths,
    combinatorial_purged_splits,
)
from turbomode_assets.validation.groups import grouped_metrics
from turbomode_assets.validation.leakage import require_no_leak, single_feature_auc
from turbomode_assets.validation.metrics import (
    class_shares,
    classification_report,
    row_log_losses,
)
from turbomode_assets.validation.overfitting import (
    OverfittingResult,
    probability_of_backtest_overfitting,
)
from turbomode_assets.validation.paired import (
    PairedImprovement,
    paired_improvement,
    session_demeaned_returns,
    session_demeaned_sharpe,
)
from turbomode_assets.validation.portfolio import daily_results, daily_results_of
from turbomode_assets.validation.sharpe import (
    SharpeMoments,
    deflated_sharpe_ratio,
    expected_maximum_sharpe,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    sharpe_moments,
)
from turbomode_assets.validation.uniqueness import sample_uniqueness
from turbomode_assets.validation.walk_forward import Fold, inner_split, walk_forward_folds

__all__ = [
    "CombinatorialSplit",
    "Fold",
    "OverfittingResult",
    "PairedImprovement",
    "SharpeMoments",
    "backtest_paths",
    "brier_score",
    "class_shares",
    "classification_report",
    "combinatorial_purged_splits",
    "daily_results",
    "daily_results_of",
    "deflated_sharpe_ratio",
    "expected_calibration_error",
    "expected_maximum_sharpe",
    "grouped_metrics",
    "inner_split",
    "minimum_track_record_length",
    "paired_improvement",
    "probabilistic_sharpe_ratio",
    "probability_of_backtest_overfitting",
    "reliability_curve",
    "require_no_leak",
    "row_log_losses",
    "sample_uniqueness",
    "session_demeaned_returns",
    "session_demeaned_sharpe",
    "sharpe_moments",
    "single_feature_auc",
    "walk_forward_folds",
]
