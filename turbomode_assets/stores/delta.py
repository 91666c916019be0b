"""One Delta table: creation, opening, and the only function that writes rows.

Facts that shape it: two first writers lose rows unless the table exists with its schema before the
first write; a URI scanned lazily resolves its version at collection, so readers pin a `DeltaTable`;
concurrent commits to one file conflict and are cured by running the same write again.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from turbomode_assets.contracts.columns import YEAR
from turbomode_assets.contracts.errors import ContractError, MissingDataError, StoreError, first_few
from turbomode_assets.contracts.ordering import sort_rows
from turbomode_assets.contracts.store_paths import require_usable_path
from turbomode_assets.contracts.table import TableContract, check_table, describe_rows
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.table_files import (
    FILE_BYTES,
    arrow_schema,
    columns_with_statistics,
    record_batches,
    with_partition_columns,
    writer_properties,
)

LAYOUT_VERSION = 1
"""Version of the stores' layout; tables written by a newer one are refused."""

COMPARABLE_CELLS = 20_000_000
FIRST_TIMES = ("ingested_at", "knowledge_ts")
KEEP_LOG = {"delta.enableExpiredLogCleanup": "false"}
"""Without it a checkpoint, written every 100 commits, removes the log of versions that are older
than 30 days, whoever still needs them."""

_LAYOUT_KEY = "turbomode.layoutVersion"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scope:
    """Which rows a write replaces: those in the span and, where given, with these values."""

    span: SessionSpan | None = None
    values: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def predicate(self, contract: TableContract) -> str:
        """Write the scope as a Delta predicate."""
        terms = []
        if self.span is not None:
            first, last = self.span.first, self.span.last
            if YEAR in contract.partition_by:
                terms.append(f"{YEAR} >= {first.year} AND {YEAR} <= {last.year}")
            terms.append(
                f"{contract.span_column} >= CAST('{first}' AS DATE)"
                f" AND {contract.span_column} <= CAST('{last}' AS DATE)"
            )
        for column, allowed in self.values:
            listed = ", ".join("'" + value.replace("'", "''") + "'" for value in allowed)
            terms.append(f"{column} IN ({listed})")
        return " AND ".join(terms)

    def filter(self, contract: TableContract) -> pl.Expr:
        """Write the scope as a polars filter."""
        terms = [pl.lit(True)]
        if self.span is not None:
            first, last = self.span.first, self.span.last
            if YEAR in contract.partition_by:
                terms.append(pl.col(YEAR).is_between(first.year, last.year))
            terms.append(pl.col(str(contract.span_column)).is_between(first, last))
        terms.extend(pl.col(column).is_in(list(allowed)) for column, allowed in self.values)
        return pl.all_horizontal(terms)


@dataclass(frozen=True)
class WriteResult:
    """What a write left behind: the table's version and the rows now in the scope."""

    table: str
    version: int
    rows: int
    committed: bool


def open_table(uri: str, contract: TableContract, owner: str) -> DeltaTable:
    """Open a table and pin its present version.

    Raises:
        MissingDataError: nothing was ever written.
        StoreError: the table is damaged, another owner's, or of a newer layout.
        ConfigurationError: its path has a character that tables cannot be kept below.
    """
    if "://" not in uri:
        require_usable_path(uri, where=uri)
    try:
        table = DeltaTable(uri)
    except TableNotFoundError as error:
        raise MissingDataError(
            f"table {contract.name} does not exist yet",
            where=uri,
            fix="materialize the asset that writes it for the sessions you need",
        ) from error
    except (DeltaError, OSError) as error:
        raise StoreError(
            f"table {contract.name} cannot be opened: {error}",
            where=uri,
            fix="check that the store is complete and readable; restore it from a backup if not",
        ) from error
    metadata = table.metadata()
    layout = int(metadata.configuration.get(_LAYOUT_KEY) or 0)
    if layout > LAYOUT_VERSION:
        raise StoreError(
            f"table {contract.name} has layout {layout}; this program knows {LAYOUT_VERSION}",
            where=uri,
            fix="upgrade turbomode_assets, or use a data root written by this version",
        )
    if metadata.name != f"{owner}/{contract.name}":
        raise StoreError(
            f"table is {metadata.name}, not {owner}/{contract.name}",
            where=uri,
            fix="open it with its own owner's settings",
        )
    return table


