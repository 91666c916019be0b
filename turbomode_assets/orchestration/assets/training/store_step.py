"""The last step of a training run: model files in place, then model and decision recorded."""

import datetime as dt
import json
import shutil
from typing import Any

import dagster as dg
import polars as pl

from turbomode_assets.config.loader import trial_digest
from turbomode_assets.config.stored import rules_to_store
from turbomode_assets.ensemble import (
    Ensemble,
    StackResult,
    StepResults,
    TrainingSet,
    assemble_ensemble,
    plan_folds,
)
from turbomode_assets.ensemble.evaluation import Evaluation
from turbomode_assets.ensemble.step_results import (
    LearningMemory,
    MarketInputs,
    PromotionOutcome,
    RunRules,
    Trials,
)
from turbomode_assets.features import feature_names
from turbomode_assets.modelling.feature_sets import present_feature_set
from turbomode_assets.modelling.model_identity import Identity, identify
from turbomode_assets.orchestration.assets.training.data_steps import Run, open_run
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.resources.experiment_tracking import ExperimentTrackingResource
from turbomode_assets.orchestration.resources.stores import ArtifactsResource, MemoryResource
from turbomode_assets.reports import preview_markdown
from turbomode_assets.stores import Artifacts
from turbomode_assets.stores.artifacts import (
    DRIFT_REFERENCE,
    ENSEMBLE,
    EVALUATION,
    IMPORTANCE,
    INPUTS,
    OUTCOME_REFERENCE,
    PREDICTION_REFERENCE,
    REPORTS,
)
from turbomode_assets.stores.learning_memory import replace_archives
from turbomode_assets.stores.model_registry import ModelRecord, is_newest, record_model
from turbomode_assets.stores.promotions import Decision, gate_decision


@dg.op(out=dg.Out(dg.Nothing, is_required=False), ins={"reported": dg.In(dg.Nothing)})
@explained
def store_model_and_metadata(
    context: dg.OpExecutionContext,
    run: Run,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
    tracking: ExperimentTrackingResource,
) -> Any:
    """Put the model's files in place, then record model and decision in one transaction."""
    results, as_of = open_run(run)
    identity, finished = identify(results), dt.datetime.now(dt.UTC)
    trained = _assemble(results, identity)
    record = _record(results, identity, trained, context.run_id, finished)
    decision = _decision(results, identity, finished)
    _put_in_place(results, trained, record, artifacts.open())
    decided = record_model(memory.open(), record, performance(trained), decision=decision)
    if is_newest(memory.open(), record.model_version):
        # A run for an earlier session knows nothing of later events, and must not forget them.
        replace_archives(memory.open(), **vars(results.get(LearningMemory)))
    said = decided or decision
    context.log.info(f"{record.model_version} was {said.decision}: {said.reason}")
    tracked = _track(tracking, results, record, artifacts.open())
    metadata = _metadata(trained, record, said)
    # Only the as-of session is materialized, however long the range that was asked for.
    yield dg.AssetMaterialization(
        "ensemble",
        partition=str(as_of),
        metadata=metadata | ({"mlflow_run": tracked} if tracked else {}),
    )
    shutil.rmtree(results.folder)


def _assemble(results: StepResults, identity: Identity) -> Ensemble:
    training_set, rules, market = (
        results.get(TrainingSet),
        results.config,
        results.get(MarketInputs),
    )
    return assemble_ensemble(
        training_set,
        plan_folds(training_set, rules),
        results.fitted(),
        results.get(StackResult),
        rules,
        provenance={
            "model_version": identity.model_version,
            "feature_digest": identity.feature_digest,
            "config_digest": identity.config_digest,
            "data_digest": identity.data_digest,
            "store_versions": market.versions,
            "data_quality": market.data_quality,
            "gate_override": market.gate_override,
        },
        formulas=present_feature_set(rules).to_json(),
    )


def _record(
    results: StepResults,
    identity: Identity,
    trained: Ensemble,
    run_id: str,
    finished_at: dt.datetime,
) -> ModelRecord:
    run, market = results.get(RunRules), results.get(MarketInputs)
    rules, rows = run.config, results.get(TrainingSet).rows
    measured = {
        "figures": results.get(Evaluation).figures,
        "trial_digest": trial_digest(rules),
        "trials": results.get(Trials).sharpes,
    }
    return ModelRecord(
        model_version=identity.model_version,
        as_of_session=trained.as_of,
        feature_digest=identity.feature_digest,
        feature_names=feature_names(),
        config_version=rules.version,
        config_digest=identity.config_digest,
        vendor=", ".join(market.vendors),
        metrics=dict(trained.metrics) | measured,
        dagster_run_id=run_id,
        started_at=run.started_at,
        finished_at=finished_at,
        rows=rows.height,
        symbols=rows.get_column("symbol").n_unique(),
        seed=rules.training_orchestrator.seed,
        data_digest=identity.data_digest,
        store_versions=market.versions,
        gate_override=market.gate_override,
        cause=run.cause,
        configuration=rules_to_store(rules),
        environment=identity.environment | {"data_quality": market.data_quality},
    )


