"""What model memory knows of trained models: records, the champion, configuration audit."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from turbomode_assets.contracts.errors import ConfigurationError, MissingDataError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.memory import ModelMemory

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection


@dataclass(frozen=True)
class ModelRecord:
    """One trained ensemble and the run that trained it."""

    model_version: str
    as_of_session: dt.date
    feature_digest: str
    feature_names: tuple[str, ...]
    config_version: str
    config_digest: str
    vendor: str
    metrics: dict[str, object]
    dagster_run_id: str
    started_at: dt.datetime
    finished_at: dt.datetime
    rows: int
    symbols: int
    seed: int
    data_digest: str
    store_versions: dict[str, int]
    gate_override: str | None = None
    """Why it was trained on data below the GREEN threshold; None: it was not."""


@dataclass(frozen=True)
class Champion:
    """The ensemble that signals of a session come from."""

    model_version: str
    as_of_session: dt.date
    feature_digest: str
    config_digest: str
    vendor: str
    gate_override: str | None = None


def record_model(memory: ModelMemory, record: ModelRecord, performance: pl.DataFrame) -> None:
    """Write a model's rows in one transaction; training the same model again replaces them.

    `performance` has the columns model, metric, value (measured out of sample).
    """
    with memory.transaction() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO model_metadata VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                record.model_version,
                record.as_of_session,
                record.finished_at,
                record.feature_digest,
                record.config_version,
                record.config_digest,
                record.vendor,
                json.dumps(record.metrics, sort_keys=True),
                record.gate_override,
            ],
        )
        connection.execute(
            "INSERT OR REPLACE INTO training_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                record.model_version,
                record.dagster_run_id,
                record.as_of_session,
                record.started_at,
                record.finished_at,
                record.rows,
                record.symbols,
                record.seed,
                record.data_digest,
                json.dumps(record.store_versions, sort_keys=True),
            ],
        )
        connection.execute(
            "INSERT INTO feature_store VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [record.feature_digest, json.dumps(record.feature_names), record.as_of_session],
        )
        _replace_performance(connection, record.model_version, performance)


def _replace_performance(
    connection: Connection, model_version: str, performance: pl.DataFrame
) -> None:
    connection.execute("DELETE FROM model_performance WHERE model_version = ?", [model_version])
    connection.register("performance", performance)
    connection.execute(
        "INSERT INTO model_performance SELECT ?, model, metric, value FROM performance",
        [model_version],
    )
    connection.unregister("performance")


def champion_at(memory: ModelMemory, session: dt.date) -> Champion:
    """Return the ensemble in force at a session: the one trained as of the latest session <= it.

    Raises:
        MissingDataError: no ensemble was trained as of this session or an earlier one.
    """
    rows = memory.query(
        "SELECT model_version, as_of_session, feature_digest, config_digest, vendor, gate_override"
        " FROM model_metadata"
        " WHERE as_of_session <= ? ORDER BY as_of_session DESC, trained_at DESC LIMIT 1",
        [session],
    )
    if rows.is_empty():
        raise MissingDataError(
            f"no ensemble was trained as of {session} or earlier",
            where=str(memory.path),
            fix="train one first (signals never train): dagster asset materialize "
            f"-m turbomode_assets --select ensemble --partition {session}",
        )
    return Champion(**rows.row(0, named=True))


def champions_over(memory: ModelMemory, span: SessionSpan) -> list[tuple[Champion, SessionSpan]]:
    """Cut a span by the champion in force: each with the run of sessions it is in force for.

    Raises:
        MissingDataError: the first session has no champion yet.
    """
    reigns: list[tuple[Champion, SessionSpan]] = []
    for session in span.sessions:
        champion = champion_at(memory, session)
        if reigns and reigns[-1][0] == champion:
            reigns[-1] = (champion, SessionSpan(reigns[-1][1].first, session))
        else:
            reigns.append((champion, SessionSpan(session, session)))
    return reigns


def audit_configuration(
    memory: ModelMemory,
    *,
    file: str,
    version: str,
    digest: str,
    purpose: str,
    loaded_at: dt.datetime,
) -> None:
    """Log that a configuration was loaded.

    Raises:
        ConfigurationError: this version was loaded before with other content.
    """
    with memory.transaction() as connection:
        other = connection.execute(
            "SELECT digest, loaded_at FROM config_audit_log"
            " WHERE file = ? AND version = ? AND digest <> ? LIMIT 1",
            [file, version, digest],
        ).fetchone()
        if other is not None:
            raise ConfigurationError(
                f"version {version} was loaded on {other[1]:%Y-%m-%d} with other content",
                where=file,
                fix="raise `version` and add a `changelog` entry, or restore the earlier content",
            )
        connection.execute(
            "INSERT INTO config_audit_log VALUES (?, ?, ?, ?, ?)",
            [loaded_at, file, version, digest, purpose],
        )


def audit_override(
    memory: ModelMemory, *, file: str, version: str, digest: str, purpose: str, at: dt.datetime
) -> None:
    """Log that a rule of a configuration was set aside, for what and why."""
    with memory.transaction() as connection:
        connection.execute(
            "INSERT INTO config_audit_log VALUES (?, ?, ?, ?, ?)",
            [at, file, version, digest, purpose],
        )
