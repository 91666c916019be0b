"""The database of the operations store: opening it, its transactions, its dialects.

SQLite (a local file, write-ahead log) or PostgreSQL by URL. What was committed survives the death
of any process; with SQLite a power cut may forget the last moments, but tears nothing.
"""

import contextlib
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from turbomode_assets.contracts.errors import StoreError
from turbomode_assets.stores.operations.schema import (
    METADATA,
    OPERATIONS_VERSION,
    SCHEMA_VERSION,
    STEPS_TO_NEXT_VERSION,
)

PATIENCE_SECONDS = 60
CONNECT_SECONDS = 10

_FAILURES_TO_OPEN = (SQLAlchemyError, sqlite3.Error, OSError, ImportError)
_ADVISORY_LOCK = sa.select(
    sa.func.pg_advisory_xact_lock(
        sa.func.hashtextextended(sa.func.current_schema() + sa.bindparam("name", type_=sa.Text), 0)
    )
)
_SECRET_OPTIONS = ("password", "sslpassword")


class OperationsDatabase:
    """Opens the operations store, transaction by transaction.

    Cheap to make: nothing is opened before the first use. Threads may share it, processes may get
    it pickled (with the URL's password) or by fork. No transaction is open between uses, and on
    PostgreSQL no connection.
    """

    def __init__(self, url: str) -> None:
        """Take `sqlite:////absolute/file` or `postgresql://user:password@host/database`.

        Raises:
            StoreError: the URL is malformed, or of another kind.
        """
        self._text = url
        self._url = _parse(url)
        self.place = self._url.set(query={}).render_as_string(hide_password=True)
        self._guard = threading.Lock()
        self._engine: sa.Engine | None = None
        self._process = 0
        self._inherited: list[sa.Engine] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._text,)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Yield a connection inside one writing transaction: committed at the end, or rolled back.

        Raises:
            StoreError: the store cannot be reached or written, or has a newer schema.
        """
        engine = self._opened()
        with self._explained(SQLAlchemyError), engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # A worker that stopped inside a transaction must not stop the others for good.
                connection.exec_driver_sql(
                    f"SET LOCAL lock_timeout = '{PATIENCE_SECONDS}s';"
                    f"SET LOCAL idle_in_transaction_session_timeout = '{PATIENCE_SECONDS}s'"
                )
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Yield a connection that sees what is committed and waits for no writer."""
        engine = self._opened()
        with self._explained(SQLAlchemyError), _connect_reading(engine) as connection:
            yield connection

    def close(self) -> None:
        """Let go of an idle connection; a later use opens another."""
        with self._guard:
            if self._engine is not None and self._process == os.getpid():
                self._engine.dispose()
            self._engine = None

    def _opened(self) -> sa.Engine:
        with self._guard:
            if self._engine is None or self._process != os.getpid():
                if self._engine is not None:
                    # SQLite forbids a child even to close a connection of its parent.
                    self._inherited.append(self._engine)
                with self._explained(*_FAILURES_TO_OPEN):
                    engine = _make_engine(self._url)
                    self._prepare(engine)
                self._engine, self._process = engine, os.getpid()
            return self._engine

    def _prepare(self, engine: sa.Engine) -> None:
        if engine.dialect.name == "sqlite":
            _prepare_file(engine)
        with _connect_reading(engine) as connection:
            version = _read_version(connection)
        if version is None or version < OPERATIONS_VERSION:
            version = _bring_up_to_date(engine)
        if version > OPERATIONS_VERSION:
            raise StoreError(
                f"the operations store has schema version {version}; "
                f"this program knows {OPERATIONS_VERSION}",
                where=self.place,
                fix="upgrade turbomode_assets; the store was left as it is",
            )

    @contextlib.contextmanager
    def _explained(self, *failures: type[Exception]) -> Iterator[None]:
        """Say which store failed and why, without any password that the driver may repeat."""
        try:
            yield
        except failures as error:
            options = (self._url.query.get(name) for name in _SECRET_OPTIONS)
            secrets = [self._url.password, *(option for option in options if option)]
            text = " ".join(str(getattr(error, "orig", None) or error).split())
            told = text
            for secret in filter(None, secrets):
                told = told.replace(str(secret), "***")
            raise StoreError(
                f"the operations store cannot be used: {told}",
                where=self.place,
                fix="check that the server runs, that the URL is right and that psycopg is "
                "installed; or that the file is whole, writable and not held by a hanging worker",
            ) from (error if told == text else None)


