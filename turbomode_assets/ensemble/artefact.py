"""A trained ensemble and its folder: native files, and a manifest with the digest of each."""

import datetime as dt
import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from turbomode_assets.config.file_names import TRAINING_FILE
from turbomode_assets.config.learning import EnsembleConfig
from turbomode_assets.config.stored import StoredRules
from turbomode_assets.config.upgrades import upgraded
from turbomode_assets.contracts.errors import StoreError, first_few
from turbomode_assets.ensemble.calibration import Calibrator
from turbomode_assets.ensemble.meta_learner import BaseProbabilities, MetaLearner
from turbomode_assets.models import (
    BaseModel,
    Matrix,
    Probabilities,
    load_base_models,
    look_back_sessions,
)

MANIFEST_FILE = "manifest.json"
META_LEARNER_FILE = "meta_learner.json"
CALIBRATOR_FILE = "calibrator.json"
OUT_OF_SAMPLE_FILE = "out_of_sample.parquet"


@dataclass(frozen=True)
class StoredFeatures:
    """What is stored of the columns that a model reads, in order.

    `formulas` is their plain data. Models of before they were stored have none: their set is named
    by `feature_digest`.
    """

    model_version: str
    columns: tuple[str, ...]
    formulas: Mapping[str, Any] | None
    feature_digest: str
    benchmark: str | None


@dataclass(frozen=True)
class Ensemble:
    """Eight fitted base models, what stacks and calibrates them, and all that prediction needs.

    `families` maps each of `columns` to its family; `configuration` is the training configuration
    as JSON; `metrics` is what `train_ensemble` measured; `out_of_sample` holds the probabilities
    behind the ensemble's metrics: the rows of the training set, p_sell, p_hold, p_buy.
    `provenance` says what it was made from and with: feature set, configuration digest, versions
    of stores, code and libraries. `formulas` is the plain data of its columns' formulas.
    """

    models: Mapping[str, BaseModel]
    meta_learner: MetaLearner
    calibrator: Calibrator
    columns: tuple[str, ...]
    families: Mapping[str, str]
    as_of: dt.date
    configuration: Mapping[str, Any]
    metrics: Mapping[str, Any]
    out_of_sample: pl.DataFrame
    provenance: Mapping[str, Any]
    formulas: Mapping[str, Any] | None = None

    @property
    def stored_features(self) -> StoredFeatures:
        """The columns that it reads."""
        return _stored_features(
            {
                "columns": self.columns,
                "formulas": self.formulas,
                "provenance": self.provenance,
                "config": self.configuration,
            }
        )

    @property
    def rules(self) -> StoredRules:
        """The training configuration that the ensemble was made with, section by section."""
        return StoredRules(self.configuration, owner=f"ensemble as of {self.as_of}")

    @property
    def look_back_sessions(self) -> int:
        """Sessions of features before a prediction that some model reads."""
        return look_back_sessions(self.rules.read_key(EnsembleConfig, "models"))

    def base_probabilities(self, matrix: Matrix) -> BaseProbabilities:
        """Probabilities [rows, models, classes] of the base models, in the order of `models`."""
        return np.stack([model.predict_proba(matrix) for model in self.models.values()], axis=1)

    def predict_proba(self, matrix: Matrix) -> Probabilities:
        """Probabilities [rows, classes] in the order of CLASSES.

        Raises:
            ContractError: the matrix has other columns than `columns`, or another order.
        """
        return self.calibrator.apply(
            self.meta_learner.predict_proba(self.base_probabilities(matrix))
        )

    def save(self, directory: Path) -> None:
        """Write the ensemble as this folder, wholly or not at all.

        A folder that already holds exactly this ensemble is left, a damaged one replaced.

        Raises:
            StoreError: the folder holds another ensemble.
        """
        directory.parent.mkdir(parents=True, exist_ok=True)
        partial = directory.with_name(f".{directory.name}.partial-{uuid.uuid4().hex}")
        try:
            self._write(partial)
            _put_in_place(partial, directory)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _write(self, directory: Path) -> None:
        directory.mkdir()
        for name, model in self.models.items():
            (directory / name).mkdir()
            model.save(directory / name)
        _write_json(directory / META_LEARNER_FILE, self.meta_learner.to_json())
        _write_json(directory / CALIBRATOR_FILE, self.calibrator.to_json())
        self.out_of_sample.write_parquet(directory / OUT_OF_SAMPLE_FILE)
        manifest = {
            "as_of": self.as_of.isoformat(),
            "columns": list(self.columns),
            "families": [self.families[name] for name in self.columns],
            "models": list(self.models),
            "config": dict(self.configuration),
            "metrics": dict(self.metrics),
            "provenance": dict(self.provenance),
            "files": file_digests(directory),
        }
        if self.formulas is not None:
            manifest["formulas"] = dict(self.formulas)
        _write_json(directory / MANIFEST_FILE, manifest | {"sha256": _digest_of_json(manifest)})


