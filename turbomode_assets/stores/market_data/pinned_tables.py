"""Tables of the master held open: at the versions asked for, or following what is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from turbomode_assets.contracts.errors import InputError, MissingDataError, StoreError
from turbomode_assets.contracts.ordering import sort_rows
from turbomode_assets.stores.delta import open_table
from turbomode_assets.stores.master import MasterReader

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection


class PinnedTables:
    """Opens each table once. Asking again costs one look at the log, or nothing where pinned."""

    def __init__(self, root: str, versions: Mapping[str, int] | None = None) -> None:
        self._reader: MasterReader | None = MasterReader(root)
        self._pins = dict(versions or {})
        self._tables: dict[str, DeltaTable] = {}
        self._frames: dict[str, tuple[int, pl.DataFrame]] = {}
        self._sql: tuple[dict[str, int], Connection] | None = None
        for name in self._pins:
            self.table(name)

    @property
    def reader(self) -> MasterReader:
        """The reader of the store.

        Raises:
            InputError: it was closed.
        """
        if self._reader is None:
            raise InputError(
                "this MarketData was closed",
                where="MarketData",
                fix="open another one, or read inside its `with` block",
            )
        return self._reader

    def table(self, name: str) -> DeltaTable:
        """The table at its pinned version, else at its present one.

        Raises:
            InputError: the master has no such table.
            MissingDataError: the table was never written, or does not have its pinned version.
        """
        contract = self.reader.contract(name)
        table = self._tables.get(name)
        if table is None:
            table = open_table(self.reader.uri(name), contract, self.reader.owner)
            if name in self._pins:
                _load(table, name, self._pins[name])
            self._tables[name] = table
        elif name not in self._pins:
            try:
                table.update_incremental()
            except (DeltaError, OSError):  # the table was replaced by another: say what is there
                table = open_table(self.reader.uri(name), contract, self.reader.owner)
                self._tables[name] = table
        return table

    def version(self, name: str) -> int:
        """Version that reads of a table are answered from."""
        return self.table(name).version()

    def versions(self) -> dict[str, int]:
        """Version of every table that exists."""
        names = [name for name in self.reader.tables if name in self._pins or self._exists(name)]
        return {name: self.version(name) for name in names}

    def scan(self, name: str) -> pl.LazyFrame:
        """Rows of a table, with the columns that partitions are named by."""
        return pl.scan_delta(self.table(name))

    def frame(self, name: str) -> pl.DataFrame:
        """All rows of a small table, in the contract's order; kept until it is written again."""
        table, contract = self.table(name), self.reader.contract(name)
        held = self._frames.get(name)
        if held is not None and held[0] == table.version():
            return held[1]
        rows = pl.scan_delta(table).select(contract.column_names).collect()
        rows = sort_rows(rows, contract.sort_by)
        self._frames[name] = (table.version(), rows)
        return rows

    def connection(self) -> Connection:
        """A DuckDB connection over these versions that can write no file; yours until it closes."""
        versions = self.versions()
        if self._sql is None or self._sql[0] != versions:
            self._close_sql()
            self._sql = (versions, self.reader.connect(versions))
        return self._sql[1]

    def close(self) -> None:
        """Let go of everything; later calls are refused."""
        self._close_sql()
        self._tables.clear()
        self._frames.clear()
        self._reader = None

    def _exists(self, name: str) -> bool:
        return name in self._tables or self.reader.exists(name)

    def _close_sql(self) -> None:
        if self._sql is not None:
            self._sql[1].close()
            self._sql = None


def _load(table: DeltaTable, name: str, version: int) -> None:
    present = table.version()
    try:
        if not 0 <= version <= present:
            raise DeltaError("no such version")
        table.load_as_version(version)
    except DeltaError as error:
        raise MissingDataError(
            f"version {version} of {name} cannot be read: {error}",
            where="MarketData",
            fix=f"the present version is {present}; older ones last until maintenance removes them",
        ) from error
    except OSError as error:
        raise StoreError(
            f"version {version} of {name} cannot be read: {error}",
            where="MarketData",
            fix="check that the store is complete and readable",
        ) from error
