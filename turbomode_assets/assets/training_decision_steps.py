"""The last two steps of a training run: the gate's decision, and storing model and decision."""

import datetime as dt
import json
import math
import shutil
from typing import Any

import dagster as dg
import polars as pl

from turbomode_assets.assets.feature_sets import present_feature_set
from turbomode_assets.assets.training_data_steps import Run, open_run
from turbomode_assets.assets.training_inputs import champion_before
from turbomode_assets.config.loader import digest_of
from turbomode_assets.ensemble import (
    Ensemble,
    Workbench,
    assemble_ensemble,
    ensemble_version,
    load_ensemble,
    plan_folds,
)
from turbomode_assets.ensemble.artefact import code_digest, libraries
from turbomode_assets.ensemble.evaluation import compare_on_same_rows
from turbomode_assets.ensemble.promotion import improvement_lag, judge_promotion
from turbomode_assets.ensemble.training import FORECAST
from turbomode_assets.features import feature_names
from turbomode_assets.reports import preview_markdown
from turbomode_assets.resources.boundary import explained
from turbomode_assets.resources.experiment_tracking import ExperimentTrackingResource
from turbomode_assets.resources.stores import ArtifactsResource, MemoryResource
from turbomode_assets.stores import Artifacts
from turbomode_assets.stores.artifacts import (
    DRIFT_REFERENCE,
    ENSEMBLE,
    EVALUATION,
    IMPORTANCE,
    INPUTS,
    REPORTS,
)
from turbomode_assets.stores.learning_memory import replace_archives
from turbomode_assets.stores.model_registry import (
    ModelRecord,
    is_newest,
    record_model,
)
from turbomode_assets.stores.promotions import Decision, gate_decision
from turbomode_assets.validation import PairedImprovement

INPUT_TABLES = ("rare_events", "error_replay")
"""What a model learned from besides the stores: it is kept beside the model."""
_NOT_MEASURED = PairedImprovement(math.nan, math.nan, math.nan, math.nan, 0, 0, 0)


@dg.op
@explained
def compare_models_promotion_gate(
    context: dg.OpExecutionContext,
    run: Run,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
) -> Run:
    """Hold the figures against the gate, and the forecasts against the champion's."""
    workbench, as_of = open_run(run)
    rules, judged = workbench.config(), workbench.evaluation()
    champion = champion_before(memory.open(), as_of)
    improvement = None
    if champion is not None:
        files = artifacts.open().model_folder(champion.model_version) / ENSEMBLE
        improvement = _improvement(workbench, load_ensemble(files))
    decision = judge_promotion(
        judged.figures, judged.regimes, rules.model_promotion_gate, improvement=improvement
    )
    verdict = {"passed": decision.passed, "reason": decision.reason, "first": champion is None}
    workbench.save_json("decision", verdict)
    workbench.save_json("rules", json.loads(decision.to_json()))
    shown = pl.DataFrame(json.loads(decision.to_json()))
    context.add_output_metadata(
        {
            "passed": decision.passed,
            "reason": decision.reason,
            "champion": champion.model_version if champion else "none",
            "rules": dg.MetadataValue.md(preview_markdown(shown, rows=shown.height)),
        }
    )
    return run


def _improvement(workbench: Workbench, champion: Ensemble) -> PairedImprovement:
    """Compare with the champion on rows that neither had learned from.

    Of decisions that the champion learned from, what it said out of sample counts; of later ones,
    what it says now.
    """
    training_set, rules = workbench.training_set(), workbench.config()
    key = ["symbol", "decision_session"]
    rows = training_set.rows.with_row_index("at").with_columns(
        pl.Series("judged", workbench.stacked().forecast[:, 0]).is_not_nan()
    )
    judged = rows.filter("judged")
    earlier = judged.join(
        champion.out_of_sample.select(*key, *FORECAST), on=key, how="inner", validate="1:1"
    ).select("at", *FORECAST)
    later = judged.filter(pl.col("decision_session") > champion.as_of).join(
        earlier, on="at", how="anti"
    )
    if list(training_set.matrix.columns) != list(champion.columns):
        later = later.clear()
    said = champion.predict_proba(training_set.matrix.select(later.get_column("at").to_numpy()))
    shared = pl.concat(
        [
            earlier,
            later.select("at").hstack(pl.DataFrame(said, schema=list(FORECAST))),
        ]
    ).sort("at")
    at = shared.get_column("at").to_numpy()
    compared = compare_on_same_rows(
        shared.select(FORECAST).to_numpy(),
        workbench.stacked().forecast[at],
        training_set.labels[at],
        training_set.decision[at],
        lag=improvement_lag(rules.model_promotion_gate, rules.triple_barrier.horizon_sessions),
    )
    return compared or _NOT_MEASURED


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
    workbench, as_of = open_run(run)
    trained, record, decision = _assemble(workbench, context.run_id)
    _put_in_place(workbench, trained, record, artifacts.open())
    record_model(memory.open(), record, performance(trained), decision=decision)
    if is_newest(memory.open(), record.model_version):
        # A run for an earlier session knows nothing of later events, and must not forget them.
        replace_archives(memory.open(), **{name: workbench.frame(name) for name in INPUT_TABLES})
    tracked = _track(tracking, workbench, record, artifacts.open())
    metadata = _metadata(trained, record, decision) | ({"mlflow_run": tracked} if tracked else {})
    shutil.rmtree(workbench.folder)
    # Only the as-of session is materialized, however long the range that was asked for.
    yield dg.AssetMaterialization("ensemble", partition=str(as_of), metadata=metadata)


