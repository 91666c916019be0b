"""Monitoring: whether features, predictions and outcomes look like what the champion knows."""

from typing import Any

import dagster as dg
import polars as pl

from turbomode_assets.config.learning import LONGEST_TRAINING
from turbomode_assets.config.training import LONGEST_SEQUENCE, DriftConfig
from turbomode_assets.drift import DriftReference, drift_by_session, drift_verdicts, rank_drift
from turbomode_assets.drift.levels import LEVEL_SCHEMA
from turbomode_assets.drift.stability import DRIFT_COLUMNS, reference_window
from turbomode_assets.drift.subjects import FEATURE
from turbomode_assets.modelling.drift_subjects import (
    ChampionSpans,
    SubjectDrift,
    learned_symbols,
    watch_outcomes,
    watch_predictions,
)
from turbomode_assets.modelling.feature_sets import columns_of_model
from turbomode_assets.orchestration.assets.metadata import OWNERS, picture_metadata
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import SESSIONS, session_span, trailing_sessions
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import (
    ArtifactsResource,
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.reports import preview_markdown
from turbomode_assets.reports.drift import feature_drift_picture, subject_drift_picture
from turbomode_assets.stores import Artifacts, Lake, PinnedRows
from turbomode_assets.stores.artifacts import DRIFT_REFERENCE
from turbomode_assets.stores.model_registry import champions_over
from turbomode_assets.stores.signal_book import record_drift

RECORDED = ("model_version", "subject", *DRIFT_COLUMNS, *LEVEL_SCHEMA)
"""Columns of drift_monitoring."""


@dg.asset(
    group_name="signals",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="4",
    kinds={"polars", "duckdb"},
    owners=OWNERS,
    ins={"features": dg.AssetIn(partition_mapping=trailing_sessions(LONGEST_SEQUENCE))},
    deps=[
        dg.AssetDep("ensemble", partition_mapping=trailing_sessions(LONGEST_TRAINING)),
        dg.AssetDep("signals", partition_mapping=trailing_sessions(LONGEST_SEQUENCE)),
        dg.AssetDep("labels", partition_mapping=trailing_sessions(LONGEST_SEQUENCE)),
        "symbol_metadata",
    ],
)
@explained
def drift_metrics(
    context: dg.AssetExecutionContext,
    features: PinnedRows,
    settings: SettingsResource,
    master: MasterReaderResource,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
    lake_store: LakeResource,
) -> dg.MaterializeResult[None]:
    """Drift of features, predictions and outcomes, and whether to train again."""
    span, files, book = session_span(context), artifacts.open(), memory.open()
    rules, reigns = settings.training().drift_detection, champions_over(book, span)
    symbols = learned_symbols(master.open())
    learned = features.rows.filter(pl.col("symbol").is_in(symbols))
    drift = _measure(reigns, learned, rules, files, lake_store.open())
    predictions = watch_predictions(reigns, book, files, rules)
    outcomes = watch_outcomes(reigns, book, lake_store.open(), symbols, files, rules)
    verdicts = _verdicts(drift, rules, predictions, outcomes)
    # Of features no level is known, and the others may not have been measured.
    parts = [drift, *predictions.drift, *outcomes.drift, pl.DataFrame(schema=LEVEL_SCHEMA)]
    watched = pl.concat(parts, how="diagonal_relaxed")
    record_drift(book, watched.select(RECORDED), span, verdicts=verdicts)
    metadata = _verdict_metadata(drift, verdicts) | predictions.metadata | outcomes.metadata
    vendors = {champion.vendor for champion, _ in reigns}
    ranked, folder = rank_drift(watched), files.reports
    of_features = picture_metadata(
        lambda: feature_drift_picture(
            ranked, verdicts, alarm_share=rules.alarm_share, vendors=vendors
        ),
        folder,
        "drift_metrics",
        span,
    )
    of_subjects = picture_metadata(
        lambda: subject_drift_picture(ranked, vendors=vendors), folder, "drift_subjects", span
    )
    named = {f"subjects_{name}": fact for name, fact in of_subjects.items()}
    return dg.MaterializeResult(metadata=metadata | of_features | named)


def _measure(
    reigns: ChampionSpans,
    features: pl.DataFrame,
    config: DriftConfig,
    artifacts: Artifacts,
    lake: Lake,
) -> pl.DataFrame:
    measured = []
    for champion, reign in reigns:
        folder = artifacts.model_folder(champion.model_version)
        reference = DriftReference.load(folder / DRIFT_REFERENCE)
        window = reference_window(reference, reign, config)
        read = columns_of_model(lake, features, folder, window, caller="drift_metrics")
        measured.append(
            drift_by_session(reference, read, reign, config).with_columns(
                model_version=pl.lit(champion.model_version), subject=pl.lit(FEATURE)
            )
        )
    return pl.concat(measured)


def _verdicts(
    drift: pl.DataFrame, config: DriftConfig, predictions: SubjectDrift, outcomes: SubjectDrift
) -> pl.DataFrame:
    """Verdict on each session, and the champion that it speaks of.

    Features alone say whether to train again. The others tell people: together with them more
    weeks would alarm in which nothing has changed than may, and what outcomes say about a model
    is how well it forecast them, which the retraining policy judges by itself.
    """
    champions = drift.select("session", "model_version").unique()
    verdicts = drift_verdicts(drift, config).join(champions, on="session", validate="1:1")
    for watched in (predictions, outcomes):
        named = watched.verdicts.rename({"verdict": f"{watched.subject}s_verdict"})
        verdicts = verdicts.join(named, on="session", how="left", validate="1:1")
    return verdicts


def _verdict_metadata(drift: pl.DataFrame, verdicts: pl.DataFrame) -> dict[str, Any]:
    counts = dict(drift.get_column("verdict").value_counts().iter_rows())
    return {f"features_{verdict}": counts.get(verdict, 0) for verdict in ("warn", "alert")} | {
        "retrain": bool(verdicts.get_column("retrain")[-1]),
        "retrain_sessions": int(verdicts.get_column("retrain").sum()),
        "verdicts": dg.MetadataValue.md(preview_markdown(verdicts.drop("model_version").reverse())),
    }
