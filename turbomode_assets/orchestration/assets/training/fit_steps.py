"""Steps of a training run that fit: the eight base models side by side, the stack, and paths."""

from collections.abc import Iterator

import dagster as dg
import numpy as np

from turbomode_assets.config.models import ModelsConfig
from turbomode_assets.ensemble import TrainingSet, combinatorial_paths, plan_folds
from turbomode_assets.ensemble import run as path
from turbomode_assets.ensemble.folds import FINAL, TrainingRows
from turbomode_assets.ensemble.step_results import CombinatorialPaths, FitCourse
from turbomode_assets.orchestration.assets.training.data_steps import Run, open_run
from turbomode_assets.orchestration.boundary import explained


def _fit_step(name: str) -> dg.OpDefinition:
    """Return the step that fits one base model; the eight run side by side, where cores allow."""

    @dg.op(name=name, description=f"Fit {name} on every fold, stopping early, and on all rows.")
    @explained
    def fit(context: dg.OpExecutionContext, run: Run) -> Run:
        results, _ = open_run(run)
        learned = results.parts(TrainingRows)
        fitted = path.fit_model(
            results.get(TrainingSet), learned, name, results.config, report=context.log.info
        )
        results.put_fitted(fitted)
        seconds = {fit: round(each, 2) for fit, each in fitted.seconds.items()}
        context.add_output_metadata({"iterations": dict(fitted.iterations), "seconds": seconds})
        return run

    return fit


_FIT_STEPS = [_fit_step(name) for name in ModelsConfig.model_fields]


@dg.op
@explained
def stack_models(context: dg.OpExecutionContext, runs: list[Run]) -> Run:
    """Fit meta-learner and calibrator on out-of-fold forecasts, with and without each model."""
    run = runs[0]
    results, _ = open_run(run)
    training_set, rules, fitted = results.get(TrainingSet), results.config, results.fitted()
    stacked = path.stack_models(training_set, fitted, rules, report=context.log.info)
    results.put(stacked)
    results.put(path.stack_without_each(training_set, fitted, rules))
    folds = len(plan_folds(training_set, rules))
    context.add_output_metadata(
        {"models": list(fitted), "calibration": stacked.calibrator.method, "folds": folds}
    )
    return run


@dg.graph
def train_ensemble(run: Run) -> Run:
    """Fit the eight base models and stack them."""
    trained: Run = stack_models([fit(run) for fit in _FIT_STEPS])
    return trained


@dg.op(out=dg.DynamicOut())
def plan_cross_validation(run: Run) -> Iterator[dg.DynamicOutput[str]]:
    """Name the models that combinatorial cross-validation is configured for."""
    results, _ = open_run(run)
    for name in results.config.validation_strategy.combinatorial.models:
        yield dg.DynamicOutput(name, mapping_key=name)


@dg.op
@explained
def cross_validate(context: dg.OpExecutionContext, name: str, run: Run) -> str:
    """Forecast every row on all paths of combinatorial purged cross-validation."""
    results, _ = open_run(run)
    paths = combinatorial_paths(
        results.get(TrainingSet),
        name,
        results.config,
        iterations=results.get(FitCourse, name).iterations[FINAL],
        report=context.log.info,
    )
    results.put(CombinatorialPaths(paths.astype(np.float32)), name)
    context.add_output_metadata({"model": name, "paths": len(paths)})
    return name
