"""Ingestion of price bars, exactly as the vendors deliver them."""

import datetime as dt
from collections.abc import Callable

import dagster as dg

from turbomode_assets.assets.metadata import (
    OWNERS,
    definition_metadata,
    picture_metadata,
    table_metadata,
)
from turbomode_assets.automation.partitions import SESSIONS, session_span
from turbomode_assets.contracts.tables import CANDLES
from turbomode_assets.reports import coverage_picture
from turbomode_assets.resources.boundary import explained
from turbomode_assets.resources.fetched import MASTER_WRITER_KEY, Fetched
from turbomode_assets.resources.stores import (
    ArtifactsResource,
    MasterReaderResource,
    VendorsResource,
)
from turbomode_assets.vendors import fetch_candles


@dg.asset(
    group_name="ingestion",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    kinds={"polars", "deltalake"},
    owners=OWNERS,
    io_manager_key=MASTER_WRITER_KEY,
    metadata=definition_metadata(CANDLES),
    deps=["symbol_metadata"],
)
@explained
def raw_candles(
    context: dg.AssetExecutionContext,
    vendors: VendorsResource,
    master: MasterReaderResource,
    artifacts: ArtifactsResource,
) -> dg.Output[Fetched]:
    """Candles of every listed symbol, as received: each partition covers (previous session, T]."""
    span = session_span(context)
    sources = vendors.open()
    universe = master.open().read("symbol_metadata", caller="raw_candles").rows
    candles = fetch_candles(
        sources,
        universe,
        span,
        ingested_at=dt.datetime.now(dt.UTC),
        progress=_report(context),
    )
    symbols = candles.get_column("symbol").unique().to_list()
    notes = "; ".join(note for vendor in sources for note in vendor.notes)
    metadata = table_metadata(candles, span, notes=notes) | picture_metadata(
        lambda: coverage_picture(candles), artifacts.open().reports, "raw_candles", span
    )
    return dg.Output(Fetched(candles, symbols), metadata=metadata)


def _report(context: dg.AssetExecutionContext) -> Callable[[int, int], None]:
    """Log each tenth of the symbols as it is done."""

    def report(done: int, total: int) -> None:
        if done * 10 // total > (done - 1) * 10 // total:
            context.log.info(f"fetched {done} of {total} symbols")

    return report
