"""What model memory knows of trained models: records, the champion, configuration audit."""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from turbomode_assets.config.file_names import TRAINING_FILE
from turbomode_assets.config.upgrades import upgraded
from turbomode_assets.contracts.errors import ConfigurationError, MissingDataError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.memory import ModelMemory
from turbomode_assets.stores.promotions import Decision, append_decision, in_force

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
    cause: str = "by hand"
    """Why it was trained: cadence, drift, coverage, underperformance, or by hand."""
    configuration: dict[str, object] = field(default_factory=dict)
    """The whole training configuration: with the store versions, all it takes to train again."""
    environment: dict[str, str] = field(default_factory=dict)
    """Versions of the libraries that trained it."""


@dataclass(frozen=True)
class Champion:
    """The ensemble that signals of a session come from, or that challenges it in shadow."""

    model_version: str
    as_of_session: dt.date
    feature_digest: str
    config_digest: str
    vendor: str
    gate_override: str | None = None


def record_model(
    memory: ModelMemory,
    record: ModelRecord,
    performance: pl.DataFrame,
    *,
    decision: Decision | None = None,
) -> Decision | None:
    """Write a model's rows and what was decided about it in one transaction: all, or none.

    Returns the decision as it was logged.

    Training the same model again replaces its rows; decisions are only ever appended.
    `performance` has the columns model, metric, value (measured out of sample).

    Raises:
        InputError: the decision takes effect before the model's as-of session.
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
            "INSERT OR REPLACE INTO training_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                record.cause,
                json.dumps(record.configuration, sort_keys=True),
                json.dumps(record.environment, sort_keys=True),
            ],
        )
        connection.execute(
            "INSERT INTO feature_store (feature_digest, feature_names, first_used_as_of)"
            " VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [record.feature_digest, json.dumps(record.feature_names), record.as_of_session],
        )
        _replace_performance(connection, record.model_version, performance)
        return append_decision(connection, decision) if decision is not None else None


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


def trial_sharpes(memory: ModelMemory, as_of: dt.date) -> dict[str, float]:
    """Per-session Sharpe ratio of every configuration trained as of a session or earlier.

    By the digest of what shapes a fit. Of several trainings of one configuration the latest that
    measured it counts: refits of one configuration are no new trials.
    """
    trained = memory.query(
        "SELECT metrics FROM model_metadata WHERE as_of_session <= ?"
        " ORDER BY as_of_session, trained_at",
        [as_of],
    )
    sharpes: dict[str, float] = {}
    for (metrics,) in trained.iter_rows():
        record = json.loads(metrics)
        sharpe = (record.get("figures") or {}).get("sharpe_per_session")
        if "trial_digest" in record and sharpe is not None and math.isfinite(sharpe):
            sharpes[record["trial_digest"]] = float(sharpe)
    return sharpes


def is_newest(memory: ModelMemory, model_version: str) -> bool:
    """Tell whether no model was trained as of a later session."""
    return bool(
        memory.query(
            "SELECT as_of_session = (SELECT max(as_of_session) FROM model_metadata)"
            " FROM model_metadata WHERE model_version = ?",
            [model_version],
        ).item()
    )


def versions_trained_on(memory: ModelMemory, section: str, rules: object) -> frozenset[str]:
    """Models whose stored training configuration has this section with just these rules."""
    stored = memory.query(
        "SELECT DISTINCT model_version, configuration FROM training_runs"
        " WHERE configuration IS NOT NULL"
    )
    return frozenset(
        version
        for version, configuration in stored.iter_rows()
        if _stored(configuration, version).get(section) == rules
    )


def _stored(configuration: str, version: str) -> dict[str, Any]:
    """A model's stored configuration in the present form."""
    return upgraded(TRAINING_FILE, json.loads(configuration), where=f"model {version}")


def champion_or_none(memory: ModelMemory, session: dt.date) -> Champion | None:
    """Return the ensemble whose signals go out at a session, where there is one."""
    reigns = _reigns(memory, SessionSpan(session, session), "champion")
    return reigns[0][0] if reigns else None


def champions_over(memory: ModelMemory, span: SessionSpan) -> list[tuple[Champion, SessionSpan]]:
    """Cut a span by the champion in force: each with the run of sessions it is in force for.

    Raises:
        MissingDataError: the first session has no champion yet.
    """
    reigns = _reigns(memory, span, "champion")
    if not reigns or reigns[0][1].first != span.first:
        raise _no_champion(memory, span.first)
    return reigns


def challengers_over(memory: ModelMemory, span: SessionSpan) -> list[tuple[Champion, SessionSpan]]:
    """List the challengers of a span, each with a run of sessions it is in shadow for.

    A challenger predicts in shadow until its promotion takes effect; of several the next to do so.
    """
    return _reigns(memory, span, "challenger")


def _reigns(
    memory: ModelMemory, span: SessionSpan, role: Literal["champion", "challenger"]
) -> list[tuple[Champion, SessionSpan]]:
    rows = in_force(memory, span.sessions).filter(pl.col("role") == role)
    columns = [column.name for column in fields(Champion)]
    held = {row["session"]: Champion(**{c: row[c] for c in columns}) for row in rows.to_dicts()}
    reigns: list[tuple[Champion, SessionSpan]] = []
    previous: Champion | None = None
    for session in span.sessions:
        holder = held.get(session)
        if holder is not None and holder == previous:
            reigns[-1] = (holder, SessionSpan(reigns[-1][1].first, session))
        elif holder is not None:
            reigns.append((holder, SessionSpan(session, session)))
        previous = holder
    return reigns


def _no_champion(memory: ModelMemory, session: dt.date) -> MissingDataError:
    """Say why nobody signals at a session, and who could."""
    train = (
        "train one (signals never train): dagster asset materialize "
        f"-m turbomode_assets --select ensemble --partition {session}"
    )
    newest = memory.query(
        "SELECT model_version, decision, effective_session, reason"
        " FROM model_metadata LEFT JOIN promotions USING (model_version)"
        " WHERE as_of_session <= ?"
        " ORDER BY as_of_session DESC, trained_at DESC, sequence DESC LIMIT 1",
        [session],
    )
    if newest.is_empty():
        return MissingDataError(
            f"no ensemble was trained as of {session} or earlier", where=str(memory.path), fix=train
        )
    model, decision, effective, reason = newest.row(0)
    told = {
        None: "was never judged",
        "refused": f"was refused: {reason}",
        "withdrawn": f"was withdrawn: {reason}",
    }.get(decision, f"takes effect on {effective} only")
    return MissingDataError(
        f"no champion at {session}; the newest model then, {model}, {told}",
        where=str(memory.path),
        fix=f"{train}; or let that model signal all the same: turbomode models promote {model} "
        f"--session {session} --reason '...'",
    )


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
