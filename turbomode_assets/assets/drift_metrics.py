"""Monitoring: whether features still look like those the champion learned from."""

from typing import Any

import dagster as dg
import polars as pl

from turbomode_assets.assets.metadata import OWNERS, picture_metadata
from turbomode_assets.automation.partitions import SESSIONS, session_span, trailing_sessions
from turbomode_assets.config.learning import LONGEST_TRAINING
from turbomode_assets.config.training import LONGEST_SEQUENCE, DriftConfig
from turbomode_assets.drift import DriftReference, drift_by_session, drift_verdicts
from turbomode_assets.drift.stability import DRIFT_COLUMNS
from turbomode_assets.reports import preview_markdown, psi_picture
from turbomode_assets.resources.boundary import explained
from turbomode_assets.resources.settings import SettingsResource
from turbomode_assets.resources.stores import ArtifactsResource, MemoryResource
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Artifacts, Pinned
from turbomode_assets.stores.artifacts import DRIFT_REFERENCE
from turbomode_assets.stores.model_registry import Champion, champions_over
from turbomode_assets.stores.signal_book import record_drift

RECORDED = ("model_version", *DRIFT_COLUMNS)
"""Columns of drift_monitoring."""


@dg.asset(
    group_name="signals",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    kinds={"polars", "duckdb"},
    owners=OWNERS,
    ins={"features": dg.AssetIn(partition_mapping=trailing_sessions(LONGEST_SEQUENCE))},
    deps=[dg.AssetDep("ensemble", partition_mapping=trailing_sessions(LONGEST_TRAINING))],
)
@explained
def drift_metrics(
    context: dg.AssetExecutionContext,
    features: Pinned,
    settings: SettingsResource,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
) -> dg.MaterializeResult[None]:
    """Drift of every feature from the champion's frozen reference, and whether to train again."""
    span, files, book = session_span(context), artifacts.open(), memory.open()
    rules, reigns = settings.training().drift_detection, champions_over(book, span)
    drift = _measure(reigns, features.rows, rules, files)
    verdicts = _verdicts(drift, rules)
    record_drift(book, drift.select(RECORDED), span, verdicts=verdicts)
    metadata = _verdict_metadata(drift, verdicts)
    vendors = {champion.vendor for champion, _ in reigns}
    picture = picture_metadata(
        lambda: psi_picture(drift, vendors=vendors), files.reports, "drift_metrics", span
    )
    return dg.MaterializeResult(metadata=metadata | picture)


def _measure(
    reigns: list[tuple[Champion, SessionSpan]],
    features: pl.DataFrame,
    config: DriftConfig,
    artifacts: Artifacts,
) -> pl.DataFrame:
    measured = []
    for champion, reign in reigns:
        folder = artifacts.model_folder(champion.model_version)
        reference = DriftReference.load(folder / DRIFT_REFERENCE)
        measured.append(
            drift_by_session(reference, features, reign, config).with_columns(
                model_version=pl.lit(champion.model_version), rows=pl.col("rows").cast(pl.Int32)
            )
        )
    return pl.concat(measured)


def _verdicts(drift: pl.DataFrame, config: DriftConfig) -> pl.DataFrame:
    """Verdict on each session, and the champion that it speaks of."""
    champions = drift.select("session", "model_version").unique()
    return drift_verdicts(drift, config).join(champions, on="session", validate="1:1")


def _verdict_metadata(drift: pl.DataFrame, verdicts: pl.DataFrame) -> dict[str, Any]:
    counts = dict(drift.get_column("verdict").value_counts().iter_rows())
    return {f"features_{verdict}": counts.get(verdict, 0) for verdict in ("warn", "alert")} | {
        "retrain": bool(verdicts.get_column("retrain")[-1]),
        "retrain_sessions": int(verdicts.get_column("retrain").sum()),
        "verdicts": dg.MetadataValue.md(preview_markdown(verdicts.drop("model_version").reverse())),
    }