def _assemble(workbench: Workbench, run_id: str) -> tuple[Ensemble, ModelRecord, Decision]:
    training_set, rules = workbench.training_set(), workbench.config()
    market, run = workbench.json("market"), workbench.json("run")
    data_digest, config_digest = training_set.digest, digest_of(rules)
    features = present_feature_set(rules)
    version = ensemble_version(
        training_set.as_of,
        config_digest=config_digest,
        feature_digest=features,
        seed=rules.training_orchestrator.seed,
        data_digest=data_digest,
    )
    provenance = {
        "model_version": version,
        "feature_digest": features,
        "config_digest": config_digest,
        "data_digest": data_digest,
        "store_versions": market["versions"],
        "code_digest": code_digest(),
        "gate_override": market["gate_override"],
    }
    trained = assemble_ensemble(
        training_set,
        plan_folds(training_set, rules),
        workbench.fitted(),
        workbench.stacked(),
        rules,
        provenance=provenance,
    )
    finished, verdict = dt.datetime.now(dt.UTC), workbench.json("decision")
    record = ModelRecord(
        model_version=version,
        as_of_session=training_set.as_of,
        feature_digest=features,
        feature_names=feature_names(),
        config_version=rules.version,
        config_digest=config_digest,
        vendor=", ".join(market["vendors"]),
        metrics=dict(trained.metrics) | {"figures": workbench.evaluation().figures},
        dagster_run_id=run_id,
        started_at=dt.datetime.fromisoformat(run["started_at"]),
        finished_at=finished,
        rows=training_set.rows.height,
        symbols=training_set.rows.get_column("symbol").n_unique(),
        seed=rules.training_orchestrator.seed,
        data_digest=data_digest,
        store_versions=market["versions"],
        gate_override=market["gate_override"],
        cause=run["cause"],
        configuration=rules.model_dump(mode="json"),
        environment=libraries() | {"code": code_digest()},
    )
    decision = gate_decision(
        version,
        training_set.as_of,
        passed=verdict["passed"],
        reason=verdict["reason"],
        rules=json.dumps(workbench.json("rules")),
        # The first champion has nobody to stand in the shadow of.
        shadow_sessions=0 if verdict["first"] else rules.model_promotion_gate.shadow_sessions,
        at=finished,
    )
    return trained, record, decision


def _put_in_place(
    workbench: Workbench, trained: Ensemble, record: ModelRecord, artifacts: Artifacts
) -> None:
    """Write the model's folder; what stands there of an earlier attempt is written again."""
    folder = artifacts.new_model_folder(record.model_version)
    trained.save(folder / ENSEMBLE)
    for name in (DRIFT_REFERENCE, IMPORTANCE):
        shutil.copyfile(workbench.folder / name, folder / name)
    for name in (INPUTS, EVALUATION):
        (folder / name).mkdir(exist_ok=True)
    for name in INPUT_TABLES:
        workbench.frame(name).write_parquet(folder / INPUTS / f"{name}.parquet")
    for path in workbench.folder.glob("judged_*.parquet"):
        shutil.copyfile(path, folder / EVALUATION / path.name.removeprefix("judged_"))
    shutil.copytree(workbench.reports, folder / REPORTS, dirs_exist_ok=True)


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
    workbench: Workbench,
    record: ModelRecord,
    artifacts: Artifacts,
) -> str | None:
    figures = workbench.evaluation().figures
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
