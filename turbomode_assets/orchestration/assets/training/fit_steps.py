"""Steps of a training run that fit: the eight base models side by side, the stack, and paths."""

from collections.abc import Iterator

import dagster as dg
import numpy as np

from turbomode_assets.config.models import ModelsConfig
from turbomode_assets.ensemble import combinatorial_paths, fit_base_model, plan_folds
from turbomode_assets.ensemble.folds import FINAL
from turbomode_assets.ensemble.stacking import forecasts_without, stack
from turbomode_assets.ensemble.training import base_forecasts
from turbomode_assets.orchestration.assets.training.data_steps import Run, open_run
from turbomode_assets.orchestration.boundary import explained


def _fit_step(name: str) -> dg.OpDefinition:
    """Return the step that fits one base model; the eight run side by side, where cores allow."""

    @dg.op(name=name, description=f"Fit {name} on every fold, stopping early, and on all rows.")
    @explained
    def fit(context: dg.OpExecutionContext, run: Run) -> Run:
        workbench, _ = open_run(run)
        training_set, rules = workbench.training_set(), workbench.config()
        fitted = fit_base_model(
            training_set,
            plan_folds(training_set, rules),
            workbench.learned(),
            name,
            rules,
            report=context.log.info,
        )
        workbench.save_fitted(fitted)
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
    workbench, _ = open_run(run)
    training_set, rules = workbench.training_set(), workbench.config()
    folds, fitted = plan_folds(training_set, rules), workbench.fitted()
    base, labels = base_forecasts(fitted), training_set.labels
    stacked = stack(base, labels, folds, rules.ensemble_config, report=context.log.info)
    without = forecasts_without(base, labels, folds, list(fitted), rules.ensemble_config)
    workbench.save_stacked(stacked)
    for name, forecast in without.items():
        workbench.save_array(f"without_{name}", forecast)
    context.add_output_metadata(
        {"models": list(fitted), "calibration": stacked.calibrator.method, "folds": len(folds)}
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
    workbench, _ = open_run(run)
    for name in workbench.config().validation_strategy.combinatorial.models:
        yield dg.DynamicOutput(name, mapping_key=name)


@dg.op
@explained
def cross_validate(context: dg.OpExecutionContext, name: str, run: Run) -> str:
    """Forecast every row on all paths of combinatorial purged cross-validation."""
    workbench, _ = open_run(run)
    paths = combinatorial_paths(
        workbench.training_set(),
        name,
        workbench.config(),
        iterations=workbench.json(f"course_{name}")["iterations"][FINAL],
        report=context.log.info,
    )
    workbench.save_array(f"paths_{name}", paths.astype(np.float32))
    context.add_output_metadata({"model": name, "paths": len(paths)})
    return name