def _decision(results: StepResults, identity: Identity, at: dt.datetime) -> Decision:
    outcome, gate = results.get(PromotionOutcome), results.config.model_promotion_gate
    return gate_decision(
        identity.model_version,
        results.get(TrainingSet).as_of,
        passed=outcome.passed,
        reason=outcome.reason,
        rules=json.dumps(outcome.rules),
        # The first champion has nobody to stand in the shadow of.
        shadow_sessions=gate.shadow_sessions if outcome.against else 0,
        at=at,
        judged_against=outcome.against,
    )


def _put_in_place(
    results: StepResults, trained: Ensemble, record: ModelRecord, artifacts: Artifacts
) -> None:
    """Write the model's folder; what stands there of an earlier attempt is written again."""
    folder = artifacts.new_model_folder(record.model_version)
    trained.save(folder / ENSEMBLE)
    for name in (DRIFT_REFERENCE, IMPORTANCE):
        shutil.copyfile(results.folder / name, folder / name)
    for name in (PREDICTION_REFERENCE, OUTCOME_REFERENCE):
        # Not there where the run had too few sessions to freeze; its metadata say so.
        if (results.folder / name).is_file():
            shutil.copyfile(results.folder / name, folder / name)
    for name in (INPUTS, EVALUATION):
        (folder / name).mkdir(exist_ok=True)
    for name, table in vars(results.get(LearningMemory)).items():
        table.write_parquet(folder / INPUTS / f"{name}.parquet")
    for name, table in vars(results.get(Evaluation)).items():
        if isinstance(table, pl.DataFrame):
            table.write_parquet(folder / EVALUATION / f"{name}.parquet")
    shutil.copytree(results.reports, folder / REPORTS, dirs_exist_ok=True)


def performance(trained: Ensemble) -> pl.DataFrame:
    """Out-of-sample figures of every model over the evaluated folds, one row for each."""
    models = trained.metrics["models"] | {"ensemble": trained.metrics["ensemble"]}
    rows = []
    for model, scores in models.items():
        pooled = scores["pooled"]
        flat = {name: pooled[name] for name in ("rows", "accuracy", "base_rate")}
        flat |= {name: pooled[name] for name in ("log_loss", "base_log_loss", "auc_buy_vs_sell")}
        flat |= {f"auc_{name.lower()}": value for name, value in pooled["auc"].items()}
        rows += [{"model": model, "metric": name, "value": value} for name, value in flat.items()]
    schema = {"model": pl.String(), "metric": pl.String(), "value": pl.Float64()}
    return pl.DataFrame(rows, schema=schema)


def _track(
    tracking: ExperimentTrackingResource,
    results: StepResults,
    record: ModelRecord,
    artifacts: Artifacts,
) -> str | None:
    figures = results.get(Evaluation).figures
    return tracking.log_run(
        experiment="turbomode",
        run_name=record.model_version,
        parameters=record.configuration,
        metrics={name: float(each) for name, each in figures.items() if each is not None},
        tags={"vendor": record.vendor, "cause": record.cause, "data_digest": record.data_digest},
        artefacts=artifacts.model_folder(record.model_version),
    )


def _metadata(trained: Ensemble, record: ModelRecord, decision: Decision) -> dict[str, Any]:
    scores = performance(trained).pivot("metric", index="model", values="value")
    facts: dict[str, Any] = {
        "model_version": record.model_version,
        "decision": decision.decision,
        "reason": decision.reason,
        "rows": record.rows,
        "symbols": record.symbols,
        "vendor": record.vendor,
        "cause": record.cause,
        "feature_digest": record.feature_digest,
        "config_version": record.config_version,
        "config_digest": record.config_digest,
        "store_versions": record.store_versions,
        "out_of_sample": dg.MetadataValue.md(preview_markdown(scores, rows=scores.height)),
    }
    override = {"gate_override": record.gate_override} if record.gate_override else {}
    return facts | override
