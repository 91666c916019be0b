"""The folder through which the steps of one training run hand each other their results.

Arrays and frames lie in native formats and are mapped into memory, so that steps in processes of
their own share the feature matrix instead of copying it.
"""

import datetime as dt
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.ensemble.calibration import Calibrator
from turbomode_assets.ensemble.evaluation import Evaluation
from turbomode_assets.ensemble.fitting import FittedModel
from turbomode_assets.ensemble.folds import Learned
from turbomode_assets.ensemble.meta_learner import MetaLearner
from turbomode_assets.ensemble.stacking import Stacked
from turbomode_assets.ensemble.training_set import TrainingSet
from turbomode_assets.models import BaseModel, Matrix, Panel, load_base_models

EVALUATION = ("regimes", "sectors", "symbols", "ablation", "reliability", "daily")
"""Tables of an evaluation."""


class Workbench:
    """Reads and writes what lies between the steps of a training run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def reports(self) -> Path:
        """Folder of the pictures that are kept with the model."""
        return self.folder / "reports"

    def clear(self) -> None:
        """Begin with an empty folder: what an earlier attempt left is of no use."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "models").mkdir(parents=True)

    def save_json(self, name: str, content: object) -> None:
        """Write plain values."""
        self._path(name, "json").write_text(json.dumps(content), encoding="utf-8")

    def json(self, name: str) -> Any:
        """Read plain values."""
        return json.loads(self._path(name, "json").read_text(encoding="utf-8"))

    def config(self) -> TrainingConfig:
        """The training configuration of this run, as its first step read it."""
        return TrainingConfig.model_validate(self.json("configuration"))

    def save_frame(self, name: str, frame: pl.DataFrame) -> None:
        """Write a frame."""
        frame.write_parquet(self._path(name, "parquet"))

    def frame(self, name: str) -> pl.DataFrame:
        """Read a frame."""
        return pl.read_parquet(self._path(name, "parquet"))

    def has(self, name: str) -> bool:
        """Tell whether an array was written."""
        return self._path(name, "npy").is_file()

    def save_array(self, name: str, values: NDArray[Any]) -> None:
        """Write an array."""
        np.save(self._path(name, "npy"), values, allow_pickle=False)

    def array(self, name: str) -> NDArray[Any]:
        """Map an array into memory, read-only."""
        return np.asarray(np.load(self._path(name, "npy"), mmap_mode="r", allow_pickle=False))

    def save_training_set(self, training_set: TrainingSet) -> None:
        """Write matrix, rows and what describes them."""
        panel = training_set.matrix.panel
        self.save_array("panel_values", panel.values)
        self.save_array("panel_keys", panel.keys)
        self.save_array("matrix_rows", training_set.matrix.rows)
        self.save_json(
            "training_set",
            {
                "columns": panel.columns,
                "families": panel.families,
                "as_of": training_set.as_of.isoformat(),
                "warm_up_rows": training_set.warm_up_rows,
                "unexpired_rows": training_set.unexpired_rows,
            },
        )
        self.save_frame("rows", training_set.rows)

    def save_rows(self, training_set: TrainingSet) -> None:
        """Write the rows again, after their conditions were filled in."""
        self.save_frame("rows", training_set.rows)

    def training_set(self) -> TrainingSet:
        """Read the training set; the matrix is mapped, not read."""
        about = self.json("training_set")
        columns, families = tuple(about["columns"]), tuple(about["families"])
        panel = Panel(self.array("panel_values"), self.array("panel_keys"), columns, families)
        return TrainingSet(
            matrix=Matrix(panel, self.array("matrix_rows")),
            rows=self.frame("rows"),
            families=dict(zip(columns, families, strict=True)),
            as_of=dt.date.fromisoformat(about["as_of"]),
            warm_up_rows=about["warm_up_rows"],
            unexpired_rows=about["unexpired_rows"],
        )

    def save_fits(self, name: str, fits: Mapping[str, NDArray[Any]]) -> None:
        """Write one array of rows for each fit."""
        np.savez(self._path(name, "npz"), **fits)  # type: ignore[arg-type]  # a bool named allow_pickle is no fit

    def fits(self, name: str) -> dict[str, Any]:
        """Read one array for each fit."""
        with np.load(self._path(name, "npz"), allow_pickle=False) as stored:
            return {fit: stored[fit] for fit in stored.files}

    def save_learned(self, learned: Mapping[str, Learned]) -> None:
        """Write the rows and weights of every fit."""
        self.save_fits("learned_rows", {fit: each.rows for fit, each in learned.items()})
        self.save_fits("learned_weights", {fit: each.weights for fit, each in learned.items()})

    def learned(self) -> dict[str, Learned]:
        """Read the rows and weights of every fit."""
        weights = self.fits("learned_weights")
        return {fit: Learned(rows, weights[fit]) for fit, rows in self.fits("learned_rows").items()}

    def save_fitted(self, fitted: FittedModel) -> None:
        """Write a base model, its forecasts and the course of its fits."""
        directory = self.folder / "models" / fitted.name
        directory.mkdir(exist_ok=True)
        fitted.model.save(directory)
        self.save_array(f"out_of_fold_{fitted.name}", fitted.out_of_fold)
        course = {
            "curves": dict(fitted.curves),
            "iterations": dict(fitted.iterations),
            "seconds": dict(fitted.seconds),
        }
        self.save_json(f"course_{fitted.name}", course)

    def models(self) -> dict[str, BaseModel]:
        """Read all base models."""
        return load_base_models(self.folder / "models", self.config().ensemble_config.models)

    def fitted(self) -> dict[str, FittedModel]:
        """Read all base models with their forecasts."""
        found = {}
        for name, model in self.models().items():
            course = self.json(f"course_{name}")
            curves = {fold: tuple(curve) for fold, curve in course["curves"].items()}
            found[name] = FittedModel(
                name,
                model,
                self.array(f"out_of_fold_{name}"),
                curves,
                course["iterations"],
                course["seconds"],
            )
        return found

    def save_stacked(self, stacked: Stacked) -> None:
        """Write meta-learner, calibrator and their forecasts."""
        self.save_json("meta_learner", stacked.meta_learner.to_json())
        self.save_json("calibrator", stacked.calibrator.to_json())
        self.save_array("stacked", stacked.forecast)

    def stacked(self) -> Stacked:
        """Read meta-learner, calibrator and their forecasts."""
        return Stacked(
            MetaLearner.from_json(self.json("meta_learner")),
            Calibrator.from_json(self.json("calibrator")),
            self.array("stacked"),
        )

    def save_evaluation(self, judged: Evaluation) -> None:
        """Write figures and tables of an evaluation, each table under EVALUATION's name."""
        self.save_json("figures", judged.figures)
        for name in EVALUATION:
            self.save_frame(f"judged_{name}", getattr(judged, name))

    def evaluation(self) -> Evaluation:
        """Read figures and tables of an evaluation."""
        tables = {name: self.frame(f"judged_{name}") for name in EVALUATION}
        return Evaluation(figures=self.json("figures"), **tables)

    def _path(self, name: str, kind: str) -> Path:
        return self.folder / f"{name}.{kind}"
