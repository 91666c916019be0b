"""The private model memory of one tenant: a DuckDB file, opened per transaction.

DuckDB is imported where it is used: held by a module of the asset graph, it outlives the
interpreter and ends every command with a page of leak reports (2.0.0).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from turbomode_assets.contracts.errors import StoreError
from turbomode_assets.stores.memory_schema import MEMORY_VERSION, MIGRATIONS, TABLES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

LOCK_PATIENCE_SECONDS = 60


class ModelMemory:
    """Opens one tenant's memory file for milliseconds at a time.

    A DuckDB file that one process holds shuts out every other, so nothing keeps it open across a
    step. A connection handed out cannot read or write any other file.
    """

    def __init__(self, path: Path, tenant: str) -> None:
        self.path = path
        self.tenant = tenant

    def exists(self) -> bool:
        """Tell whether anything was ever remembered; opening the memory creates it."""
        return self.path.is_file()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection inside one transaction: committed at the end, or rolled back.

        Raises:
            StoreError: the file is held by another process, is another tenant's, is damaged, or
                has a newer schema.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(self._connect()) as connection:
            self._prepare(connection)
            connection.execute("BEGIN")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def query(self, sql: str, parameters: list[object] | None = None) -> pl.DataFrame:
        """Run one query and return its rows."""
        with self.transaction() as connection:
            rows: pl.DataFrame = connection.sql(sql, params=parameters or []).pl()
        return rows

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file and free the blocks of removed rows."""
        with contextlib.closing(self._connect()) as connection:
            self._prepare(connection)
            connection.execute("CHECKPOINT")

    def copy_to(self, target: Path) -> None:
        """Write all tables as of one moment into a new file; other processes wait meanwhile.

        Raises:
            StoreError: as `transaction` does, or the target cannot be written.
        """
        import duckdb

        with self.transaction():
            pass  # refuses another tenant's file, and brings an older one to this version
        quoted = str(target).replace("'", "''")
        with contextlib.closing(self._connect()) as connection:
            try:
                connection.execute(f"ATTACH '{quoted}' AS the_copy")
                connection.execute(f'COPY FROM DATABASE "{self.path.stem}" TO the_copy')
                connection.execute("DETACH the_copy")
            except duckdb.Error as error:
                raise StoreError(
                    f"model memory cannot be copied: {error}",
                    where=str(target),
                    fix="check disk space and permissions; the memory itself is as it was",
                ) from error

    def _connect(self) -> Connection:
        import duckdb

        retry = Retrying(
            retry=retry_if_exception_type(duckdb.IOException),
            wait=wait_random_exponential(multiplier=0.01, max=1),
            stop=stop_after_delay(LOCK_PATIENCE_SECONDS),
            reraise=True,
        )
        try:
            return retry(duckdb.connect, str(self.path))
        except duckdb.Error as error:
            raise StoreError(
                f"model memory cannot be opened: {error}",
                where=str(self.path),
                fix="close the process that holds it, or restore the file from a backup",
            ) from error

    def _prepare(self, connection: Connection) -> None:
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        connection.execute("BEGIN")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS memory_schema (version INTEGER, tenant VARCHAR)"
        )
        found = connection.execute("SELECT version, tenant FROM memory_schema").fetchone()
        if found is None:
            connection.execute(
                "INSERT INTO memory_schema VALUES (?, ?)", [MEMORY_VERSION, self.tenant]
            )
            for name, columns in TABLES.items():
                connection.execute(f"CREATE TABLE {name} ({columns})")
        connection.execute("COMMIT")
        if found is not None:
            self._check_version_and_tenant(*found)
            self._migrate(connection, found[0])

    def _migrate(self, connection: Connection, version: int) -> None:
        """Bring an older file to this version, in one transaction."""
        if version == MEMORY_VERSION:
            return
        connection.execute("BEGIN")
        for step in range(version, MEMORY_VERSION):
            for statement in MIGRATIONS[step]:
                connection.execute(statement)
        connection.execute("UPDATE memory_schema SET version = ?", [MEMORY_VERSION])
        connection.execute("COMMIT")

    def _check_version_and_tenant(self, version: int, tenant: str) -> None:
        if version > MEMORY_VERSION:
            raise StoreError(
                f"model memory has schema version {version}; this program knows {MEMORY_VERSION}",
                where=str(self.path),
                fix="upgrade turbomode_assets; the file was left as it is",
            )
        if tenant != self.tenant:
            raise StoreError(
                f"model memory belongs to tenant {tenant!r}, not {self.tenant!r}",
                where=str(self.path),
                fix="set TURBOMODE_TENANT to its owner, or use the tenant's own file",
            )
