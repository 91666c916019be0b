"""Putting fitted parts together: the ensemble, and what it scored on rows nothing had seen."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.stored import rules_to_store
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.ensemble.artefact import Ensemble
from turbomode_assets.ensemble.code import environment
from turbomode_assets.ensemble.fitting import FittedModel
from turbomode_assets.ensemble.meta_learner import BaseProbabilities
from turbomode_assets.ensemble.stacking import StackResult, evaluated_rows
from turbomode_assets.ensemble.training_set import TrainingSet
from turbomode_assets.models import Probabilities
from turbomode_assets.validation import Fold, class_shares, classification_report

Rows = NDArray[np.int64]
FORECAST = ("p_sell", "p_hold", "p_buy")


def base_forecasts(fitted: Mapping[str, FittedModel]) -> BaseProbabilities:
    """Out-of-fold forecasts [rows, models, classes] of the base models, in their order."""
    return np.stack([each.out_of_fold for each in fitted.values()], axis=1)


def assemble_ensemble(
    training_set: TrainingSet,
    folds: Sequence[Fold],
    fitted: Mapping[str, FittedModel],
    stacked: StackResult,
    config: TrainingConfig,
    *,
    provenance: Mapping[str, Any],
    formulas: Mapping[str, Any] | None = None,
) -> Ensemble:
    """Put the fitted parts together, with their scores on the evaluated folds.

    `metrics` holds `folds` (what each fold was), `evaluated_folds`, and for each base model and
    `ensemble` the reports of `classification_report`: one for each fold and `pooled` over the
    evaluated folds, so that all are compared on the same rows.
    """
    forecasts = {name: each.out_of_fold for name, each in fitted.items()}
    forecasts["ensemble"] = stacked.forecast
    evaluated = evaluated_rows(folds)
    out_of_sample = pl.DataFrame(stacked.forecast[evaluated], schema=list(FORECAST))
    return Ensemble(
        models={name: each.model for name, each in fitted.items()},
        meta_learner=stacked.meta_learner,
        calibrator=stacked.calibrator,
        columns=training_set.matrix.columns,
        families=dict(training_set.families),
        as_of=training_set.as_of,
        configuration=rules_to_store(config),
        metrics=_metrics(training_set, folds, forecasts, fitted),
        out_of_sample=training_set.rows[evaluated].hstack(out_of_sample),
        provenance={"environment": environment(config.feature_engineering.device)}
        | dict(provenance),
        formulas=formulas,
    )


def training_shares(training_set: TrainingSet, folds: Sequence[Fold]) -> Probabilities:
    """Class shares [rows, classes] of what each test row's fold learned from; NaN elsewhere."""
    shares = np.full((len(training_set.labels), len(CLASSES)), np.nan)
    for fold in folds:
        shares[fold.test] = class_shares(training_set.labels[fold.train])
    return shares


def _metrics(
    training_set: TrainingSet,
    folds: Sequence[Fold],
    forecasts: Mapping[str, Probabilities],
    fitted: Mapping[str, FittedModel],
) -> dict[str, Any]:
    labels, reasons = training_set.labels, training_set.exit_reasons
    shares = training_shares(training_set, folds)

    def score(forecast: Probabilities, rows: Rows) -> dict[str, Any]:
        return classification_report(
            forecast[rows],
            labels[rows],
            training_shares=shares[rows],
            exit_reasons=reasons[rows],
        )

    evaluated = evaluated_rows(folds)
    scores = {
        name: {
            "folds": {
                str(fold.number): score(forecast, fold.test)
                for fold in (folds[1:] if name == "ensemble" else folds)
            },
            "pooled": score(forecast, evaluated),
        }
        for name, forecast in forecasts.items()
    }
    ensemble = scores.pop("ensemble")
    for name, each in fitted.items():
        scores[name]["iterations"] = dict(each.iterations)
    return {
        "as_of": training_set.as_of.isoformat(),
        "rows": len(labels),
        "warm_up_rows": training_set.warm_up_rows,
        "unexpired_rows": training_set.unexpired_rows,
        "class_shares": dict(zip(CLASSES, class_shares(labels).tolist(), strict=True)),
        "folds": [_describe(fold) for fold in folds],
        "evaluated_folds": [fold.number for fold in folds[1:]],
        "ensemble": ensemble,
        "models": scores,
    }


def _describe(fold: Fold) -> dict[str, Any]:
    return {
        "number": fold.number,
        "test_first": fold.test_first.isoformat(),
        "test_last": fold.test_last.isoformat(),
        "train_rows": len(fold.train),
        "test_rows": len(fold.test),
    }
