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

from turbomode_assets.config.learning import EnsembleConfig
from turbomode_assets.config.stored import StoredRules
from turbomode_assets.contracts.errors import StoreError, first_few
from turbomode_assets.ensemble.calibration import Calibrator
from turbomode_assets.ensemble.meta_learner import BaseProbabilities, MetaLearner
from turbomode_assets.ensemble.record import (
    MANIFEST_FILE,
    EnsembleRecord,
    corrupt_folder,
    digest_of_json,
    recorded,
    stated_manifest,
)
from turbomode_assets.models import (
    BaseModel,
    Matrix,
    Probabilities,
    load_base_models,
    look_back_sessions,
)

META_LEARNER_FILE = "meta_learner.json"
CALIBRATOR_FILE = "calibrator.json"
OUT_OF_SAMPLE_FILE = "out_of_sample.parquet"


@dataclass(frozen=True, kw_only=True)
class Ensemble(EnsembleRecord):
    """Eight fitted base models, what stacks and calibrates them, and all that prediction needs.

    `out_of_sample` holds the probabilities behind the ensemble's metrics: the rows of the training
    set, p_sell, p_hold, p_buy.
    """

    models: Mapping[str, BaseModel]
    meta_learner: MetaLearner
    calibrator: Calibrator
    out_of_sample: pl.DataFrame

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
        return self.stacked(self.base_probabilities(matrix))

    def stacked(self, base: BaseProbabilities) -> Probabilities:
        """Probabilities [rows, classes] that the stack gives to those of the base models."""
        return self.calibrator.apply(self.meta_learner.predict_proba(base))

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
        _write_json(directory / MANIFEST_FILE, manifest | {"sha256": digest_of_json(manifest)})


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
    return Ensemble(
        models=load_base_models(directory, rules.read_key(EnsembleConfig, "models")),
        meta_learner=MetaLearner.from_json(meta),
        calibrator=Calibrator.from_json(calibrator),
        out_of_sample=pl.read_parquet(directory / OUT_OF_SAMPLE_FILE),
        **recorded(manifest),
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
    return f"{as_of}-{digest_of_json(parts)[:8]}"


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


def _verified_manifest(directory: Path) -> dict[str, Any]:
    manifest = stated_manifest(directory)
    files: dict[str, str] = manifest["files"]
    found = file_digests(directory)
    wrong = sorted(
        name for name in files.keys() | found.keys() if files.get(name) != found.get(name)
    )
    if wrong:
        raise corrupt_folder(directory, first_few(wrong))
    return manifest


def file_digests(directory: Path) -> dict[str, str]:
    """SHA-256 of every file below the folder but the manifest, by relative path."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != MANIFEST_FILE
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
