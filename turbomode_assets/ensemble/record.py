"""What an ensemble's folder says of it, read without loading what predicts."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turbomode_assets.config.file_names import TRAINING_FILE
from turbomode_assets.config.stored import StoredRules
from turbomode_assets.config.upgrades import upgraded
from turbomode_assets.contracts.errors import StoreError

MANIFEST_FILE = "manifest.json"


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


@dataclass(frozen=True, kw_only=True)
class EnsembleRecord:
    """What was written down of an ensemble.

    `families` maps each of `columns` to its family; `configuration` is the training configuration
    as JSON; `metrics` is what `train_ensemble` measured. `provenance` says what it was made from
    and with: feature set, configuration digest, versions of stores, code and libraries. `formulas`
    is the plain data of its columns' formulas.
    """

    columns: tuple[str, ...]
    families: Mapping[str, str]
    as_of: dt.date
    configuration: Mapping[str, Any]
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    formulas: Mapping[str, Any] | None = None

    @property
    def stored_features(self) -> StoredFeatures:
        """The columns that it reads."""
        made = self.provenance
        owner = f"model {made['model_version']}"
        rules = upgraded(TRAINING_FILE, self.configuration, where=owner)
        return StoredFeatures(
            model_version=made["model_version"],
            columns=self.columns,
            formulas=self.formulas,
            feature_digest=made["feature_digest"],
            benchmark=rules["feature_engineering"].get("benchmark"),
        )

    @property
    def rules(self) -> StoredRules:
        """The training configuration that the ensemble was made with, section by section."""
        return StoredRules(self.configuration, owner=f"ensemble as of {self.as_of}")


def read_record(directory: Path) -> EnsembleRecord:
    """Read what an ensemble's manifest says; of its other files nothing is looked at.

    Raises:
        StoreError: the manifest is missing or altered.
    """
    return EnsembleRecord(**recorded(stated_manifest(directory)))


def recorded(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a manifest into the fields of a record."""
    columns = tuple(manifest["columns"])
    return {
        "columns": columns,
        "families": dict(zip(columns, manifest["families"], strict=True)),
        "as_of": dt.date.fromisoformat(manifest["as_of"]),
        "configuration": manifest["config"],
        "metrics": manifest["metrics"],
        "provenance": manifest["provenance"],
        "formulas": manifest.get("formulas"),
    }


def stated_manifest(directory: Path) -> dict[str, Any]:
    """Read a manifest that is as it was written."""
    try:
        text = (directory / MANIFEST_FILE).read_text(encoding="utf-8")
        manifest: dict[str, Any] = json.loads(text)
        stated = manifest.pop("sha256")
        _ = manifest["files"]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise corrupt_folder(directory, f"{MANIFEST_FILE} ({error})") from error
    if stated != digest_of_json(manifest):
        raise corrupt_folder(directory, MANIFEST_FILE)
    return manifest


def corrupt_folder(directory: Path, offenders: str) -> StoreError:
    """Say which files of an ensemble are not as they were written."""
    return StoreError(
        f"files of the ensemble are missing or altered: {offenders}",
        where=str(directory),
        fix="restore the folder from a backup, or train that session again",
    )


def digest_of_json(content: object) -> str:
    """SHA-256 of JSON, whatever the order of its keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
