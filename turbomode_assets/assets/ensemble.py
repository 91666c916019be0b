"""Training: the ensemble as of a session. Nothing else trains."""

import dataclasses
import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from turbomode_assets.assets.feature_sets import (
    present_feature_set,
    require_feature_set,
    stored_feature_sets,
)
from turbomode_assets.assets.gate import GateConfiguration, pass_gate
from turbomode_assets.assets.metadata import OWNERS
from turbomode_assets.automation.partitions import SESSIONS, session_span, trailing_sessions
from turbomode_assets.config.learning import LONGEST_TRAINING
from turbomode_assets.config.loader import TRAINING_FILE, digest_of
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.columns import CLASSES, DECISION_SESSION
from turbomode_assets.contracts.errors import MissingDataError, first_few
from turbomode_assets.drift import freeze_reference
from turbomode_assets.ensemble import (
    Ensemble,
    TrainingSet,
    assemble_training_set,
    ensemble_version,
    train_ensemble,
)
from turbomode_assets.features import LONGEST_WINDOW, feature_families, feature_names
from turbomode_assets.models import look_back_sessions
from turbomode_assets.reports import preview_markdown
from turbomode_assets.resources.boundary import explained
from turbomode_assets.resources.settings import SettingsResource
from turbomode_assets.resources.stores import (
    ArtifactsResource,
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Artifacts, Lake, Pinned
from turbomode_assets.stores.artifacts import DRIFT_REFERENCE, ENSEMBLE
from turbomode_assets.stores.model_registry import ModelRecord, audit_configuration, record_model


@dg.asset(
    group_name="training",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    output_required=False,
    code_version="1",
    kinds={"lightgbm", "torch", "duckdb"},
    owners=OWNERS,
    deps=[
        dg.AssetDep("features", partition_mapping=trailing_sessions(LONGEST_TRAINING)),
        dg.AssetDep("labels", partition_mapping=trailing_sessions(LONGEST_TRAINING)),
        dg.AssetDep("bars", partition_mapping=trailing_sessions(LONGEST_TRAINING)),
        dg.AssetDep("audit", partition_mapping=trailing_sessions(LONGEST_TRAINING)),
    ],
)
@explained
def ensemble(
    context: dg.AssetExecutionContext,
    config: GateConfiguration,
    settings: SettingsResource,
    master: MasterReaderResource,
    lake_store: LakeResource,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
) -> Iterator[dg.AssetMaterialization]:
    """Eight base models and their meta-learner as of the last session of the run."""
    as_of, started_at, book = session_span(context).last, dt.datetime.now(dt.UTC), memory.open()
    rules, quality = settings.training(), settings.data_quality()
    audit_configuration(
        book,
        file=TRAINING_FILE,
        version=rules.version,
        digest=digest_of(rules),
        purpose=f"train the ensemble as of {as_of}",
        loaded_at=started_at,
    )
    passage = pass_gate(
        master.open(),
        book,
        quality,
        _sessions_read(as_of, rules),
        threshold=quality.gate.training_green_share,
        needed_by=f"ensemble as of {as_of}",
        configuration=config,
    )
    inputs = _read_inputs(lake_store.open(), as_of, rules)
    training_set = assemble_training_set(
        inputs["features"].rows,
        inputs["labels"].rows,
        as_of=as_of,
        config=rules,
        families=feature_families(),
    )
    trained = train_ensemble(training_set, rules, report=context.log.info)
    record = dataclasses.replace(
        _describe(trained, training_set, rules, inputs, context.run_id, started_at),
        gate_override=passage.override,
    )
    _save(trained, training_set, rules, record, artifacts.open())
    record_model(book, record, _performance(trained.metrics))
    # Only the as-of session is materialized, however long the range that was asked for.
    yield dg.AssetMaterialization(
        context.asset_key,
        partition=str(as_of),
        metadata=_metadata(record, trained.metrics) | passage.metadata,
    )


def _sessions_read(as_of: dt.date, rules: TrainingConfig) -> SessionSpan:
    """Sessions whose candles the training rows are made of: windows of features and labels too."""
    barriers = rules.triple_barrier
    labels = barriers.volatility_window_sessions + barriers.horizon_sessions + 1
    windows = max(look_back_sessions(rules.ensemble_config.models) + LONGEST_WINDOW - 1, labels)
    return SessionSpan(as_of, as_of).trailing(rules.data_sources.training_sessions + windows)


def _read_inputs(lake: Lake, as_of: dt.date, config: TrainingConfig) -> dict[str, Pinned]:
    """Features, labels and bars of the training sessions: complete, of one set and one rule."""
    span = SessionSpan(as_of, as_of).trailing(config.data_sources.training_sessions)
    history, due = (
        span.trailing(look_back_sessions(config.ensemble_config.models)),
        SessionSpan(as_of, as_of),
    )
    features = lake.read_complete("features", caller="ensemble", span=history, due=due)
    sets = stored_feature_sets(lake, history, caller="ensemble")
    require_feature_set(sets, history, present_feature_set(config), reader="this program")
    rules = lake.read_complete("label_rules", caller="ensemble", span=span, due=due, asset="labels")
    _require_rule(rules.rows, digest_of(config.triple_barrier))
    return {
        "features": features,
        "labels": lake.read("labels", caller="ensemble", span=span),
        "bars": lake.read("bars", caller="ensemble", span=span, columns=["session", "vendor"]),
    }


def _require_rule(rules: pl.DataFrame, digest: str) -> None:
    other = rules.filter(pl.col("rule_digest") != digest).get_column("session")
    if other.len():
        raise MissingDataError(
            f"labels of {other.len()} sessions were made by another rule than triple_barrier now: "
            f"{first_few(other)}",
            where="lake, table labels",
            fix="materialize them again: dagster asset materialize -m turbomode_assets "
            f"--select labels --partition-range {other[0]}...{other[-1]}",
        )


def _describe(
    trained: Ensemble,
    training_set: TrainingSet,
    config: TrainingConfig,
    inputs: dict[str, Pinned],
    run_id: str,
    started_at: dt.datetime,
) -> ModelRecord:
    data_digest, config_digest = training_set.digest, digest_of(config)
    version = ensemble_version(
        trained.as_of,
        config_digest=config_digest,
        feature_digest=present_feature_set(config),
        seed=config.training_orchestrator.seed,
        data_digest=data_digest,
    )
    return ModelRecord(
        model_version=version,
        as_of_session=trained.as_of,
        feature_digest=present_feature_set(config),
        feature_names=feature_names(),
        config_version=config.version,
        config_digest=config_digest,
        vendor=", ".join(sorted(inputs["bars"].rows.get_column("vendor").unique())),
        metrics=dict(trained.metrics),
        dagster_run_id=run_id,
        started_at=started_at,
        finished_at=dt.datetime.now(dt.UTC),
        rows=training_set.rows.height,
        symbols=training_set.rows.get_column("symbol").n_unique(),
        seed=config.training_orchestrator.seed,
        data_digest=data_digest,
        store_versions={table: pinned.version for table, pinned in inputs.items()},
    )


def _save(
    trained: Ensemble,
    training_set: TrainingSet,
    config: TrainingConfig,
    record: ModelRecord,
    artifacts: Artifacts,
) -> None:
    folder = artifacts.new_model_folder(record.model_version)
    trained.save(folder / ENSEMBLE)
    reference = freeze_reference(
        training_set.features,
        trained.columns,
        config.drift_detection,
        sessions=training_set.rows.get_column(DECISION_SESSION),
    )
    reference.save(folder / DRIFT_REFERENCE)


def _performance(metrics: Any) -> pl.DataFrame:
    """Out-of-sample figures of every model over the evaluated folds, one row for each."""
    rows = []
    for model, scores in _scores(metrics).items():
        flat = {name: scores[name] for name in ("rows", "accuracy", "base_rate")}
        flat |= {name: scores[name] for name in ("log_loss", "base_log_loss", "auc_buy_vs_sell")}
        flat |= {f"auc_{name.lower()}": scores["auc"][name] for name in CLASSES}
        rows += [{"model": model, "metric": name, "value": value} for name, value in flat.items()]
    schema = {"model": pl.String(), "metric": pl.String(), "value": pl.Float64()}
    return pl.DataFrame(rows, schema=schema)


def _scores(metrics: Any) -> dict[str, Any]:
    models = metrics["models"] | {"ensemble": metrics["ensemble"]}
    return {name: each["pooled"] for name, each in models.items()}


def _metadata(record: ModelRecord, metrics: Any) -> dict[str, Any]:
    scores = _performance(metrics).pivot("metric", index="model", values="value")
    return {
        "model_version": record.model_version,
        "rows": record.rows,
        "symbols": record.symbols,
        "vendor": record.vendor,
        "feature_digest": record.feature_digest,
        "config_version": record.config_version,
        "config_digest": record.config_digest,
        "store_versions": record.store_versions,
        "out_of_sample": dg.MetadataValue.md(preview_markdown(scores, rows=scores.height)),
    }
