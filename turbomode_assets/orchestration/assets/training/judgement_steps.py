"""Steps of a training run that judge what was fitted, and decide whether its signals go out."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from turbomode_assets.config.judging import ShapAnalysisConfig
from turbomode_assets.config.loader import trial_digest
from turbomode_assets.config.training import DriftConfig
from turbomode_assets.contracts.columns import DECISION_SESSION
from turbomode_assets.contracts.errors import MissingDataError, StoreError
from turbomode_assets.drift import (
    DriftReference,
    drift_by_session,
    drift_verdicts,
    freeze_outcomes,
    freeze_predictions,
    freeze_reference,
)
from turbomode_assets.ensemble import StackResult, StepResults, TrainingSet, plan_folds
from turbomode_assets.ensemble.contributions import (
    feature_contributions,
    importance_drift,
    importance_table,
    sample_rows,
)
from turbomode_assets.ensemble.evaluation import Evaluation, combinatorial_evaluation
from turbomode_assets.ensemble.run import StackedWithout, TrainedModels, judge
from turbomode_assets.ensemble.stacking import evaluated_rows, settled_forecast
from turbomode_assets.ensemble.step_results import CombinatorialPaths, MarketInputs, Trials
from turbomode_assets.ensemble.training import FORECAST, base_forecasts
from turbomode_assets.modelling.training_inputs import champion_before
from turbomode_assets.orchestration.assets.metadata import inline_picture, store_picture
from turbomode_assets.orchestration.assets.training.data_steps import Run, open_run
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.resources.stores import ArtifactsResource, MemoryResource
from turbomode_assets.reports import (
    ablation_picture,
    calibration_picture,
    importance_picture,
    learning_curves_picture,
    preview_markdown,
    regime_confusion_picture,
)
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Artifacts
from turbomode_assets.stores.artifacts import (
    DRIFT_REFERENCE,
    IMPORTANCE,
    OUTCOME_REFERENCE,
    PREDICTION_REFERENCE,
)
from turbomode_assets.stores.model_registry import Champion, trial_sharpes


def _table(frame: pl.DataFrame) -> dg.MetadataValue:
    return dg.MetadataValue.md(preview_markdown(frame, rows=frame.height))


@dg.op
@explained
def run_regime_aware_validation(
    context: dg.OpExecutionContext, run: Run, crossed: list[str], memory: MemoryResource
) -> Run:
    """Score every model and the ensemble on rows that nothing in them had seen, by regime too."""
    results, as_of = open_run(run)
    training_set, config = results.get(TrainingSet), results.config
    trials = trial_sharpes(memory.open(), as_of)
    trials.pop(trial_digest(config), None)
    judged = judge(
        training_set,
        TrainedModels(results.fitted(), results.get(StackResult)),
        results.get(MarketInputs).adjusted,
        config,
        trials=trials,
        without=results.get(StackedWithout),
    )
    for result in (Trials(trials), judged):
        results.put(result)
    paths = _paths(results, crossed)
    context.add_output_metadata(
        {name: value for name, value in judged.figures.items() if value is not None}
        | {
            "by_regime": _table(judged.regimes),
            "ablation": _table(judged.ablation),
            "combinatorial_paths": _table(paths),
        }
        | _pictures(results, judged)
    )
    return run


def _paths(results: StepResults, crossed: list[str]) -> pl.DataFrame:
    rows, adjusted = results.get(TrainingSet).rows, results.get(MarketInputs).adjusted
    frames = [
        combinatorial_evaluation(
            rows, results.get(CombinatorialPaths, name).paths.astype(np.float64), adjusted
        ).select(pl.lit(name).alias("model"), pl.all())
        for name in crossed
    ]
    return pl.concat(frames) if frames else pl.DataFrame({"model": []}, schema={"model": pl.String})


def _pictures(results: StepResults, judged: Evaluation) -> dict[str, dg.MetadataValue]:
    training_set = results.get(TrainingSet)
    rows = evaluated_rows(plan_folds(training_set, results.config))
    forecast = results.get(StackResult).forecast[rows]
    vendors = results.get(MarketInputs).vendors
    named = training_set.rows[rows].select(
        "regime", "label", predicted=pl.Series(forecast.argmax(axis=1), dtype=pl.Int8)
    )
    curves = {
        name: [(int(fold), curve) for fold, curve in each.curves.items() if curve]
        for name, each in results.fitted().items()
        if any(each.curves.values())
    }
    drawn = {
        "learning_curves": lambda: learning_curves_picture(curves, vendors=vendors),
        "reliability": lambda: calibration_picture(judged.reliability, vendors=vendors),
        "regime_confusion": lambda: regime_confusion_picture(named, vendors=vendors),
        "ablation_picture": lambda: ablation_picture(judged.ablation, vendors=vendors),
    }
    folder = results.reports
    return {
        name: inline_picture(name, store_picture(draw, folder / f"{name}.png"))
        for name, draw in drawn.items()
    }


@dg.op
@explained
def run_sector_symbol_analysis(context: dg.OpExecutionContext, run: Run) -> Run:
    """Report sectors and symbols that are too thin to judge, or where the ensemble does worst."""
    results, _ = open_run(run)
    judged = results.get(Evaluation)
    sectors, symbols = judged.sectors, judged.symbols
    alerted = symbols.filter(pl.col("alerts").list.len() > 0)
    worst = symbols.sort("log_loss", descending=True, nulls_last=True).head(10)
    context.add_output_metadata(
        {
            "sectors": _table(_flat(sectors)),
            "symbols_with_alerts": alerted.height,
            "alerts": _table(_flat(alerted.head(20))),
            "worst_symbols": _table(_flat(worst)),
        }
    )
    return run


def _flat(judged: pl.DataFrame) -> pl.DataFrame:
    return judged.with_columns(pl.col("alerts").list.join(", "))


@dg.op
@explained
def run_drift_detection(
    context: dg.OpExecutionContext,
    run: Run,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
) -> Run:
    """Freeze what features, forecasts and labels look like, and compare with the champion's."""
    results, as_of = open_run(run)
    training_set, rules = results.get(TrainingSet), results.config.drift_detection
    reference = freeze_reference(
        training_set.features,
        training_set.matrix.columns,
        rules,
        sessions=training_set.rows.get_column(DECISION_SESSION),
    )
    reference.save(results.folder / DRIFT_REFERENCE)
    context.add_output_metadata(
        {"features": len(training_set.matrix.columns)} | _freeze_subjects(results)
    )
    champion = champion_before(memory.open(), as_of)
    if champion is not None:
        try:
            folder = artifacts.open().model_folder(champion.model_version)
            since = _drift_since(DriftReference.load(folder / DRIFT_REFERENCE), training_set, rules)
            facts = {"champion": champion.model_version, "verdict": _table(since)}
        except StoreError as error:
            # A champion whose files are gone must not stop its successor.
            facts = {"champion": str(error)}
        context.add_output_metadata(facts)
    return run


