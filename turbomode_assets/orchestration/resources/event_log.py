"""Dagster's SQLite event log without an fsync for every event.

The stock storage opens and closes its database for each event, which checkpoints the write-ahead
log and waits for the disk: 12 to 80 ms for every partition of every asset in a range run. This
one keeps a connection open and lets SQLite sync at its own checkpoints (`synchronous=NORMAL`
survives a killed process; a power cut may lose the last events, never corrupt). The live log in
the UI watches the main database file, which changes only at checkpoints: each write touches it.

It leans on private names of Dagster: a test fails loudly when a release moves them, and
`dagster.yaml` can name the stock class instead.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import sqlalchemy as db
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection, Engine

BUSY_TIMEOUT_SECONDS = 60
OPEN_DATABASES = 32
"""Each run has its own database; the least recently used are closed."""


class QuickSqliteEventLogStorage(SqliteEventLogStorage):
    """The stock storage with pooled connections and syncs at checkpoints only."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        super().__init__(*arguments, **keywords)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """Build this class; the parent's method builds the parent whatever `cls` is."""
        return cls(inst_data=inst_data, **config_value)

    def remove_database(self, run_id: str) -> None:
        """Remove the database of a run whose events were deleted; empty, it still takes 100 KB."""
        with self._db_lock:
            engine = self._engines.pop(run_id, None)
            if engine is not None:
                engine.dispose()
            self._initialized_dbs.discard(run_id)
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path_for_shard(run_id)}{suffix}").unlink(missing_ok=True)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engines.get(shard) or self._open(shard)
            self._engines.move_to_end(shard)
            with engine.connect() as connection, connection.begin():
                yield connection
            os.utime(self.path_for_shard(shard))

    def _open(self, shard: str) -> Engine:
        engine = db.create_engine(
            self.conn_string_for_shard(shard),
            poolclass=db.pool.QueuePool,
            pool_size=1,
            max_overflow=4,
            connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        db.event.listen(engine, "connect", _tune)
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        self._engines[shard] = engine
        if len(self._engines) > OPEN_DATABASES:
            self._engines.popitem(last=False)[1].dispose()
        return engine


def _tune(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
