"""Ingestion of price bars, exactly as the vendors deliver them, and the bars derived from them."""

from typing import Any

import dagster as dg

from turbomode_assets.contracts.tables import CANDLES
from turbomode_assets.ingestion.backfilling import QueueSelection
from turbomode_assets.ingestion.candle_fetching import CandleFetch
from turbomode_assets.ingestion.fetched import MASTER_WRITER_KEY
from turbomode_assets.ingestion.progress import Progress
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.orchestration.assets.metadata import (
    OWNERS,
    definition_metadata,
    picture_metadata,
    table_metadata,
)
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import SESSIONS, session_span
from turbomode_assets.orchestration.resources.ingestion import IngestionResource
from turbomode_assets.orchestration.resources.stores import ArtifactsResource
from turbomode_assets.reports import coverage_picture
from turbomode_assets.sessions import SessionSpan


@dg.asset(
    group_name="ingestion",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="2",
    kinds={"polars", "deltalake"},
    owners=OWNERS,
    io_manager_key=MASTER_WRITER_KEY,
    metadata=definition_metadata(CANDLES),
    deps=["symbol_metadata", "splits"],
)
@explained
def raw_candles(
    context: dg.AssetExecutionContext, ingestion: IngestionResource, artifacts: ArtifactsResource
) -> dg.Output[CandleFetch]:
    """Candles of every listed symbol: each partition covers (previous session, T].

    Only what is missing is asked for, in all configured timeframes, and stored piece by piece; a
    run that fails has stored everything that was answered.
    """
    tools = ingestion.open()
    universe = tools.master.read("symbol_metadata", caller="raw_candles").rows
    splits = tools.master.read("splits", caller="raw_candles").rows
    span = session_span(context)
    return dg.Output(
        CandleFetch(
            tools,
            universe,
            splits,
            span,
            Progress(context.log.info, tools.budget_left),
            describe=lambda: _stored_metadata(tools, span, artifacts),
            queued_only=QueueSelection.by_run(context.run.tags),
        )
    )


def _stored_metadata(
    tools: IngestionTools, span: SessionSpan, artifacts: ArtifactsResource
) -> dict[str, Any]:
    """What lies in the store now: rows by timeframe, and a preview and picture of the longest."""
    counts = tools.master.count("candles", "timeframe", span=span)
    shown = "1d" if "1d" in tools.fetch.timeframes else tools.fetch.timeframes[0]
    candles = tools.master.read("candles", caller="raw_candles", span=span, timeframes=[shown])
    notes = "; ".join(note for vendor in tools.vendors for note in vendor.notes)
    facts = table_metadata(candles.rows, span, notes=notes, rows_by_timeframe=counts)
    facts["dagster/partition_row_count"] = sum(counts.values())
    return facts | picture_metadata(
        lambda: coverage_picture(candles.rows), artifacts.open().reports, "raw_candles", span
    )
