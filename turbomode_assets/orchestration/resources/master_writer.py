"""The one way into the master store. Only ingestion assets may be bound to it."""

from typing import Any

import dagster as dg

from turbomode_assets.ingestion.fetched import Batch, Batches, FetchResult
from turbomode_assets.ingestion.following import require_ingestion
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.resources.io_managers import load_span, partition_span, table_of
from turbomode_assets.orchestration.resources.stores import MasterReaderResource
from turbomode_assets.stores import PinnedRows
from turbomode_assets.stores.master_writer import MasterWriter


class MasterWriterIOManager(dg.ConfigurableIOManager):
    """Stores what ingestion fetched."""

    master: MasterReaderResource

    @explained
    def load_input(self, context: dg.InputContext) -> PinnedRows:
        """Read an input's sessions from the master store."""
        return load_span(context, self.master.open())

    @explained
    def handle_output(self, context: dg.OutputContext, obj: FetchResult | Batches) -> None:
        """Store what was fetched: reference rows in one commit, candles batch by batch."""
        require_ingestion(self.master.settings, f"writing {table_of(context)} of the master store")
        writer = MasterWriter(self.master.settings.master_root)
        table = table_of(context)
        if isinstance(obj, FetchResult):
            committed = _store(writer, table, obj, context)
        else:
            asset = context.asset_key.to_user_string()
            committed = [store_batch(writer, batch, asset) for batch in obj]
            context.add_output_metadata(obj.metadata())
        facts: dict[str, Any] = {
            "store": dg.MetadataValue.path(writer.uri(table)),
            "commits": sum(committed),
        }
        if writer.exists(table):
            facts["store_version"] = writer.version(table)
        context.add_output_metadata(facts)
        if isinstance(obj, FetchResult) and obj.error is not None:
            raise obj.error


def _store(
    writer: MasterWriter, table: str, fetched: FetchResult, context: dg.OutputContext
) -> list[bool]:
    by_symbol = "symbol" in writer.contract(table).scope_columns
    if by_symbol and not fetched.symbols:
        return []
    span = partition_span(context) if context.has_asset_partitions else fetched.span
    asset = context.asset_key.to_user_string()
    symbols = fetched.symbols if by_symbol else None
    written = writer.replace(table, fetched.rows, span=span, symbols=symbols, caller=asset)
    if fetched.when_stored is not None:
        fetched.when_stored()
    return [written.committed]


def store_batch(writer: MasterWriter, batch: Batch, caller: str) -> bool:
    """Log what was noticed, then store the rows; tell whether these needed a commit.

    A run that is killed between the two notices the same again, and the log holds it once.
    """
    if batch.noticed.height or not writer.exists("data_quality_log"):
        writer.append("data_quality_log", batch.noticed, caller=caller)
    if batch.audit is not None:
        writer.append("audits", batch.audit, caller=caller)
    if not batch.symbols:
        return False
    return writer.replace(
        batch.table,
        batch.rows,
        span=batch.span,
        symbols=batch.symbols,
        timeframes=batch.timeframes,
        caller=caller,
    ).committed
