"""Which old versions of tables are still needed: by models, signals, backtests and audits.

The master is shared: what any tenant's memory names is needed there. Of another tenant's memory
nothing but the recorded versions is read.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from turbomode_assets.contracts.errors import StoreError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.reader import TableReader

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

Versions = dict[str, set[int]]
"""Versions of each table that must stay readable."""

PATIENCE_SECONDS = 60
MEMORY_FILE = "turbomode.duckdb"

_SIGNALLED = ("predictions", "shadow_predictions")

_LIVING_MODELS = """
    SELECT DISTINCT store_versions FROM training_runs WHERE model_version NOT IN (
        SELECT model_version FROM promotions
        GROUP BY model_version HAVING bool_and(decision = 'refused')
    )
"""
_ALL_MODELS = "SELECT DISTINCT store_versions FROM training_runs"
_NEWEST_SESSIONS = """
    SELECT DISTINCT store_versions FROM {table} WHERE session IN (
        SELECT DISTINCT session FROM {table} ORDER BY session DESC LIMIT $sessions
    )
"""


@dataclass(frozen=True)
class MasterPins:
    """What is needed of the master, and tenants whose memory did not say."""

    versions: Versions
    unreadable: tuple[str, ...]


def lake_pins(memory: Path, lake: TableReader, *, explained_sessions: int) -> Versions:
    """Versions that a tenant's models, backtests and newest signals were made from.

    Raises:
        StoreError: the memory cannot be read.
    """
    pins = memory_pins(memory, explained_sessions=explained_sessions)
    for table in _SIGNALLED:
        newest = lake.stored_sessions(table).tail(explained_sessions)
        if len(newest):
            span = SessionSpan(newest[0], newest[-1])
            rows = lake.read(table, caller="maintenance", span=span, columns=["store_versions"])
            _add(pins, rows.rows["store_versions"].unique())
    return pins


def master_pins(root: Path, master: TableReader, *, explained_sessions: int) -> MasterPins:
    """Versions that any tenant under a data root, or the newest audit, refers to."""
    pins: Versions = {}
    unreadable = []
    for memory in sorted((root / "memory").glob(f"*/{MEMORY_FILE}")):
        try:
            found = memory_pins(memory, explained_sessions=explained_sessions)
        except StoreError as error:
            unreadable.append(f"{memory.parent.name}: {error.what}")
            continue
        pins = merged(pins, found)
    return MasterPins(merged(pins, audit_pins(master)), tuple(unreadable))


def audit_pins(master: TableReader) -> Versions:
    """Versions that the last audit read: the next compares with them, or reads everything."""
    pins: Versions = {}
    if master.exists("audits"):
        audits = master.read("audits", caller="maintenance").rows.sort("audited_at").tail(1)
        _add(pins, audits["store_versions"])
    return pins


def merged(*pins: Versions) -> Versions:
    """Everything that any of them needs."""
    together: Versions = {}
    for each in pins:
        for table, versions in each.items():
            together.setdefault(table, set()).update(versions)
    return together


def memory_pins(memory: Path, *, explained_sessions: int) -> Versions:
    """Versions that a memory file records of models never refused and of its newest sessions.

    A model that the gate refused is no champion's ancestor and signals nothing. A file that is not
    there needs nothing; older schemas are read as they are.

    Raises:
        StoreError: the file is held by another process for long, or is damaged.
    """
    pins: Versions = {}
    if not memory.is_file():
        return pins
    with reading_memory(memory) as connection:
        tables = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
        if "training_runs" in tables:
            living = _LIVING_MODELS if "promotions" in tables else _ALL_MODELS
            _add(pins, (text for (text,) in connection.execute(living).fetchall()))
        for table in ("signal_history", "backtest_figures"):
            if table in tables:
                query = _NEWEST_SESSIONS.format(table=table)
                rows = connection.execute(query, {"sessions": explained_sessions}).fetchall()
                _add(pins, (text for (text,) in rows))
    return pins


def _add(pins: Versions, recorded: Iterable[str | None]) -> None:
    for text in recorded:
        versions: Mapping[str, int] = json.loads(text) if text else {}
        for table, version in versions.items():
            pins.setdefault(table, set()).add(version)


@contextlib.contextmanager
def reading_memory(memory: Path) -> Iterator[Connection]:
    """Open a memory file of any tenant and schema for reading; nothing is migrated."""
    import duckdb  # here for the reason that stores/memory.py gives

    # A file that is damaged raises the same class, but waiting does not mend it.
    retry = Retrying(
        retry=retry_if_exception(lambda e: isinstance(e, duckdb.IOException) and "lock" in str(e)),
        wait=wait_random_exponential(multiplier=0.01, max=1),
        stop=stop_after_delay(PATIENCE_SECONDS),
        reraise=True,
    )
    try:
        with contextlib.closing(retry(duckdb.connect, str(memory), read_only=True)) as connection:
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection
    except duckdb.Error as error:
        raise StoreError(
            f"model memory cannot be read: {error}",
            where=str(memory),
            fix="close the process that holds it, or restore the file from a backup",
        ) from error
