"""The audit of what is stored, and the check that stops what would be derived from too little."""

import datetime as dt
from typing import Any

import dagster as dg
import polars as pl

from turbomode_assets.completeness import reason_counts, sessions_below
from turbomode_assets.contracts.errors import first_few
from turbomode_assets.contracts.tables import PARTITION_STATUS
from turbomode_assets.ingestion.auditing import AuditRun
from turbomode_assets.ingestion.fetched import MASTER_WRITER_KEY
from turbomode_assets.ingestion.following import backfill_remedy
from turbomode_assets.ingestion.freshness import SESSIONS_ARE_FRESH, watched_now
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.orchestration.assets.metadata import (
    OWNERS,
    definition_metadata,
    picture_metadata,
)
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import SESSIONS, session_of_key, session_span
from turbomode_assets.orchestration.resources.ingestion import IngestionResource
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import ArtifactsResource, MasterReaderResource
from turbomode_assets.reports import coverage_heatmap, preview_markdown
from turbomode_assets.sessions import SessionSpan

LONGEST_PAUSE = dt.timedelta(days=4, hours=12)
"""From one close to the night after a long weekend. This policy sees runs, not sessions: which of
them are late is for `sessions_are_fresh`."""


@dg.asset(
    group_name="ingestion",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    kinds={"polars", "deltalake"},
    owners=OWNERS,
    io_manager_key=MASTER_WRITER_KEY,
    metadata=definition_metadata(PARTITION_STATUS),
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=LONGEST_PAUSE),
    deps=["raw_candles", "splits", "dividends", "symbol_metadata"],
)
@explained
def audit(
    context: dg.AssetExecutionContext, ingestion: IngestionResource, artifacts: ArtifactsResource
) -> dg.Output[AuditRun]:
    """What should exist against what does: GREEN, AMBER or RED for each cell, with the reasons.

    Besides the run's sessions, whatever changed since the last audit is judged anew; holes that
    fetching can fill are queued.
    """
    tools, span = ingestion.open(), session_span(context)
    return dg.Output(
        AuditRun(
            tools,
            span,
            context.log.info,
            describe=lambda: _ledger_metadata(tools, span, artifacts),
        )
    )


def _ledger_metadata(
    tools: IngestionTools, span: SessionSpan, artifacts: ArtifactsResource
) -> dict[str, Any]:
    ledger = tools.master.read("partition_status", caller="audit", span=span).rows
    counts = reason_counts(ledger)
    facts: dict[str, Any] = {
        "dagster/partition_row_count": ledger.height,
        "sessions": f"{span} ({len(span.sessions)} sessions)",
        "reasons": dg.MetadataValue.md(preview_markdown(counts, rows=counts.height)),
    }
    shown = "1d" if "1d" in tools.fetch.timeframes else tools.fetch.timeframes[0]
    return facts | picture_metadata(
        lambda: coverage_heatmap(ledger, timeframe=shown), artifacts.open().reports, "audit", span
    )


@dg.asset_check(
    asset=audit,
    blocking=True,
    description="Enough of every session of the run is GREEN for bars to be derived from it.",
)
@explained
def sessions_are_complete(
    context: dg.AssetCheckExecutionContext,
    settings: SettingsResource,
    master: MasterReaderResource,
) -> dg.AssetCheckResult:
    """Stop the run at a session of which less than `gate.session_green_share` is GREEN."""
    keys = context.partition_key_range
    span = SessionSpan(session_of_key(keys.start), session_of_key(keys.end))
    floor = settings.data_quality().gate.session_green_share
    ledger = master.open().read("partition_status", caller="check", span=span).rows
    poor = sessions_below(ledger, floor)
    facts: dict[str, Any] = {"floor": floor, "sessions_below": poor.height}
    if poor.height:
        facts |= {
            "worst": dg.MetadataValue.md(preview_markdown(poor)),
            "fix": _poor_remedy(settings, poor),
        }
        # Whoever materializes in a terminal sees the log, and none of a check's metadata.
        context.log.error(f"{_told(poor, floor)}\n  fix: {facts['fix']}")
    return dg.AssetCheckResult(
        passed=poor.is_empty(), severity=dg.AssetCheckSeverity.ERROR, metadata=facts
    )


def _told(poor: pl.DataFrame, floor: float) -> str:
    worst = poor.select("session", "green_share").iter_rows()
    shares = first_few(f"{session} {share:.1%}" for session, share in worst)
    return f"less than {floor:.0%} is GREEN: {shares}"


def _poor_remedy(settings: SettingsResource, poor: pl.DataFrame) -> str:
    sessions = poor.get_column("session").sort()
    return (
        f"{backfill_remedy(settings, SessionSpan(sessions[0], sessions[-1]))}; what no vendor has "
        "stays missing: leave these sessions out of the range, or lower "
        "`gate.session_green_share` in data_quality_config.json"
    )


@dg.asset_check(
    asset=audit,
    name=SESSIONS_ARE_FRESH,
    description="The latest sessions were GREEN by their deadlines; each is judged by itself.",
)
@explained
def sessions_are_fresh(
    settings: SettingsResource, master: MasterReaderResource
) -> dg.AssetCheckResult:
    """Warn of late sessions, without stopping a run; the sensor `freshness` reports each alone."""
    late = watched_now(settings, master.open()).filter("is_late")
    return dg.AssetCheckResult(
        passed=late.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"late": dg.MetadataValue.md(preview_markdown(late))},
    )
