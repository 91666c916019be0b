"""Fitting the ensemble, and measuring it on rows that nothing in it has seen."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.ensemble.artefact import Ensemble
from turbomode_assets.ensemble.meta_learner import BaseProbabilities, MetaLearner
from turbomode_assets.ensemble.training_set import TrainingSet
from turbomode_assets.models import BaseModel, Labels, Probabilities, base_models
from turbomode_assets.sessions import sessions_between
from turbomode_assets.validation import (
    Fold,
    class_shares,
    classification_report,
    walk_forward_folds,
)
from turbomode_assets.validation.metrics import log_loss

Report = Callable[[str], None]
Rows = NDArray[np.int64]


def train_ensemble(
    training_set: TrainingSet, config: TrainingConfig, *, report: Report
) -> Ensemble:
    """Fit eight base models and the meta-learner, and measure all of them out of sample.

    The meta-learner is fitted on out-of-fold predictions; the base models are then fitted once
    more on every row. From the second fold on, a meta-learner fitted on the out-of-fold rows of
    earlier folds alone, purged as the fold's training rows are, predicts the fold: those are the
    ensemble's metrics. `report` gets one line for each fit.

    `metrics` holds `folds` (what each fold was), `evaluated_folds`, and for each base model and
    `ensemble` the reports of `classification_report`: one for each fold and `pooled` over the
    evaluated folds, so that all are compared on the same rows.

    Raises:
        MissingDataError: too few sessions for the folds, or a class is absent where the
            meta-learner learns.
    """
    folds = _folds(training_set, config)
    meta_rows = _meta_rows(folds, training_set.labels)
    base = _out_of_fold(training_set, folds, config, report)
    stacked = np.full((len(training_set.labels), len(CLASSES)), np.nan)
    for fold in folds[1:]:
        learned = meta_rows[fold.number]
        meta = MetaLearner.fit(
            base[learned], training_set.labels[learned], config.ensemble_config.meta_learner
        )
        stacked[fold.test] = meta.predict_proba(base[fold.test])
        loss = log_loss(stacked[fold.test], training_set.labels[fold.test])
        report(f"fold {fold.number}/{len(folds)} ensemble: log loss {loss:.4f}")
    tested = np.concatenate([fold.test for fold in folds])
    models = _refit(training_set, config, report)
    names = tuple(models)
    forecasts = {name: base[:, at] for at, name in enumerate(names)} | {"ensemble": stacked}
    return Ensemble(
        models=models,
        meta_learner=MetaLearner.fit(
            base[tested], training_set.labels[tested], config.ensemble_config.meta_learner
        ),
        columns=training_set.matrix.columns,
        families=dict(training_set.families),
        as_of=training_set.as_of,
        configuration=config.model_dump(mode="json"),
        metrics=_metrics(training_set, folds, forecasts),
        out_of_sample=_out_of_sample(training_set, folds, stacked),
    )


def _folds(training_set: TrainingSet, config: TrainingConfig) -> list[Fold]:
    decision, label_end = training_set.decision, training_set.label_end
    return walk_forward_folds(
        decision,
        label_end,
        sessions_between(decision.min().item(), max(label_end.max(), decision.max()).item()),
        config.validation_strategy.walk_forward,
        horizon_sessions=config.triple_barrier.horizon_sessions,
    )


def _meta_rows(folds: list[Fold], labels: Labels) -> dict[int, Rows]:
    """Rows of earlier folds that the meta-learner of each later fold may learn from."""
    rows = {}
    for fold in folds[1:]:
        earlier = np.concatenate([other.test for other in folds if other.number < fold.number])
        rows[fold.number] = np.intersect1d(earlier, fold.train)
        present = class_shares(labels[rows[fold.number]])
        absent = [name for name, share in zip(CLASSES, present, strict=True) if not share]
        if absent:
            raise MissingDataError(
                f"the {len(rows[fold.number])} out-of-fold rows before fold {fold.number} hold no "
                f"label of class {', '.join(absent)}",
                where="walk_forward, meta-learner",
                fix="raise walk_forward.test_sessions, or move the barriers so that every class "
                "occurs",
            )
    return rows


def _out_of_fold(
    training_set: TrainingSet, folds: list[Fold], config: TrainingConfig, report: Report
) -> BaseProbabilities:
    """Base probabilities [rows, models, classes] of every test row; NaN elsewhere."""
    matrix, labels = training_set.matrix, training_set.labels
    count = len(base_models(config.ensemble_config.models))
    base = np.full((len(labels), count, len(CLASSES)), np.nan)
    for fold in folds:
        train, test = matrix.select(fold.train), matrix.select(fold.test)
        for at, model in enumerate(base_models(config.ensemble_config.models).values()):
            started = time.perf_counter()
            model.fit(train, labels[fold.train], seed=config.training_orchestrator.seed)
            base[fold.test, at] = model.predict_proba(test)
            loss = log_loss(base[fold.test, at], labels[fold.test])
            seconds = time.perf_counter() - started
            report(
                f"fold {fold.number}/{len(folds)} {model.name}: {seconds:.1f} s, "
                f"log loss {loss:.4f}"
            )
    return base


def _refit(
    training_set: TrainingSet, config: TrainingConfig, report: Report
) -> dict[str, BaseModel]:
    models = base_models(config.ensemble_config.models)
    for name, model in models.items():
        started = time.perf_counter()
        model.fit(training_set.matrix, training_set.labels, seed=config.training_orchestrator.seed)
        report(f"refit {name}: {time.perf_counter() - started:.1f} s")
    return models


def _metrics(
    training_set: TrainingSet, folds: list[Fold], forecasts: Mapping[str, Probabilities]
) -> dict[str, Any]:
    labels, reasons = training_set.labels, training_set.exit_reasons
    shares = np.full((len(labels), len(CLASSES)), np.nan)
    for fold in folds:
        shares[fold.test] = class_shares(labels[fold.train])

    def score(forecast: Probabilities, rows: Rows) -> dict[str, Any]:
        return classification_report(
            forecast[rows],
            labels[rows],
            training_shares=shares[rows],
            exit_reasons=reasons[rows],
        )

    evaluated = np.concatenate([fold.test for fold in folds[1:]])
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
    return {
        "as_of": training_set.as_of.isoformat(),
        "rows": len(labels),
        "warm_up_rows": training_set.warm_up_rows,
        "unexpired_rows": training_set.unexpired_rows,
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


def _out_of_sample(
    training_set: TrainingSet, folds: list[Fold], stacked: Probabilities
) -> pl.DataFrame:
    evaluated = np.sort(np.concatenate([fold.test for fold in folds[1:]]))
    probabilities = pl.DataFrame(stacked[evaluated], schema=["p_sell", "p_hold", "p_buy"])
    return training_set.rows[evaluated].hstack(probabilities)
