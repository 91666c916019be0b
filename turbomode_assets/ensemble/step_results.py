"""What the steps of a training run hand on: typed results, and the folder they lie in meanwhile.

Arrays and frames lie in native formats and are mapped into memory, so that steps in processes of
their own share the feature matrix instead of copying it. A result is a dataclass; how a field is
kept follows from its type.
"""

import dataclasses
import datetime as dt
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import TypeAdapter

from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.ensemble.fitting import FittedModel
from turbomode_assets.ensemble.folds import Rows
from turbomode_assets.ensemble.training_set import TrainingSet
from turbomode_assets.models import BaseModel, Matrix, Panel, Probabilities, load_base_models

Result = TypeVar("Result")
WHOLE = "whole"
MODELS = "models"


@dataclass(frozen=True)
class RunRules:
    """Why a training run was started, and the configuration that the whole run keeps to."""

    cause: str
    started_at: dt.datetime
    config: TrainingConfig


@dataclass(frozen=True)
class MarketInputs:
    """Forward-adjusted bars and sectors, and what they and all other inputs were read from."""

    adjusted: pl.DataFrame
    sectors: pl.DataFrame
    versions: dict[str, int]
    vendors: tuple[str, ...]
    tradeable: tuple[str, ...]
    gate_override: str | None
    data_quality: str
    """Digest of the data-quality configuration."""


@dataclass(frozen=True)
class LearningMemory:
    """The archive of rare events and the buffer of confident errors, as this run learned them."""

    rare_events: pl.DataFrame
    error_replay: pl.DataFrame


@dataclass(frozen=True)
class SampledRows:
    """Rows that each fit may learn from, and the ordinary ones among them that were drawn."""

    candidates: dict[str, Rows]
    ordinary: dict[str, Rows]


@dataclass(frozen=True)
class FitCourse:
    """What is kept of a fitted base model beside its files; see `FittedModel`."""

    out_of_fold: Probabilities
    curves: dict[str, tuple[float, ...]]
    iterations: dict[str, int | None]
    seconds: dict[str, float]


@dataclass(frozen=True)
class CombinatorialPaths:
    """Forecasts of one model on every path of combinatorial cross-validation."""

    paths: NDArray[np.float32]


@dataclass(frozen=True)
class Trials:
    """Sharpe ratios of earlier trials, by the digest of what shaped each."""

    sharpes: dict[str, float]


@dataclass(frozen=True)
class PromotionOutcome:
    """What the promotion gate said, rule by rule, and against whom."""

    passed: bool
    reason: str
    against: str | None
    rules: list[dict[str, Any]]


class StepResults:
    """Keeps the results of one training run in a folder, each under the name of its type."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def reports(self) -> Path:
        """Folder of the pictures that are kept with the model."""
        return self.folder / "reports"

    @property
    def config(self) -> TrainingConfig:
        """The training configuration of this run, as its first step read it."""
        return self.get(RunRules).config

    def clear(self) -> None:
        """Begin with an empty folder: what an earlier attempt left is of no use."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def put(self, result: Any, part: str = WHOLE) -> None:
        """Write a result; one of several of a type under the name of its part."""
        folder = self.folder / type(result).__name__ / part
        folder.mkdir(parents=True, exist_ok=True)
        for field in dataclasses.fields(result):
            _write(folder / field.name, getattr(result, field.name))

    def put_rows(self, training_set: TrainingSet) -> None:
        """Write the rows of a training set again, after their conditions were filled in.

        Its matrix stays: a file must not change while it is mapped.
        """
        _write(self.folder / TrainingSet.__name__ / WHOLE / "rows", training_set.rows)

    def get(self, kind: type[Result], part: str = WHOLE) -> Result:
        """Read a result that was put; arrays are mapped, read-only."""
        folder, hints = self.folder / kind.__name__ / part, get_type_hints(kind)
        assert dataclasses.is_dataclass(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        return kind(**{name: _read(folder / name, hints[name]) for name in names})

    def parts(self, kind: type[Result]) -> dict[str, Result]:
        """Read all parts of a type that were put, by name."""
        folders = sorted((self.folder / kind.__name__).iterdir())
        return {folder.name: self.get(kind, folder.name) for folder in folders}

    def put_fitted(self, fitted: FittedModel) -> None:
        """Write a base model, its forecasts and the course of its fits."""
        folder = self.folder / MODELS / fitted.name
        folder.mkdir(parents=True, exist_ok=True)
        fitted.model.save(folder)
        course = FitCourse(
            fitted.out_of_fold, dict(fitted.curves), dict(fitted.iterations), dict(fitted.seconds)
        )
        self.put(course, fitted.name)

    def models(self) -> dict[str, BaseModel]:
        """Read all base models."""
        return load_base_models(self.folder / MODELS, self.config.ensemble_config.models)

    def fitted(self) -> dict[str, FittedModel]:
        """Read all base models with their forecasts."""
        courses = {name: self.get(FitCourse, name) for name in self.models()}
        return {
            name: FittedModel(name, model, **vars(courses[name]))
            for name, model in self.models().items()
        }


def _write(path: Path, value: Any) -> None:
    if isinstance(value, pl.DataFrame):
        value.write_parquet(path.with_suffix(".parquet"))
    elif isinstance(value, np.ndarray):
        np.save(path.with_suffix(".npy"), value, allow_pickle=False)
    elif isinstance(value, Matrix):
        arrays: dict[str, NDArray[Any]] = {
            "values": value.panel.values,
            "keys": value.panel.keys,
            "rows": value.rows,
        }
        for name, array in arrays.items():
            np.save(path.with_suffix(f".{name}.npy"), array, allow_pickle=False)
        _write(path.with_suffix(".columns"), [value.panel.columns, value.panel.families])
    elif isinstance(value, Mapping) and any(isinstance(v, np.ndarray) for v in value.values()):
        np.savez(path.with_suffix(".npz"), **value)
    else:
        plain = value.to_json() if hasattr(value, "to_json") else value
        content = TypeAdapter(type(plain)).dump_json(plain)
        path.with_name(f"{path.name}.json").write_bytes(content)


def _read(path: Path, hint: Any) -> Any:
    if hint is pl.DataFrame:
        return pl.read_parquet(path.with_suffix(".parquet"))
    if get_origin(hint) is np.ndarray:
        return _mapped(path.with_suffix(".npy"))
    if hint is Matrix:
        columns, families = _read(path.with_suffix(".columns"), list[tuple[str, ...]])
        values, keys, rows = (
            _mapped(path.with_suffix(f".{name}.npy")) for name in ("values", "keys", "rows")
        )
        return Matrix(Panel(values, keys, columns, families), rows)
    if any(get_origin(each) is np.ndarray for each in get_args(hint)):
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    text = path.with_name(f"{path.name}.json").read_bytes()
    if hasattr(hint, "from_json"):
        return hint.from_json(json.loads(text))
    return TypeAdapter(hint).validate_json(text)


def _mapped(path: Path) -> NDArray[Any]:
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