def load_ensemble(directory: Path) -> Ensemble:
    """Read an ensemble that `Ensemble.save` wrote, after checking every file's digest.

    Raises:
        StoreError: a file is missing, altered or unreadable, or the stored configuration of the
            models is not one that this version knows.
    """
    manifest = _verified_manifest(directory)
    rules = StoredRules(manifest["config"], owner=f"ensemble {directory}")
    meta, calibrator = (
        json.loads((directory / name).read_text(encoding="utf-8"))
        for name in (META_LEARNER_FILE, CALIBRATOR_FILE)
    )
    columns = tuple(manifest["columns"])
    return Ensemble(
        models=load_base_models(directory, rules.read_key(EnsembleConfig, "models")),
        meta_learner=MetaLearner.from_json(meta),
        calibrator=Calibrator.from_json(calibrator),
        columns=columns,
        families=dict(zip(columns, manifest["families"], strict=True)),
        as_of=dt.date.fromisoformat(manifest["as_of"]),
        configuration=manifest["config"],
        metrics=manifest["metrics"],
        out_of_sample=pl.read_parquet(directory / OUT_OF_SAMPLE_FILE),
        provenance=manifest["provenance"],
        formulas=manifest.get("formulas"),
    )


def stored_features(directory: Path) -> StoredFeatures:
    """Read what an ensemble's manifest says of its columns, and nothing else of it.

    Raises:
        StoreError: the manifest is missing or altered.
    """
    return _stored_features(_stated_manifest(directory))


def _stored_features(manifest: Mapping[str, Any]) -> StoredFeatures:
    made = manifest["provenance"]
    owner = f"model {made['model_version']}"
    rules = upgraded(TRAINING_FILE, manifest["config"], where=owner)
    return StoredFeatures(
        model_version=made["model_version"],
        columns=tuple(manifest["columns"]),
        formulas=manifest.get("formulas"),
        feature_digest=made["feature_digest"],
        benchmark=rules["feature_engineering"].get("benchmark"),
    )


def ensemble_version(
    as_of: dt.date,
    *,
    config_digest: str,
    feature_digest: str,
    seed: int,
    data_digest: str,
    made_with: Mapping[str, str],
) -> str:
    """Name an ensemble by its as-of session and a digest of all it was made from and with.

    `made_with` is its `environment`.
    """
    parts = [as_of.isoformat(), config_digest, feature_digest, seed, data_digest, dict(made_with)]
    return f"{as_of}-{_digest_of_json(parts)[:8]}"


def _put_in_place(partial: Path, directory: Path) -> None:
    if directory.exists() and _holds_the_same(directory, partial):
        return
    try:
        partial.rename(directory)
    except OSError:
        # Another run put one there in the meantime.
        if not _holds_the_same(directory, partial):
            raise


def _holds_the_same(directory: Path, partial: Path) -> bool:
    """Tell whether a folder holds the ensemble already; a damaged one is removed."""
    try:
        stored = _verified_manifest(directory)
    except StoreError:
        shutil.rmtree(directory)
        return False
    if _made(stored) == _made(_verified_manifest(partial)):
        return True
    raise StoreError(
        "the folder already holds another ensemble",
        where=str(directory),
        fix="save under another model version; remove the old folder only if no promotion and no "
        "signal names it",
    )


def _made(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says of the ensemble itself, whatever table versions it came from."""
    return {name: value for name, value in manifest.items() if name != "provenance"}


def _stated_manifest(directory: Path) -> dict[str, Any]:
    """Read a manifest that is as it was written."""
    try:
        text = (directory / MANIFEST_FILE).read_text(encoding="utf-8")
        manifest: dict[str, Any] = json.loads(text)
        stated = manifest.pop("sha256")
        _ = manifest["files"]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise _corrupt(directory, f"{MANIFEST_FILE} ({error})") from error
    if stated != _digest_of_json(manifest):
        raise _corrupt(directory, MANIFEST_FILE)
    return manifest


def _verified_manifest(directory: Path) -> dict[str, Any]:
    manifest = _stated_manifest(directory)
    files: dict[str, str] = manifest["files"]
    found = file_digests(directory)
    wrong = sorted(
        name for name in files.keys() | found.keys() if files.get(name) != found.get(name)
    )
    if wrong:
        raise _corrupt(directory, first_few(wrong))
    return manifest


def _corrupt(directory: Path, offenders: str) -> StoreError:
    return StoreError(
        f"files of the ensemble are missing or altered: {offenders}",
        where=str(directory),
        fix="restore the folder from a backup, or train that session again",
    )


def file_digests(directory: Path) -> dict[str, str]:
    """SHA-256 of every file below the folder but the manifest, by relative path."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != MANIFEST_FILE
    }


def _digest_of_json(content: object) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