def serialise(connection: sa.Connection, name: str) -> None:
    """Let one transaction at a time go on under a name; it holds until the transaction ends.

    SQLite has one writer anyway: its transactions begin by taking the file's lock.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_ADVISORY_LOCK, {"name": f":turbomode:{name}"})


def insert_into(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Begin an insert that can say what happens on conflict, in the connection's dialect."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        parsed = None
    if parsed is not None and parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed is None or not _is_known(parsed):
        # The text itself may hold a password, wherever it is malformed.
        kind = re.match(r"[a-z0-9+]+(?=://)", url)
        raise StoreError(
            "the URL of the operations store names neither a SQLite file nor PostgreSQL",
            where=f"a URL of the kind {kind.group() if kind else 'unknown'}",
            fix="write sqlite:////absolute/path/operations.db or "
            "postgresql://user:password@host:5432/database (special characters as %XX)",
        ) from None
    return parsed


def _is_known(url: sa.URL) -> bool:
    if url.drivername == "sqlite":
        return url.database not in (None, "", ":memory:")
    # A password with a bare @ would spill into the host or the database, and so into messages.
    spilt = "@" in f"{url.host}{url.database}"
    return url.drivername == "postgresql+psycopg" and not spilt


def _connect_reading(engine: sa.Engine) -> sa.Connection:
    return engine.connect().execution_options(reading=True)


def _make_engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        patience = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
        return sa.create_engine(
            url,
            poolclass=sa.NullPool,
            isolation_level="READ COMMITTED",
            use_native_hstore=False,  # saves every connection a question to the server
            connect_args=patience,
        )
    # One idle connection stays: when the last one closes, SQLite folds up its log (5 ms a time).
    engine = sa.create_engine(
        url,
        pool_size=1,
        max_overflow=-1,
        connect_args={"timeout": PATIENCE_SECONDS, "isolation_level": None},
    )
    sa.event.listen(engine, "connect", _set_up_connection)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _set_up_connection(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin(connection: sa.Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _prepare_file(engine: sa.Engine) -> None:
    """Make the folder, and the file with a write-ahead log; several workers may do so at once."""
    Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
    retry = Retrying(  # SQLite does not wait for this lock by itself
        retry=retry_if_exception_type(sqlite3.OperationalError),
        wait=wait_random_exponential(multiplier=0.01, max=1),
        stop=stop_after_delay(CONNECT_SECONDS),
        reraise=True,
    )
    with contextlib.closing(engine.raw_connection()) as connection:
        retry(connection.cursor().execute, "PRAGMA journal_mode = WAL")


def _read_version(connection: sa.Connection) -> int | None:
    """Read the version of the tables; None while there are none."""
    if not sa.inspect(connection).has_table(SCHEMA_VERSION.name):
        return None
    return connection.scalar(sa.select(SCHEMA_VERSION.c.version))


def _bring_up_to_date(engine: sa.Engine) -> int:
    """Make the tables, or change older ones in place; all of it or, if interrupted, nothing."""
    with engine.begin() as connection:
        serialise(connection, "schema")
        version = _read_version(connection)  # another worker may have been first
        if version is None:
            METADATA.create_all(connection)
            connection.execute(sa.insert(SCHEMA_VERSION).values(version=OPERATIONS_VERSION))
            return OPERATIONS_VERSION
        for older in range(version, OPERATIONS_VERSION):
            for step in STEPS_TO_NEXT_VERSION[older]:
                connection.exec_driver_sql(step)
            connection.execute(sa.update(SCHEMA_VERSION).values(version=older + 1))
        return max(version, OPERATIONS_VERSION)
