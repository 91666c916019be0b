"""`turbomode models reproduce`: train a model again from its record, and compare the two."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console

from turbomode_assets.config.loader import digest_of
from turbomode_assets.config.stored import StoredRules
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.errors import MissingDataError, StoreError, first_few
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.ensemble import Ensemble, TrainingSet, load_ensemble, train_ensemble
from turbomode_assets.ensemble.artefact import file_digests
from turbomode_assets.ensemble.code import environment
from turbomode_assets.ensemble.training_set import with_history, with_regimes
from turbomode_assets.features import feature_names
from turbomode_assets.labels import market_regimes
from turbomode_assets.modelling.feature_sets import model_feature_set
from turbomode_assets.modelling.training_inputs import read_market, read_training_set
from turbomode_assets.settings import Settings
from turbomode_assets.stores import Artifacts, Lake, MasterReader, ModelMemory
from turbomode_assets.stores.artifacts import ENSEMBLE, INPUTS


@dataclass(frozen=True)
class TrainingRecord:
    """What the record of a training run says it was made from."""

    model_version: str
    as_of: Any
    configuration: TrainingConfig
    store_versions: Mapping[str, int]
    data_digest: str
    environment: Mapping[str, str]


def reproduce(settings: Settings, version: str, console: Console) -> None:
    """Train a model again from its record, and confirm that it is the same to the last bit.

    Raises:
        MissingDataError: there is no such record.
        StoreError: the rows learned from, or what came of them, are not the same.
    """
    record = _record(ModelMemory(settings.memory_path, settings.tenant_name), version)
    folder = Artifacts(settings.artifacts_root).model_folder(version)
    for name, was, now in _changed(record, digest_of(settings.data_quality())):
        console.print(f"{name} was {was} then and is {now} now", style="yellow")
    stored = load_ensemble(folder / ENSEMBLE)
    training_set = _training_set(settings, record, stored, folder / INPUTS)
    if training_set.digest != record.data_digest:
        raise StoreError(
            "the rows learned from differ from those of the record",
            where=f"model {version}, store versions {dict(record.store_versions)}",
            fix="use the version of turbomode_assets and data_quality_config.json of that time, or "
            "restore the model's folder `inputs` from a backup",
        )
    console.print(f"{len(training_set.labels):,} rows learned from: equal")
    again = train_ensemble(training_set, record.configuration, report=console.print)
    _compare(stored, again, training_set)
    console.print(f"{version} was reproduced: models, stack and forecasts are equal", style="bold")


def _record(memory: ModelMemory, version: str) -> TrainingRecord:
    rows = memory.query(
        "SELECT as_of_session, configuration, store_versions, data_digest, environment"
        " FROM training_runs WHERE model_version = ? ORDER BY finished_at DESC LIMIT 1",
        [version],
    )
    if rows.is_empty() or rows.item(0, "configuration") is None:
        raise MissingDataError(
            f"no training record of model {version} that it could be made from again",
            where=str(memory.path),
            fix="list what was trained: turbomode models list",
        )
    as_of, configuration, versions, digest, environment = rows.row(0)
    rules = StoredRules(json.loads(configuration), owner=f"training run of {version}")
    return TrainingRecord(
        version,
        as_of,
        rules.read(TrainingConfig),
        json.loads(versions),
        digest,
        json.loads(environment),
    )


def _changed(record: TrainingRecord, data_quality: str) -> list[tuple[str, str, str]]:
    """What of the environment is not as it was, then and now."""
    now = environment(record.configuration.feature_engineering.device)
    now["data_quality"] = data_quality
    then = record.environment
    return [
        (name, was[:12], (now.get(name) or "absent")[:12])
        for name, was in then.items()
        if now.get(name) != was
    ]


def _training_set(
    settings: Settings, record: TrainingRecord, stored: Ensemble, inputs: Path
) -> TrainingSet:
    lake = Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))
    rules = record.configuration
    market = read_market(
        lake,
        MasterReader(settings.master_root),
        record.as_of,
        rules,
        settings.data_quality().curation,
        versions=record.store_versions,
    )
    training_set = read_training_set(
        lake,
        record.as_of,
        rules,
        record.store_versions,
        columns=model_feature_set(stored.stored_features),
        families=stored.families,
        sectors=market.sectors,
        tradeable=market.tradeable,
    )
    regimes = market_regimes(market.adjusted, rules.regime_labeling)
    return with_history(
        with_regimes(training_set, regimes),
        pl.read_parquet(inputs / "rare_events.parquet"),
        pl.read_parquet(inputs / "error_replay.parquet"),
        rules.error_replay_buffer,
    )


def _compare(stored: Ensemble, again: Ensemble, training_set: TrainingSet) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary) / name for name in ("stored", "again")]
        for each, folder in zip((stored, again), folders, strict=True):
            each.save(folder)
        before, after = (file_digests(folder) for folder in folders)
    differing = sorted(name for name in before if before[name] != after.get(name))
    newest = training_set.matrix.select(training_set.decision == training_set.decision.max())
    same = np.array_equal(stored.predict_proba(newest), again.predict_proba(newest))
    if differing or not same:
        raise StoreError(
            f"the model trained again differs in {first_few(differing) or 'its forecasts'}",
            where=f"model as of {stored.as_of}",
            fix="train with the libraries and the code of the record; it names both",
        )
