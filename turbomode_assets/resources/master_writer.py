"""The one way into the master store. Only ingestion assets may be bound to it."""

import dagster as dg

from turbomode_assets.resources.boundary import explained
from turbomode_assets.resources.fetched import Fetched
from turbomode_assets.resources.io_managers import load_span, partition_span, table_of
from turbomode_assets.resources.stores import MasterReaderResource
from turbomode_assets.stores import Pinned
from turbomode_assets.stores.master_writer import MasterWriter


class MasterWriterIOManager(dg.ConfigurableIOManager):
    """Stores what ingestion fetched."""

    master: MasterReaderResource

    @explained
    def load_input(self, context: dg.InputContext) -> Pinned:
        """Read an input's sessions from the master store."""
        return load_span(context, self.master.open())

    @explained
    def handle_output(self, context: dg.OutputContext, obj: Fetched) -> None:
        """Replace the fetched symbols' rows in the output's sessions, in one commit."""
        asset = context.asset_key.to_user_string()
        table = table_of(context)
        writer = MasterWriter(self.master.settings.master_root)
        span = partition_span(context) if context.has_asset_partitions else None
        written = writer.replace(table, obj.rows, span=span, symbols=obj.symbols, caller=asset)
        context.add_output_metadata(
            {
                "store_version": written.version,
                "store": dg.MetadataValue.path(writer.uri(table)),
                "committed": written.committed,
            }
        )