def replace_rows(
    uri: str,
    frame: pl.DataFrame,
    contract: TableContract,
    *,
    owner: str,
    scope: Scope,
    caller: str,
    attempts: int = 12,
) -> WriteResult:
    """Make the rows of `scope` exactly `frame`, in one commit, or leave the table as it was.

    The frame is checked against the contract and the scope first. A row that says nothing new
    keeps the time at which it first arrived (`ingested_at`) or was first known (`knowledge_ts`),
    so the same input twice leaves the same rows; a write that would change nothing commits
    nothing, unless finding that out would read more than `COMPARABLE_CELLS` values.

    Raises:
        ContractError: the frame breaks the contract, or holds rows outside the scope.
        StoreError: the table cannot be written, or has other columns than the contract.
    """
    started = time.perf_counter()
    contract = contract.with_further(frame.columns)
    frame = check_table(frame, contract)
    _check_scope(frame, contract, scope)
    _create_table(uri, contract, owner)
    retry = Retrying(
        retry=retry_if_exception_type(CommitFailedError),
        wait=wait_random_exponential(multiplier=0.05, max=5),
        stop=stop_after_attempt(attempts),
        reraise=True,
    )
    try:
        written = retry(_replace_once, uri, frame, contract, owner, scope)
    except (DeltaError, OSError) as error:
        raise _not_written(contract, uri, error) from error
    logger.info(
        "write %s v%d rows=%d committed=%s caller=%s seconds=%.3f",
        f"{owner}/{contract.name}",
        written.version,
        written.rows,
        written.committed,
        caller,
        time.perf_counter() - started,
    )
    return written


def append_rows(
    uri: str, frame: pl.DataFrame, contract: TableContract, *, owner: str, caller: str
) -> WriteResult:
    """Add the rows whose key the table does not hold yet, in one commit; change no other.

    Raises:
        ContractError: the frame breaks the contract.
        StoreError: the table cannot be written, or has other columns than the contract.
    """
    started = time.perf_counter()
    frame = check_table(frame, contract)
    _create_table(uri, contract, owner)
    table = open_table(uri, contract, owner)
    _check_stored_columns(table, contract, uri)
    stored = pl.scan_delta(table).select(contract.key)
    new = frame.lazy().join(stored, on=contract.key, how="anti", maintain_order="left").collect()
    if new.height:
        try:
            write_deltalake(
                table,
                _batches(new, contract),
                mode="append",
                target_file_size=FILE_BYTES,
                writer_properties=writer_properties(contract),
            )
        except (DeltaError, OSError) as error:
            raise _not_written(contract, uri, error) from error
    logger.info(
        "append %s v%d rows=%d caller=%s seconds=%.3f",
        f"{owner}/{contract.name}",
        table.version(),
        new.height,
        caller,
        time.perf_counter() - started,
    )
    return WriteResult(contract.name, table.version(), new.height, committed=new.height > 0)


def _replace_once(
    uri: str, frame: pl.DataFrame, contract: TableContract, owner: str, scope: Scope
) -> WriteResult:
    table = open_table(uri, contract, owner)
    _check_stored_columns(table, contract, uri)
    contract = as_stored(table, contract)
    frame = frame.with_columns(
        pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in contract.schema.items()
        if name not in frame.columns
    ).select(contract.column_names)
    rows = scan_table(table, contract, scope)
    frame = _keep_first_times(frame, rows, contract)
    if rows.select(pl.len()).collect().item() * frame.width <= COMPARABLE_CELLS:
        stored = rows.collect()
        if sort_rows(stored, contract.sort_by).equals(frame):
            return WriteResult(contract.name, table.version(), frame.height, committed=False)
    write_deltalake(
        table,
        _batches(frame, contract),
        mode="overwrite",
        predicate=scope.predicate(contract) or None,
        target_file_size=FILE_BYTES,
        writer_properties=writer_properties(contract),
    )
    return WriteResult(contract.name, table.version(), frame.height, committed=True)


def _batches(frame: pl.DataFrame, contract: TableContract) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(
        arrow_schema(contract), record_batches(frame, contract)
    )


def _not_written(contract: TableContract, uri: str, error: Exception) -> StoreError:
    return StoreError(
        f"table {contract.name} was not written: {error}",
        where=uri,
        fix="check disk space, permissions and other writers, then run again; "
        "the table is as it was",
    )