def _freeze_subjects(results: StepResults) -> dict[str, Any]:
    """Freeze forecasts and labels where there are enough; the rows of each, or why not."""
    training_set, config = results.get(TrainingSet), results.config
    said = settled_forecast(base_forecasts(results.fitted()), results.get(StackResult))
    forecasts = pl.DataFrame(said, schema=list(FORECAST)).with_columns(
        session=training_set.rows.get_column(DECISION_SESSION)
    )
    rules, wait = config.drift_detection, config.triple_barrier.horizon_sessions + 1
    freeze: dict[str, Callable[[], DriftReference]] = {
        PREDICTION_REFERENCE: lambda: freeze_predictions(forecasts.drop_nans(), rules),
        OUTCOME_REFERENCE: lambda: freeze_outcomes(training_set.rows, rules, longest_wait=wait),
    }
    facts: dict[str, Any] = {}
    for file, frozen in freeze.items():
        name = file.removesuffix(".json")
        try:
            reference = frozen()
            reference.save(results.folder / file)
            facts[name] = f"{reference.rows} rows"
        except MissingDataError as error:
            # Too short a history to watch these must not stop a training that is long enough.
            facts[name] = str(error)
    return facts


def _drift_since(
    reference: DriftReference, training_set: TrainingSet, rules: DriftConfig
) -> pl.DataFrame:
    """Verdict on the newest decisions learned from, against what the champion learned from."""
    decided = training_set.rows.get_column(DECISION_SESSION)
    rows = training_set.rows.select("symbol", session=decided).hstack(training_set.features)
    last = training_set.decision.max().item()
    drift = drift_by_session(reference, rows, SessionSpan(last, last), rules)
    return drift_verdicts(drift, rules)


@dg.op
@explained
def run_shap_analysis(
    context: dg.OpExecutionContext,
    run: Run,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
) -> Run:
    """Attribute forecasts to features, and compare importance with the champion's."""
    results, as_of = open_run(run)
    training_set, rules = results.get(TrainingSet), results.config
    picked = sample_rows(
        rules.shap_analysis.sample_rows,
        evaluated_rows(plan_folds(training_set, rules)),
        seed=rules.training_orchestrator.seed,
    )
    table = importance_table(
        feature_contributions(results.models(), training_set.matrix.select(picked)),
        training_set.matrix.columns,
        training_set.families,
        regimes=training_set.rows.get_column("regime")[picked].to_list(),
    )
    table.write_parquet(results.folder / IMPORTANCE)
    top, vendors = rules.shap_analysis.top_features, results.get(MarketInputs).vendors
    content = store_picture(
        lambda: importance_picture(table, top=top, vendors=vendors),
        results.reports / "importance.png",
    )
    facts = {"rows": len(picked), "importance": inline_picture("importance", content)}
    champion = champion_before(memory.open(), as_of)
    if champion is not None:
        facts |= _importance_since(table, champion, artifacts.open(), rules.shap_analysis)
    everything = table.filter(pl.col("scope") == "all").head(top)
    context.add_output_metadata(facts | {"top_features": _table(everything)})
    return run


def _importance_since(
    table: pl.DataFrame, champion: Champion, artifacts: Artifacts, rules: ShapAnalysisConfig
) -> dict[str, Any]:
    """How far importance moved since the champion, as metadata."""
    try:
        before = artifacts.model_folder(champion.model_version) / IMPORTANCE
    except StoreError as error:
        # A champion whose files are gone must not stop its successor.
        return {"champion": str(error)}
    change = importance_drift(table, pl.read_parquet(before), rules)
    return {
        "champion": champion.model_version,
        "rank_correlation": change.rank_correlation,
        "drifted": change.drifted,
    }
