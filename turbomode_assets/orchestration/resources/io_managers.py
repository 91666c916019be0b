"""How assets' tables are loaded and stored: one partition, a range, or a look-back window."""

import datetime as dt
from collections.abc import Mapping

import dagster as dg
import polars as pl

from turbomode_assets.contracts.errors import InputError, ReadOnlyError
from turbomode_assets.contracts.table import check_table
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.resources.stores import LakeResource, MasterReaderResource
from turbomode_assets.sessions import SessionSpan, sessions_between
from turbomode_assets.stores import Lake, PinnedRows, TableReader

TABLE_KEY = "turbomode/table"
"""Definition metadata that names an asset's table where it is not called like the asset."""

TIMEFRAME_KEY = "turbomode/timeframe"
"""Input metadata that names the one timeframe which is read."""


def partition_span(context: dg.InputContext | dg.OutputContext) -> SessionSpan:
    """Sessions of an input (its look-back included) or an output."""
    window = context.asset_partitions_time_window
    last_day = (window.end - dt.timedelta(seconds=1)).date()
    sessions = sessions_between(window.start.date(), last_day)
    return SessionSpan(sessions[0], sessions[-1])


def table_of(context: dg.InputContext | dg.OutputContext) -> str:
    """Name of an asset's table: its own, unless its definition says otherwise."""
    definition = context.upstream_output if isinstance(context, dg.InputContext) else context
    metadata = definition.definition_metadata if definition is not None else {}
    return str(metadata.get(TABLE_KEY, context.asset_key.to_user_string()))


def load_span(context: dg.InputContext, reader: TableReader) -> PinnedRows:
    """Read an input's sessions, pinned to one version and complete.

    Raises:
        InputError: the run's range ends before it begins.
        MissingDataError: sessions have no rows.
    """
    # Dagster takes such a range for an empty one and fails far from the cause.
    keys = context.step_context.partition_key_range
    if keys.end < keys.start:
        raise InputError(
            f"the range ends ({keys.end}) before it begins ({keys.start})",
            where=f"--partition-range, {context.step_context.op.name}",
            fix="give the earlier session first",
        )
    timeframe = context.definition_metadata.get(TIMEFRAME_KEY)
    return reader.read_complete(
        table_of(context),
        caller=context.step_context.op.name,
        span=partition_span(context),
        due=SessionSpan(dt.date.fromisoformat(keys.start), dt.date.fromisoformat(keys.end)),
        asset=context.asset_key.to_user_string(),
        timeframes=None if timeframe is None else [timeframe],
    )


class MasterReaderIOManager(dg.ConfigurableIOManager):
    """Loads market data; refuses every output."""

    master: MasterReaderResource

    @explained
    def load_input(self, context: dg.InputContext) -> PinnedRows:
        """Read an input's sessions from the master store."""
        return load_span(context, self.master.open())

    @explained
    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Refuse: only ingestion writes market data."""
        raise ReadOnlyError(
            f"{context.asset_key.to_user_string()} tried to write the master store",
            where=f"io manager of {context.step_context.op.name}",
            fix="write to the lake (io_manager_key='lake'); only ingestion writes market data",
        )


class LakeIOManager(dg.ConfigurableIOManager):
    """Loads and stores the tenant's lake. One asset may store several tables of one span."""

    lake: LakeResource

    @explained
    def load_input(self, context: dg.InputContext) -> PinnedRows:
        """Read an input's sessions from the tenant's lake."""
        return load_span(context, self.lake.open())

    @explained
    def handle_output(
        self, context: dg.OutputContext, obj: pl.DataFrame | Mapping[str, pl.DataFrame]
    ) -> None:
        """Replace the output's sessions, each table in one commit.

        The last of several tables vouches for the others (which feature set, which label rule):
        if it is about to change it is emptied first, so that a run killed between the commits
        leaves rows that nothing vouches for, never rows under a wrong name.
        """
        span = partition_span(context)
        lake = self.lake.open()
        asset = context.asset_key.to_user_string()
        tables = {table_of(context): obj} if isinstance(obj, pl.DataFrame) else dict(obj)
        voucher = list(tables)[-1]
        if len(tables) > 1 and not _holds(lake, voucher, tables[voucher], span):
            lake.replace(voucher, tables[voucher].clear(), span=span, caller=asset)
        for table, frame in tables.items():
            written = lake.replace(table, frame, span=span, caller=asset)
            prefix = "" if len(tables) == 1 else f"{table}_"
            context.add_output_metadata(
                {
                    f"{prefix}store_version": written.version,
                    f"{prefix}store": dg.MetadataValue.path(lake.uri(table)),
                }
            )


def _holds(lake: Lake, table: str, frame: pl.DataFrame, span: SessionSpan) -> bool:
    """Tell whether a span of a table is exactly `frame` already."""
    if not lake.exists(table):
        return False
    stored = lake.read(table, caller="voucher", span=span).rows
    return check_table(frame, lake.contract(table)).equals(stored)