def _keep_first_times(
    frame: pl.DataFrame, stored: pl.LazyFrame, contract: TableContract
) -> pl.DataFrame:
    """Let a row that says nothing new keep the time at which it first arrived or was known."""
    time_column = next((name for name in FIRST_TIMES if name in contract.schema), None)
    if time_column is None:
        return frame
    same = (
        [*contract.key, "payload_sha256"]
        if "payload_sha256" in contract.schema
        else [name for name in contract.column_names if name != time_column]
    )
    earlier = stored.select(*same, first_time=time_column).collect()
    return (
        frame.join(earlier, on=same, how="left", validate="1:1", nulls_equal=True)
        .with_columns(pl.min_horizontal("first_time", time_column).alias(time_column))
        .select(contract.column_names)
        .sort(contract.sort_by)
    )


def _check_scope(frame: pl.DataFrame, contract: TableContract, scope: Scope) -> None:
    unscoped = {column for column, _ in scope.values} ^ set(contract.scope_columns)
    if unscoped or (scope.span is None) != (contract.span_column is None):
        raise ContractError(
            f"a write of {contract.name} must state its span and {contract.scope_columns}",
            where=f"table {contract.name}",
            fix="give a Scope with exactly the columns of the contract",
        )
    columns = list(dict.fromkeys([*columns_with_statistics(contract), *contract.scope_columns]))
    outside = with_partition_columns(frame.select(columns), contract).filter(
        ~scope.filter(contract)
    )
    if outside.height:
        raise ContractError(
            f"rows outside the scope of the write: {describe_rows(outside, contract.key)}",
            where=f"table {contract.name}, scope {scope.predicate(contract)}",
            fix="write only rows of the sessions and symbols that were asked for",
        )


def as_stored(table: DeltaTable, contract: TableContract) -> TableContract:
    """Take in the further columns that a table holds."""
    return contract.with_further(
        field.name for field in table.schema().fields if field.name != YEAR
    )


def _check_stored_columns(table: DeltaTable, contract: TableContract, uri: str) -> None:
    stored = {field.name for field in table.schema().fields} - {YEAR}
    wanted = set(as_stored(table, contract).column_names)
    addable = {c.name for c in contract.columns if c.nullable or contract.further is not None}
    if not stored - wanted and wanted - stored <= addable:
        _add_columns(table, wanted - stored, contract)
    elif stored != wanted:
        raise StoreError(
            f"table {contract.name} has other columns than the program:"
            f" only stored: {first_few(sorted(stored - wanted)) or 'none'};"
            f" only in the program: {first_few(sorted(wanted - stored)) or 'none'}",
            where=uri,
            fix="move the old table away and materialize the asset again for all sessions",
        )


def _add_columns(table: DeltaTable, names: set[str], contract: TableContract) -> None:
    """Add nullable columns that the table was created without; rows written before have null."""
    if names:
        fields = DeltaSchema.from_arrow(arrow_schema(contract)).fields
        table.alter.add_columns([field for field in fields if field.name in names])


def _create_table(uri: str, contract: TableContract, owner: str) -> None:
    if "://" not in uri:
        Path(uri).mkdir(parents=True, exist_ok=True)
    if DeltaTable.is_deltatable(uri):
        return
    DeltaTable.create(
        uri,
        schema=arrow_schema(contract),
        partition_by=list(contract.partition_by),
        mode="ignore",
        name=f"{owner}/{contract.name}",
        description=contract.description,
        configuration={
            _LAYOUT_KEY: str(LAYOUT_VERSION),
            **KEEP_LOG,
            "delta.dataSkippingStatsColumns": ",".join(columns_with_statistics(contract)),
        },
        raise_if_key_not_exists=False,
    )


def scan_table(
    table: DeltaTable, contract: TableContract, scope: Scope, columns: Sequence[str] | None = None
) -> pl.LazyFrame:
    """Scan the rows of a scope from a pinned table, without storage columns."""
    names = list(columns) if columns is not None else contract.column_names
    stored = {field.name for field in table.schema().fields}
    # A version from before a nullable column existed reads as null there.
    absent = [
        pl.lit(None, dtype=contract.schema[name]).alias(name)
        for name in names
        if name not in stored and name in contract.schema
    ]
    rows = pl.scan_delta(table).filter(scope.filter(contract))
    return rows.with_columns(absent).select(names)
