"""The one path from the rows of a training set to its models, step by step and as a whole.

The steps of a training run in Dagster, `models reproduce` and the studies of the gate all take it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.ensemble.artefact import Ensemble
from turbomode_assets.ensemble.evaluation import Evaluation, evaluate
from turbomode_assets.ensemble.fitting import FittedModel, fit_base_model
from turbomode_assets.ensemble.folds import (
    TrainingRows,
    candidate_rows,
    plan_folds,
    sample_ordinary,
    weigh,
)
from turbomode_assets.ensemble.stacking import StackResult, evaluated_rows, forecasts_without, stack
from turbomode_assets.ensemble.step_results import SampledRows
from turbomode_assets.ensemble.training import (
    assemble_ensemble,
    base_forecasts,
    training_shares,
)
from turbomode_assets.ensemble.training_set import TrainingSet
from turbomode_assets.models import Probabilities, base_models

Report = Callable[[str], None]


@dataclass(frozen=True)
class StackedWithout:
    """Out-of-sample forecasts of the stack without each base model, by its name."""

    forecasts: dict[str, Probabilities]


@dataclass(frozen=True)
class TrainedModels:
    """The fitted base models, and what stacks them."""

    fitted: Mapping[str, FittedModel]
    stacked: StackResult


def sample(training_set: TrainingSet, config: TrainingConfig) -> SampledRows:
    """Draw the ordinary rows of every fit within the bounds of balanced sampling."""
    candidates = candidate_rows(training_set, plan_folds(training_set, config))
    ordinary = {
        fit: sample_ordinary(training_set, rows, config) for fit, rows in candidates.items()
    }
    return SampledRows(candidates, ordinary)


def weigh_samples(
    training_set: TrainingSet, sampled: SampledRows, config: TrainingConfig
) -> dict[str, TrainingRows]:
    """Weigh every row of every fit by class, regime, uniqueness and replayed error."""
    return {
        fit: weigh(training_set, rows, sampled.ordinary[fit], config)
        for fit, rows in sampled.candidates.items()
    }


def fit_model(
    training_set: TrainingSet,
    learned: Mapping[str, TrainingRows],
    name: str,
    config: TrainingConfig,
    *,
    report: Report,
) -> FittedModel:
    """Fit one base model on every fold, stopping early, and on all rows."""
    folds = plan_folds(training_set, config)
    return fit_base_model(training_set, folds, learned, name, config, report=report)


def stack_models(
    training_set: TrainingSet,
    fitted: Mapping[str, FittedModel],
    config: TrainingConfig,
    *,
    report: Report,
) -> StackResult:
    """Fit meta-learner and calibrator on out-of-fold forecasts."""
    folds = plan_folds(training_set, config)
    base = base_forecasts(fitted)
    return stack(base, training_set.labels, folds, config.ensemble_config, report=report)


def stack_without_each(
    training_set: TrainingSet, fitted: Mapping[str, FittedModel], config: TrainingConfig
) -> StackedWithout:
    """Stack again without each base model, to see what it is worth."""
    folds, base = plan_folds(training_set, config), base_forecasts(fitted)
    labels, rules = training_set.labels, config.ensemble_config
    return StackedWithout(forecasts_without(base, labels, folds, list(fitted), rules))


def train(training_set: TrainingSet, config: TrainingConfig, *, report: Report) -> TrainedModels:
    """Sample, weigh, fit and stack: what the steps of a training run do one by one."""
    learned = weigh_samples(training_set, sample(training_set, config), config)
    fitted = {
        name: fit_model(training_set, learned, name, config, report=report)
        for name in base_models(config.ensemble_config.models)
    }
    return TrainedModels(fitted, stack_models(training_set, fitted, config, report=report))


def judge(
    training_set: TrainingSet,
    trained: TrainedModels,
    adjusted: pl.DataFrame,
    config: TrainingConfig,
    *,
    trials: Mapping[str, float],
    without: StackedWithout | None = None,
) -> Evaluation:
    """Score every model and the ensemble on the rows that nothing in them had seen."""
    folds = plan_folds(training_set, config)
    rows = evaluated_rows(folds)
    forecasts = {name: each.out_of_fold[rows] for name, each in trained.fitted.items()}
    removed = {} if without is None else without.forecasts
    return evaluate(
        training_set.rows[rows],
        forecasts | {"ensemble": trained.stacked.forecast[rows]},
        training_shares(training_set, folds)[rows],
        adjusted,
        config.validation_strategy,
        config.sector_symbol_tracking,
        trials=trials,
        without={name: forecast[rows] for name, forecast in removed.items()},
    )


def train_ensemble(
    training_set: TrainingSet, config: TrainingConfig, *, report: Report
) -> Ensemble:
    """Fit eight base models and stack them, and measure all of them out of sample.

    `report` gets one line for each fit.

    Raises:
        MissingDataError: too few sessions for the folds, or a class is absent where the
            meta-learner learns.
    """
    trained = train(training_set, config, report=report)
    folds = plan_folds(training_set, config)
    return assemble_ensemble(
        training_set, folds, trained.fitted, trained.stacked, config, provenance={}
    )
