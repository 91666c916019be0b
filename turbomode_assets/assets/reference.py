"""Ingestion of reference data: what each symbol is, its sector, splits and dividends."""

import datetime as dt

import dagster as dg

from turbomode_assets.assets.metadata import OWNERS, definition_metadata, table_metadata
from turbomode_assets.contracts.table import TableContract
from turbomode_assets.contracts.tables import DIVIDENDS, SECTOR_MAPPINGS, SPLITS, SYMBOL_METADATA
from turbomode_assets.resources.boundary import explained
from turbomode_assets.resources.fetched import MASTER_WRITER_KEY, Fetched
from turbomode_assets.resources.stores import MasterReaderResource, VendorsResource
from turbomode_assets.sessions import FIRST_SESSION, SessionSpan, last_closed_session
from turbomode_assets.vendors import (
    fetch_corporate_actions,
    fetch_universe,
    merge_metadata,
    merge_sector_mappings,
)


def _table(contract: TableContract) -> dg.AssetOut:
    return dg.AssetOut(
        description=contract.description,
        io_manager_key=MASTER_WRITER_KEY,
        kinds={"polars", "deltalake"},
        owners=OWNERS,
        metadata=definition_metadata(contract),
        code_version="1",
    )


@dg.multi_asset(
    group_name="ingestion",
    backfill_policy=dg.BackfillPolicy.single_run(),
    outs={"symbol_metadata": _table(SYMBOL_METADATA), "sector_mappings": _table(SECTOR_MAPPINGS)},
)
@explained
def instruments(
    vendors: VendorsResource, master: MasterReaderResource
) -> tuple[dg.Output[Fetched], dg.Output[Fetched]]:
    """What the vendors offer now: the universe, and the sector of each symbol over time.

    A snapshot with knowledge times, so it has no partitions; a run for sessions refreshes it.
    """
    store, known_at = master.open(), dt.datetime.now(dt.UTC)
    metadata, sectors = fetch_universe(vendors.open(), known_at=known_at)
    if store.exists("symbol_metadata"):
        known = store.read("symbol_metadata", caller="instruments").rows
        metadata = merge_metadata(known, metadata, known_at)
    if store.exists("sector_mappings"):
        mapped = store.read("sector_mappings", caller="instruments").rows
        sectors = merge_sector_mappings(mapped, sectors, known_at)
    symbols = metadata.get_column("symbol").to_list()
    return (
        dg.Output(Fetched(metadata, symbols), metadata=table_metadata(metadata)),
        dg.Output(Fetched(sectors, symbols), metadata=table_metadata(sectors)),
    )


@dg.multi_asset(
    group_name="ingestion",
    backfill_policy=dg.BackfillPolicy.single_run(),
    outs={"splits": _table(SPLITS), "dividends": _table(DIVIDENDS)},
    deps=["symbol_metadata"],
)
@explained
def corporate_actions(
    vendors: VendorsResource, master: MasterReaderResource
) -> tuple[dg.Output[Fetched], dg.Output[Fetched]]:
    """Every split and dividend up to the last closed session.

    The whole history each time: candles that a vendor adjusted as of a later day are taken back
    with the splits up to that day. A value at session T still reads events up to T alone.
    """
    history = SessionSpan(FIRST_SESSION, last_closed_session(dt.datetime.now(dt.UTC)))
    universe = master.open().read("symbol_metadata", caller="corporate_actions").rows
    symbols = universe.get_column("symbol").to_list()
    splits, dividends = fetch_corporate_actions(vendors.open(), universe, history)
    return (
        dg.Output(Fetched(splits, symbols), metadata=table_metadata(splits)),
        dg.Output(Fetched(dividends, symbols), metadata=table_metadata(dividends)),
    )
