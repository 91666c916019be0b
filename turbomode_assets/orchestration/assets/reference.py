"""Ingestion of reference data: symbols, sectors, splits, dividends, fundamentals, dictionary.

Reference data are snapshots with knowledge times, so these assets have no partitions; a run for
sessions refreshes what is older than `fetch.reference_age_sessions` says.
"""

import dagster as dg

from turbomode_assets.contracts.dictionary import data_dictionary
from turbomode_assets.contracts.table import TableContract
from turbomode_assets.contracts.tables import (
    DB_METADATA,
    DIVIDENDS,
    FUNDAMENTALS,
    MASTER_TABLES,
    SECTOR_MAPPINGS,
    SPLITS,
    SYMBOL_METADATA,
)
from turbomode_assets.ingestion.fetched import MASTER_WRITER_KEY, FetchResult
from turbomode_assets.orchestration.assets.metadata import (
    OWNERS,
    definition_metadata,
    table_metadata,
)
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.resources.ingestion import IngestionResource
from turbomode_assets.sessions import (
    FIRST_SESSION,
    SessionSpan,
    last_closed_session,
    offset_session,
)
from turbomode_assets.vendors import (
    fetch_corporate_actions,
    fetch_fundamentals,
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
        code_version="2",
    )


def _output(fetched: FetchResult) -> dg.Output[FetchResult]:
    return dg.Output(fetched, metadata=table_metadata(fetched.rows))


@dg.multi_asset(
    group_name="ingestion",
    backfill_policy=dg.BackfillPolicy.single_run(),
    outs={"symbol_metadata": _table(SYMBOL_METADATA), "sector_mappings": _table(SECTOR_MAPPINGS)},
)
@explained
def instruments(
    ingestion: IngestionResource,
) -> tuple[dg.Output[FetchResult], dg.Output[FetchResult]]:
    """What the vendors offer now: the universe, and the sector of each symbol over time."""
    with ingestion.open() as tools:
        known, mapped = tools.stored("symbol_metadata"), tools.stored("sector_mappings")
        if not tools.universe_is_due(known):
            return _output(FetchResult(known, [])), _output(FetchResult(mapped, []))
        now = tools.now()
        metadata, sectors = fetch_universe(tools.vendors, known_at=now)
        metadata = merge_metadata(known, metadata, now)
        sectors = merge_sector_mappings(mapped, sectors, now)
    symbols = metadata.get_column("symbol").to_list()
    remember = tools.remembering("instruments", symbols)
    return _output(FetchResult(metadata, symbols)), _output(
        FetchResult(sectors, symbols, when_stored=remember)
    )


@dg.multi_asset(
    group_name="ingestion",
    backfill_policy=dg.BackfillPolicy.single_run(),
    outs={"splits": _table(SPLITS), "dividends": _table(DIVIDENDS)},
    deps=["symbol_metadata"],
)
@explained
def corporate_actions(
    ingestion: IngestionResource,
) -> tuple[dg.Output[FetchResult], dg.Output[FetchResult]]:
    """Every split and dividend up to the last closed session.

    The whole history each time: candles that a vendor adjusted as of a later day are taken back
    with the splits up to that day. A value at session T still reads events up to T alone.
    """
    with ingestion.open() as tools:
        due = tools.due("corporate_actions", "dividends", tools.stored("symbol_metadata"))
        history = SessionSpan(FIRST_SESSION, last_closed_session(tools.now()))
        answered = fetch_corporate_actions(tools.asking, due, history)
    (splits, dividends), symbols = answered.tables, answered.symbols
    remember = tools.remembering("corporate_actions", symbols)
    return _output(FetchResult(splits, symbols)), _output(
        FetchResult(dividends, symbols, when_stored=remember, error=answered.error)
    )


@dg.asset(
    group_name="ingestion",
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    kinds={"polars", "deltalake"},
    owners=OWNERS,
    io_manager_key=MASTER_WRITER_KEY,
    metadata=definition_metadata(FUNDAMENTALS),
    deps=["symbol_metadata"],
)
@explained
def fundamentals(ingestion: IngestionResource) -> dg.Output[FetchResult]:
    """Company metrics as of now, under the first session that closes after they were fetched."""
    with ingestion.open() as tools:
        now = tools.now()
        due = tools.due("fundamentals", "fundamentals", tools.stored("symbol_metadata"))
        answered = fetch_fundamentals(tools.asking, due, now)
    (rows,), session = answered.tables, offset_session(last_closed_session(now), 1)
    remember = tools.remembering("fundamentals", answered.symbols)
    span = SessionSpan(session, session)
    return _output(FetchResult(rows, answered.symbols, span, remember, answered.error))


@dg.asset(
    group_name="ingestion",
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    kinds={"polars", "deltalake"},
    owners=OWNERS,
    io_manager_key=MASTER_WRITER_KEY,
    metadata=definition_metadata(DB_METADATA),
)
@explained
def db_metadata() -> dg.Output[FetchResult]:
    """The master's data dictionary: type, unit and meaning of every column."""
    return _output(FetchResult(data_dictionary(MASTER_TABLES.values()), []))
