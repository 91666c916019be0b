"""Reading a family of Delta tables: pinned frames, versions, and SQL that cannot write."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from turbomode_assets.contracts.errors import InputError, MissingDataError, first_few
from turbomode_assets.contracts.ordering import sort_rows
from turbomode_assets.contracts.table import TableContract
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.delta import Scope, as_stored, open_table, scan_table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PinnedRows:
    """Rows of a table at one version, so that what was read can be named and read again."""

    table: str
    version: int
    rows: pl.DataFrame


class TableReader:
    """Reads the tables of one owner. It has no method that writes."""

    def __init__(self, root: str, owner: str, tables: Mapping[str, TableContract]) -> None:
        self._root = root.rstrip("/")
        self._owner = owner
        self._tables = dict(tables)

    @property
    def owner(self) -> str:
        """Whose tables these are: `master`, or `lake/<tenant>`."""
        return self._owner

    @property
    def tables(self) -> list[str]:
        """Names of every table of this owner, written or not."""
        return list(self._tables)

    def contract(self, table: str) -> TableContract:
        """Contract of a table of this owner.

        Raises:
            InputError: this owner has no such table.
        """
        if table not in self._tables:
            raise InputError(
                f"{self._owner} has no table {table!r}",
                where=self._owner,
                fix=f"name one of {', '.join(sorted(self._tables))}",
            )
        return self._tables[table]

    def uri(self, table: str) -> str:
        """Where a table lies."""
        return f"{self._root}/{self.contract(table).name}"

    def version(self, table: str) -> int:
        """Present version of a table."""
        return open_table(self.uri(table), self.contract(table), self._owner).version()

    def read(
        self,
        table: str,
        *,
        caller: str,
        span: SessionSpan | None = None,
        symbols: Sequence[str] | None = None,
        timeframes: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        version: int | None = None,
    ) -> PinnedRows:
        """Read rows of a table at its present (or the given) version, in the contract's order.

        Raises:
            MissingDataError: the table was never written, or this version of it is gone.
        """
        started = time.perf_counter()
        contract = self.contract(table)
        delta = open_table(self.uri(table), contract, self._owner)
        if version is not None:
            self._go_back(delta, table, version)
        contract = as_stored(delta, contract)
        wanted = {"symbol": symbols, "timeframe": timeframes}
        values = tuple((name, tuple(each)) for name, each in wanted.items() if each is not None)
        rows = scan_table(delta, contract, Scope(span, values), _known(columns, contract)).collect()
        rows = sort_rows(rows, [name for name in contract.sort_by if name in rows.columns])
        logger.info(
            "read %s v%d rows=%d span=%s caller=%s seconds=%.3f",
            f"{self._owner}/{table}",
            delta.version(),
            rows.height,
            span,
            caller,
            time.perf_counter() - started,
        )
        return PinnedRows(table, delta.version(), rows)

    def _go_back(self, delta: DeltaTable, table: str, version: int) -> None:
        try:
            delta.load_as_version(version)
        except DeltaError as error:
            raise MissingDataError(
                f"version {version} of {table} cannot be read: {error}",
                where=self.uri(table),
                fix="versions last until maintenance removes them; restore a backup that has it",
            ) from error

    def read_complete(
        self,
        table: str,
        *,
        caller: str,
        span: SessionSpan,
        due: SessionSpan,
        asset: str | None = None,
        timeframes: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        version: int | None = None,
    ) -> PinnedRows:
        """Read a span in which no session is missing, at the present or the given version.

        Sessions of `span` before the table's first session are the start of history. A session
        without rows after it would leave a silent hole in every window, and one of `due`, the
        sessions that are to be derived, has nothing to be derived from: both are refused.

        Raises:
            MissingDataError: the table, or sessions of it, do not exist.
        """
        name = asset or table
        remedy = (
            f"materialize it first: dagster asset materialize -m turbomode_assets --select {name}"
        )
        if not self.exists(table):
            raise MissingDataError(
                f"{name} was never materialized",
                where=f"{self._owner}/{table}, needed by {caller} for {span}",
                fix=f"{remedy} --partition-range {due.first}...{due.last}",
            )
        pinned = self.read(
            table,
            caller=caller,
            span=span,
            timeframes=timeframes,
            columns=columns,
            version=version,
        )
        stored = set(pinned.rows.get_column("session").unique())
        stored_span = self.stored_span(table)
        history_begins = stored_span.first if stored_span else due.first
        expected = SessionSpan(max(span.first, min(history_begins, due.first)), span.last).sessions
        missing = [session for session in expected if session not in stored]
        if missing:
            raise MissingDataError(
                f"{len(missing)} sessions of {name} have no rows: {first_few(missing)}",
                where=f"{self._owner}/{table}, needed by {caller} for {span}",
                fix=f"{remedy} --partition-range {missing[0]}...{missing[-1]}",
            )
        return pinned

    def stored_span(self, table: str) -> SessionSpan | None:
        """From the first to the last session that a table has rows of; None while it has none."""
        if not self.exists(table):
            return None
        delta = open_table(self.uri(table), self.contract(table), self._owner)
        session = pl.col("session")
        ends = pl.scan_delta(delta).select(first=session.min(), last=session.max())
        first, last = ends.collect().row(0)
        return None if first is None else SessionSpan(first, last)

    def stored_sessions(self, table: str) -> pl.Series:
        """Sessions that a table has rows of, in order; none while it was never written."""
        if not self.exists(table):
            return pl.Series("session", [], dtype=pl.Date)
        delta = open_table(self.uri(table), self.contract(table), self._owner)
        sessions = pl.scan_delta(delta).select(pl.col("session").unique())
        return sessions.collect().to_series().sort()

    def exists(self, table: str) -> bool:
        """Tell whether a table was ever written."""
        return DeltaTable.is_deltatable(self.uri(table))

    def has_rows(self, table: str, span: SessionSpan) -> bool:
        """Tell whether a table exists and has a row in a span."""
        if not self.exists(table):
            return False
        contract = self.contract(table)
        delta = open_table(self.uri(table), contract, self._owner)
        rows = scan_table(delta, contract, Scope(span), [str(contract.span_column)])
        return rows.head(1).collect().height > 0

    def count(self, table: str, column: str, *, span: SessionSpan) -> dict[str, int]:
        """Rows of a span for each value of a column."""
        contract = self.contract(table)
        delta = open_table(self.uri(table), contract, self._owner)
        rows = scan_table(delta, contract, Scope(span), [column, str(contract.span_column)])
        counts = rows.group_by(column).len().sort(column).collect()
        return {str(value): int(number) for value, number in counts.iter_rows()}

    def distinct(
        self,
        table: str,
        columns: Sequence[str],
        *,
        span: SessionSpan,
        symbols: Sequence[str],
        timeframes: Sequence[str],
    ) -> pl.DataFrame:
        """Different values of some columns, without holding all rows at once."""
        contract = self.contract(table)
        delta = open_table(self.uri(table), contract, self._owner)
        scope = Scope(span, (("symbol", tuple(symbols)), ("timeframe", tuple(timeframes))))
        return scan_table(delta, contract, scope, columns).unique().collect(engine="streaming")

    def any_value(self, table: str, column: str) -> object:
        """Value of a column in some row; None while there is no row."""
        if not self.exists(table):
            return None
        delta = open_table(self.uri(table), self.contract(table), self._owner)
        values = pl.scan_delta(delta).select(column).head(1).collect().to_series()
        return values[0] if len(values) else None

    def connect(self, versions: Mapping[str, int] | None = None) -> Connection:
        """Open a DuckDB connection with every existing table as a view, unable to write any file.

        With `versions` the views are of these tables, each at its version, and no others.

        External access is off and its configuration locked: `COPY TO`, `ATTACH` and file reads
        are refused by DuckDB itself.
        """
        import duckdb  # here for the reason that stores/memory.py gives

        connection = duckdb.connect()
        for name, contract in self._tables.items():
            if name in versions if versions is not None else self.exists(name):
                delta = open_table(self.uri(name), contract, self._owner)
                if versions is not None:
                    self._go_back(delta, name, versions[name])
                connection.register(name, delta.to_pyarrow_dataset())
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection


def _known(columns: Sequence[str] | None, contract: TableContract) -> list[str] | None:
    if columns is None:
        return None
    unknown = [name for name in columns if name not in contract.schema]
    if unknown:
        raise InputError(
            f"no such columns: {', '.join(unknown[:5])}",
            where=f"table {contract.name}",
            fix="name columns of the table's contract",
        )
    return list(columns)


def versions_of(reads: Sequence[PinnedRows]) -> dict[str, int]:
    """Version of each table that was read."""
    return {pinned.table: pinned.version for pinned in reads}
