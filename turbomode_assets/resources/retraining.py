"""What is recorded of training and of the champion since, as the retraining policy reads it."""

import datetime as dt
import json

import polars as pl

from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.ensemble.retraining import RetrainingCause, TrainingState, retraining_cause
from turbomode_assets.features import feature_names
from turbomode_assets.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Artifacts, Lake, MasterReader, ModelMemory
from turbomode_assets.stores.artifacts import ENSEMBLE
from turbomode_assets.stores.model_registry import Champion, champion_or_none


def cause_at(settings: SettingsResource, session: dt.date) -> RetrainingCause | None:
    """Say why an ensemble is due at the close of a session; None if none is."""
    rules = settings.training()
    state = training_state(settings, rules, session)
    return retraining_cause(state, rules.training_orchestrator, session=session)


def training_state(
    settings: SettingsResource, rules: TrainingConfig, session: dt.date
) -> TrainingState:
    """Gather what was recorded up to a session."""
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    last = _last_training(memory, session) if memory.exists() else None
    champion = champion_or_none(memory, session) if last else None
    return TrainingState(
        last_trained=last[0] if last else None,
        champion_as_of=champion.as_of_session if champion else None,
        drift_alarms=_drift_alarms(memory, rules, session) if last else (),
        symbols_trained=_symbols_trained(settings, last[1]) if last else frozenset(),
        symbols_green=_symbols_green(settings, session),
        outcomes=_outcomes(settings, memory, champion, session),
    )


def _last_training(memory: ModelMemory, session: dt.date) -> tuple[dt.date, str] | None:
    rows = memory.query(
        "SELECT as_of_session, model_version FROM model_metadata WHERE as_of_session <= ?"
        " ORDER BY as_of_session DESC, trained_at DESC LIMIT 1",
        [session],
    )
    return None if rows.is_empty() else (rows.item(0, 0), rows.item(0, 1))


def _drift_alarms(
    memory: ModelMemory, rules: TrainingConfig, session: dt.date
) -> tuple[dt.date, ...]:
    """Sessions on which enough features were beyond their limits to alarm."""
    rows = memory.query(
        "SELECT session FROM drift_monitoring WHERE session <= ? GROUP BY session"
        " HAVING avg(CASE WHEN verdict = 'alert' THEN 1.0 ELSE 0.0 END) >= ? ORDER BY session",
        [session, rules.drift_detection.alarm_share],
    )
    return tuple(rows.get_column("session"))


def _symbols_trained(settings: SettingsResource, model_version: str) -> frozenset[str]:
    folder = Artifacts(settings.artifacts_root).model_folder(model_version) / ENSEMBLE
    judged = pl.read_parquet(folder / "out_of_sample.parquet", columns=["symbol"])
    return frozenset(judged.get_column("symbol").unique())


def _symbols_green(settings: SettingsResource, session: dt.date) -> frozenset[str]:
    ledger = MasterReader(settings.master_root).read(
        "partition_status", caller="retraining", span=SessionSpan(session, session)
    )
    green = ledger.rows.filter((pl.col("timeframe") == "1d") & (pl.col("verdict") == "GREEN"))
    return frozenset(green.get_column("symbol"))


def _outcomes(
    settings: SettingsResource, memory: ModelMemory, champion: Champion | None, session: dt.date
) -> pl.DataFrame:
    """The champion's signals whose outcome is known, beside the shares it learned from."""
    lake = Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))
    said = ["p_sell", "p_hold", "p_buy"]
    if champion is None or not lake.exists("predictions"):
        names = {"decision_session": pl.Date, "session": pl.Date, "label": pl.Int8}
        columns = [*said, *(f"share_{name.lower()}" for name in CLASSES)]
        return pl.DataFrame(schema=names | dict.fromkeys(columns, pl.Float64))
    span = SessionSpan(champion.as_of_session, session)
    signals = lake.read("predictions", caller="retraining", span=span).rows
    labels = lake.read("labels", caller="retraining", span=span).rows
    metrics = memory.query(
        "SELECT metrics FROM model_metadata WHERE model_version = ?", [champion.model_version]
    ).item()
    shares = {
        f"share_{name.lower()}": pl.lit(share)
        for name, share in json.loads(metrics)["class_shares"].items()
    }
    return (
        signals.filter(pl.col("model_version") == champion.model_version)
        .rename({"session": "decision_session"})
        .join(
            labels.select("symbol", "decision_session", "session", "label"),
            on=["symbol", "decision_session"],
            how="inner",
            validate="1:1",
        )
        .select("decision_session", "session", "label", *said)
        .with_columns(**shares)
    )
