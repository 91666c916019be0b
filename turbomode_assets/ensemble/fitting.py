"""Fitting one base model: on every fold, on every row, and on combinatorial splits."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.ensemble.folds import FINAL, TrainingRows, hold_out, learned_rows
from turbomode_assets.ensemble.training_set import TrainingSet
from turbomode_assets.models import BaseModel, HeldOut, Probabilities, base_models
from turbomode_assets.sessions import sessions_between
from turbomode_assets.validation import Fold, backtest_paths, combinatorial_purged_splits
from turbomode_assets.validation.metrics import log_loss

Report = Callable[[str], None]


@dataclass(frozen=True)
class FittedModel:
    """A base model fitted on every row, and what its fits on the folds said.

    `out_of_fold` [rows, classes] holds the forecast of every test row, NaN elsewhere. `curves`
    holds the loss on the rows held out after each iteration, `iterations` what each fit kept, and
    `seconds` what it took, by fold; `final` is the fit on every row.
    """

    name: str
    model: BaseModel
    out_of_fold: Probabilities
    curves: Mapping[str, tuple[float, ...]]
    iterations: Mapping[str, int | None]
    seconds: Mapping[str, float]


def fit_base_model(
    training_set: TrainingSet,
    folds: list[Fold],
    learned: Mapping[str, TrainingRows],
    name: str,
    config: TrainingConfig,
    *,
    report: Report,
) -> FittedModel:
    """Fit a base model on each fold, stopping early, and once more on every row.

    Each fold holds the end of its own training rows out to decide when to stop. The final fit
    holds nothing out: it takes the median of the iterations that the folds kept.
    """
    matrix, labels = training_set.matrix, training_set.labels
    out_of_fold = np.full((len(labels), len(CLASSES)), np.nan)
    curves: dict[str, tuple[float, ...]] = {}
    iterations: dict[str, int | None] = {}
    seconds: dict[str, float] = {}
    for fold in folds:
        started, key = time.perf_counter(), str(fold.number)
        learn, stop = hold_out(training_set, learned[key], config)
        model = _new_model(name, config).fit(
            matrix.select(learn.rows),
            labels[learn.rows],
            seed=config.training_orchestrator.seed,
            weights=learn.weights,
            held_out=HeldOut(matrix.select(stop.rows), labels[stop.rows], stop.weights),
        )
        out_of_fold[fold.test] = model.predict_proba(matrix.select(fold.test))
        curves[key], iterations[key] = model.learning_curve, model.iterations
        seconds[key] = time.perf_counter() - started
        loss = log_loss(out_of_fold[fold.test], labels[fold.test])
        report(
            f"fold {key}/{len(folds)} {name}: {seconds[key]:.1f} s, {_kept(model)}"
            f"log loss {loss:.4f}"
        )
    started, everything = time.perf_counter(), learned[FINAL]
    final = _new_model(name, config).fit(
        matrix.select(everything.rows),
        labels[everything.rows],
        seed=config.training_orchestrator.seed,
        weights=everything.weights,
        iterations=median_iterations(iterations),
    )
    iterations[FINAL] = final.iterations
    seconds[FINAL] = time.perf_counter() - started
    report(f"refit {name}: {seconds[FINAL]:.1f} s")
    return FittedModel(name, final, out_of_fold, curves, iterations, seconds)


def median_iterations(iterations: Mapping[str, int | None]) -> int | None:
    """Median of what the folds kept, rounded up; None for a model without iterations."""
    kept = [count for count in iterations.values() if count is not None]
    return int(np.ceil(np.median(kept))) if kept else None


def combinatorial_paths(
    training_set: TrainingSet,
    name: str,
    config: TrainingConfig,
    *,
    iterations: int | None,
    report: Report,
) -> Probabilities:
    """Forecast every row on every path of combinatorial purged cross-validation.

    Returns [paths, rows, classes]. `iterations` are those of the model's final fit.
    """
    rules = config.validation_strategy
    decision, label_end = training_set.decision, training_set.label_end
    splits = list(
        combinatorial_purged_splits(
            decision,
            label_end,
            sessions_between(decision.min().item(), max(label_end.max(), decision.max()).item()),
            groups=rules.combinatorial.groups,
            test_groups=rules.combinatorial.test_groups,
            embargo_sessions=rules.walk_forward.embargo_sessions,
            horizon_sessions=config.triple_barrier.horizon_sessions,
        )
    )
    matrix, forecasts = training_set.matrix, []
    started = time.perf_counter()
    for split in splits:
        learned = learned_rows(training_set, {FINAL: split.train}, config)[FINAL]
        model = _new_model(name, config).fit(
            matrix.select(learned.rows),
            training_set.labels[learned.rows],
            seed=config.training_orchestrator.seed,
            weights=learned.weights,
            iterations=iterations,
        )
        forecasts.append(model.predict_proba(matrix.select(split.test)))
    report(f"{len(splits)} combinatorial fits of {name}: {time.perf_counter() - started:.1f} s")
    return backtest_paths(splits, forecasts, rows=len(training_set.labels))


def _new_model(name: str, config: TrainingConfig) -> BaseModel:
    return base_models(config.ensemble_config.models, config.feature_engineering.device)[name]


def _kept(model: BaseModel) -> str:
    return f"{model.iterations} iterations, " if model.learning_curve else ""
