"""Stacking out-of-fold forecasts, calibrating the result, and doing so without each model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from turbomode_assets.config.learning import EnsembleConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.ensemble.calibration import Calibrator
from turbomode_assets.ensemble.meta_learner import BaseProbabilities, MetaLearner
from turbomode_assets.models import Labels, Probabilities
from turbomode_assets.validation import Fold, class_shares
from turbomode_assets.validation.metrics import log_loss

Report = Callable[[str], None]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class StackResult:
    """What stacks the base models from now on, and how its kind did out of sample.

    `forecast` [rows, classes] holds, for the rows of the second fold and later, what a
    meta-learner and calibrator fitted on earlier folds alone said of them; NaN elsewhere.
    """

    meta_learner: MetaLearner
    calibrator: Calibrator
    forecast: Probabilities


def stack(
    base: BaseProbabilities,
    labels: Labels,
    folds: Sequence[Fold],
    config: EnsembleConfig,
    *,
    report: Report,
) -> StackResult:
    """Fit meta-learner and calibrator on out-of-fold forecasts [rows, models, classes].

    Both are fitted for each fold on the rows of earlier folds that its own training rows hold,
    which are purged; the calibrator only on rows that their meta-learner did not learn from, so
    that the second fold has none. The last of each kind learns from all folds.

    Raises:
        MissingDataError: a class is absent where a meta-learner learns.
    """
    forecast = np.full((len(labels), len(CLASSES)), np.nan)
    raw = forecast.copy()
    for fold in folds[1:]:
        rows = _earlier_rows(folds, fold)
        _require_every_class(labels[rows], fold)
        meta = MetaLearner.fit(base[rows], labels[rows], config.meta_learner)
        raw[fold.test] = meta.predict_proba(base[fold.test])
        judged = rows[~np.isnan(raw[rows, 0])]
        calibrator = Calibrator.fit(raw[judged], labels[judged], config.calibration)
        forecast[fold.test] = calibrator.apply(raw[fold.test])
        loss = log_loss(forecast[fold.test], labels[fold.test])
        report(f"fold {fold.number}/{len(folds)} ensemble: log loss {loss:.4f}")
    tested = np.sort(np.concatenate([fold.test for fold in folds]))
    judged = evaluated_rows(folds)
    return StackResult(
        meta_learner=MetaLearner.fit(base[tested], labels[tested], config.meta_learner),
        calibrator=Calibrator.fit(raw[judged], labels[judged], config.calibration),
        forecast=forecast,
    )


def forecasts_without(
    base: BaseProbabilities,
    labels: Labels,
    folds: Sequence[Fold],
    names: Sequence[str],
    config: EnsembleConfig,
) -> dict[str, Probabilities]:
    """Stack again without each base model: the forecasts [rows, classes] by its name."""
    return {
        name: stack(
            np.delete(base, at, axis=1), labels, folds, config, report=lambda line: None
        ).forecast
        for at, name in enumerate(names)
    }


def settled_forecast(base: BaseProbabilities, stacked: StackResult) -> Probabilities:
    """What the final meta-learner and calibrator say of out-of-fold forecasts; NaN where none are.

    Every fold's rows, the first one's too, and all through the stack that signals go through: this
    is what the ensemble will say of rows that it did not learn from, while nothing changes.
    """
    forecast = np.full((len(base), len(CLASSES)), np.nan)
    known = ~np.isnan(base).any(axis=(1, 2))
    forecast[known] = stacked.calibrator.apply(stacked.meta_learner.predict_proba(base[known]))
    return forecast


def evaluated_rows(folds: Sequence[Fold]) -> Rows:
    """Rows that the ensemble is judged on, ascending: those of the second fold and later."""
    return np.sort(np.concatenate([fold.test for fold in folds[1:]]))


def _earlier_rows(folds: Sequence[Fold], fold: Fold) -> Rows:
    earlier = np.concatenate([other.test for other in folds if other.number < fold.number])
    return np.intersect1d(earlier, fold.train)


def _require_every_class(labels: Labels, fold: Fold) -> None:
    shares = class_shares(labels)
    absent = [name for name, share in zip(CLASSES, shares, strict=True) if not share]
    if absent:
        raise MissingDataError(
            f"the {len(labels)} out-of-fold rows before fold {fold.number} hold no label of class "
            f"{', '.join(absent)}",
            where="validation_strategy.walk_forward, meta-learner",
            fix="raise walk_forward.test_sessions, or move the barriers so that every class occurs",
        )
