"""What is recorded of training and of the champion since, as the retraining policy reads it."""

import datetime as dt
import json

import polars as pl

from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.ensemble.retraining import RetrainingCause, TrainingState, retraining_cause
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.settings import Settings
from turbomode_assets.stores import Lake, MasterReader, ModelMemory
from turbomode_assets.stores.model_registry import (
    Champion,
    champion_or_none,
    versions_trained_on,
)
from turbomode_assets.stores.outcomes import KNOWN_OUTCOMES, known_outcomes

COVERAGE_SESSIONS = 5
"""Sessions of which one that is GREEN suffices: a short outage is no change of coverage."""
_CALLER = "retraining"


def cause_at(settings: Settings, session: dt.date) -> RetrainingCause | None:
    """Say why an ensemble is due at the close of a session; None if none is."""
    rules = settings.training()
    state = training_state(settings, rules, session)
    return retraining_cause(state, rules.training_orchestrator, session=session)


def training_state(settings: Settings, rules: TrainingConfig, session: dt.date) -> TrainingState:
    """Gather what was recorded up to a session."""
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    last = _last_training(memory, session) if memory.exists() else None
    champion = champion_or_none(memory, session) if last else None
    return TrainingState(
        last_trained=last[0] if last else None,
        last_refused=_was_refused(memory, last[1]) if last else False,
        champion_as_of=champion.as_of_session if champion else None,
        drift_alarms=_drift_alarms(memory, champion, session) if champion else (),
        green_at_training=_symbols_green(settings, last[0]) if last else None,
        green_now=_symbols_green(settings, session),
        outcomes=_outcomes(settings, memory, champion, rules, session),
    )


def _last_training(memory: ModelMemory, session: dt.date) -> tuple[dt.date, str] | None:
    rows = memory.query(
        "SELECT as_of_session, model_version FROM model_metadata WHERE as_of_session <= ?"
        " ORDER BY as_of_session DESC, trained_at DESC LIMIT 1",
        [session],
    )
    return None if rows.is_empty() else (rows.item(0, 0), rows.item(0, 1))


def _was_refused(memory: ModelMemory, model_version: str) -> bool:
    """Tell whether the last decision about a model is a refusal; a promotion by hand undoes one."""
    rows = memory.query(
        "SELECT decision FROM promotions WHERE model_version = ? ORDER BY sequence DESC LIMIT 1",
        [model_version],
    )
    return rows.get_column("decision").to_list() == ["refused"]


def _drift_alarms(memory: ModelMemory, champion: Champion, session: dt.date) -> tuple[dt.date, ...]:
    """Sessions on which enough features were beyond the champion's limits to alarm.

    What was measured against an earlier champion's reference says nothing of this one.
    """
    rows = memory.query(
        "SELECT session FROM drift_verdicts"
        " WHERE session <= ? AND model_version = ? AND retrain ORDER BY session",
        [session, champion.model_version],
    )
    return tuple(rows.get_column("session"))


def _symbols_green(settings: Settings, session: dt.date) -> frozenset[str] | None:
    """Symbols with GREEN daily candles in the last few sessions; None if this one was not audited.

    As the ledger says now, of a training's sessions too: a night that was repaired since, or whose
    audit came late, is no change.
    """
    master = MasterReader(settings.master_root)
    if not master.exists("partition_status"):
        return None
    ledger = master.read(
        "partition_status",
        caller=_CALLER,
        span=SessionSpan(session, session).trailing(COVERAGE_SESSIONS - 1),
        timeframes=["1d"],
        columns=["symbol", "session", "verdict"],
    ).rows
    if ledger.filter(pl.col("session") == session).is_empty():
        return None
    green = ledger.filter(pl.col("verdict") == "GREEN")
    return frozenset(green.get_column("symbol"))


def _outcomes(
    settings: Settings,
    memory: ModelMemory,
    champion: Champion | None,
    rules: TrainingConfig,
    session: dt.date,
) -> pl.DataFrame:
    """The champion's signals whose outcome is known, beside the shares it learned from.

    None of them while `triple_barrier` is not the one recorded for the champion: it never promised
    the labels of another.
    """
    names = [f"share_{name.lower()}" for name in CLASSES]
    rule = rules.triple_barrier.model_dump(mode="json")
    same_rule = versions_trained_on(memory, "triple_barrier", rule)
    if champion is None or champion.model_version not in same_rule:
        return pl.DataFrame(schema=KNOWN_OUTCOMES | dict.fromkeys(names, pl.Float64()))
    lake = Lake(settings.lake_root, settings.tenant_name, lake_tables())
    span = SessionSpan(champion.as_of_session, session)
    metrics = memory.query(
        "SELECT metrics FROM model_metadata WHERE model_version = ?", [champion.model_version]
    ).item()
    shares = json.loads(metrics)["class_shares"]
    return (
        known_outcomes(lake, span, caller=_CALLER)
        .filter(pl.col("model_version") == champion.model_version)
        .with_columns(
            pl.lit(shares[name], dtype=pl.Float64).alias(column)
            for name, column in zip(CLASSES, names, strict=True)
        )
    )
