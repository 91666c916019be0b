"""Stores of other versions: an older one is brought up to date in place, a newer one refused."""

import datetime as dt
import multiprocessing
import signal
import threading

import pytest
import sqlalchemy as sa

from turbomode_assets.contracts.errors import StoreError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.operations import NewWork, Operations
from turbomode_assets.stores.operations.database import OperationsDatabase
from turbomode_assets.stores.operations.schema import (
    BACKFILL_QUEUE,
    METADATA,
    OPERATIONS_VERSION,
    SCHEMA_VERSION,
)
from turbomode_assets_tests.stores.operations_workers import (
    NOON,
    START_TOGETHER_SECONDS,
    SimulatedClock,
    die_in_migration,
)

MONDAY, FRIDAY = dt.date(2024, 1, 8), dt.date(2024, 1, 12)
NOON_AS_STORED = 1_704_196_800_000_000
QUEUE_OF_VERSION_1 = """
    CREATE TABLE backfill_queue (
        symbol TEXT NOT NULL, timeframe TEXT NOT NULL,
        first_session DATE NOT NULL, last_session DATE NOT NULL,
        reason TEXT NOT NULL, not_before BIGINT,
        attempts INTEGER NOT NULL, enqueued_at BIGINT NOT NULL,
        PRIMARY KEY (symbol, timeframe, first_session, last_session)
    )
"""
COLUMNS_OF_VERSION_1 = (
    "symbol, timeframe, first_session, last_session, reason, not_before, attempts, enqueued_at"
)
WORK_OF_VERSION_1 = f"""
    INSERT INTO backfill_queue ({COLUMNS_OF_VERSION_1}) VALUES
    ('AAPL', '1d', '2024-01-08', '2024-01-12', 'timeout', {NOON_AS_STORED}, 3, {NOON_AS_STORED}),
    ('MSFT', '1h', '2024-01-08', '2024-01-12', 'connection lost', NULL, 1, {NOON_AS_STORED})
"""


@pytest.fixture
def old_url(operations_url):
    """A store of version 1 with a lease and two items of work."""
    store = OperationsDatabase(operations_url)
    with store.transaction() as connection:
        BACKFILL_QUEUE.drop(connection)
        connection.exec_driver_sql(QUEUE_OF_VERSION_1)
        connection.exec_driver_sql(WORK_OF_VERSION_1)
        connection.execute(sa.update(SCHEMA_VERSION).values(version=1))
        connection.execute(
            sa.insert(METADATA.tables["leases"]).values(name="q", owner="ann", expires_at=2**60)
        )
    store.close()
    return operations_url


def version_of(operations):
    with operations.reading() as connection:
        return connection.scalars(sa.select(SCHEMA_VERSION.c.version)).all()


def columns_of(url):
    with OperationsDatabase(url).reading() as connection:
        found = sa.inspect(connection).get_columns("backfill_queue")
        affinity = {column["name"]: column["type"]._type_affinity for column in found}
        return affinity, {column["name"]: column["nullable"] for column in found}


def columns_of_untouched(url):
    """Columns of the queue, read past the store, which would bring it up to date."""
    engine = sa.create_engine(OperationsDatabase(url)._url, poolclass=sa.NullPool)
    return {column["name"] for column in sa.inspect(engine).get_columns("backfill_queue")}


def assert_is_up_to_date(operations):
    told = operations.queued().select(
        "symbol", "reason", "attempts", "not_before", "enqueued_at", "importance", "is_dead"
    )
    assert told.rows() == [
        ("AAPL", "timeout", 3, NOON, NOON, 0.0, False),
        ("MSFT", "connection lost", 1, None, NOON, 0.0, False),
    ]
    assert version_of(operations) == [2]
    assert not operations.try_lease("q", "bob", 60)


def test_a_store_of_version_1_keeps_its_work(old_url):
    operations = Operations(old_url, clock=SimulatedClock().now)
    assert_is_up_to_date(operations)
    assert operations.claim("ann", 5, 60)["symbol"].to_list() == ["AAPL", "MSFT"]
    assert_is_up_to_date(Operations(old_url))


def test_a_store_brought_up_to_date_has_the_tables_of_a_new_one(old_url, tmp_path):
    new_url = f"sqlite:///{tmp_path / 'new' / 'operations.sqlite'}"
    assert columns_of(old_url) == columns_of(new_url)


def test_a_program_of_version_1_that_still_runs_can_queue_work(operations_url):
    operations = Operations(operations_url)
    assert operations.queued().is_empty()
    row = "('AAPL', '1d', '2024-01-08', '2024-01-12', 'timeout', NULL, 1, 0)"
    with operations.transaction() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO backfill_queue ({COLUMNS_OF_VERSION_1}) VALUES {row}"
        )
    assert operations.due(1)["importance"].to_list() == [0.0]


def test_a_worker_killed_while_it_changes_the_tables_leaves_the_old_ones(old_url):
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    child = multiprocessing.get_context("fork").Process(target=die_in_migration, args=(old_url,))
    child.start()
    child.join(START_TOGETHER_SECONDS)
    assert child.exitcode == -signal.SIGKILL
    assert "claimed_by" not in columns_of_untouched(old_url)
    together, failures = threading.Barrier(6), []

    def work():
        together.wait(START_TOGETHER_SECONDS)
        try:
            assert_is_up_to_date(Operations(old_url))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(START_TOGETHER_SECONDS)
    assert failures == []


def test_a_store_of_a_newer_program_is_refused_and_left_alone(operations_url):
    operations = Operations(operations_url)
    span = SessionSpan(MONDAY, FRIDAY)
    operations.enqueue([NewWork("AAPL", "1d", span, "absent", 1.0)])
    newer = OPERATIONS_VERSION + 1
    with operations.transaction() as connection:
        connection.execute(sa.update(SCHEMA_VERSION).values(version=newer))
    with pytest.raises(StoreError, match="schema version 3; this program knows 2"):
        Operations(operations_url).try_lease("MSFT", "ann", 60)
    assert version_of(operations) == [newer]
    assert operations.queued().height == 1
