"""What the four LightGBM variants share: everything but their sampling and boosting."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import lightgbm as lgb
import numpy as np

from turbomode_assets.config.models import TreesConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.models.adapter import (
    Labels,
    NotFittedError,
    Probabilities,
    require_columns,
    require_labels,
)
from turbomode_assets.models.matrix import Matrix

AnyTrees = TypeVar("AnyTrees", bound=TreesConfig)

MODEL_FILE = "model.txt"
_THREADS = 1
"""Fixed, because GOSS samples rows per thread and its trees change with their number; and one,
because threads that wait for each other lose a factor of ten where other work shares the cores."""


class LightGbmModel(ABC, Generic[AnyTrees]):
    """Three-class trees over the feature matrix; they take NaN as it is."""

    name: ClassVar[str]

    def __init__(self, config: AnyTrees) -> None:
        self.config = config
        self._booster: lgb.Booster | None = None

    @abstractmethod
    def variant(self) -> dict[str, Any]:
        """LightGBM parameters that only this variant sets."""

    def fit(self, matrix: Matrix, labels: Labels, *, seed: int) -> Self:
        """Learn from every row of the matrix."""
        require_labels(matrix, labels, model=self.name)
        rows = lgb.Dataset(matrix.values, labels, feature_name=list(matrix.columns))
        booster = lgb.train(self._parameters(seed), rows, num_boost_round=self.config.rounds)
        # The text is the model: what predicts now is what a later load will read.
        self._booster = lgb.Booster(model_str=booster.model_to_string())
        return self

    def predict_proba(self, matrix: Matrix) -> Probabilities:
        """Probabilities [rows, classes] of the matrix rows."""
        booster = self._fitted()
        require_columns(matrix, booster.feature_name(), model=self.name)
        if not len(matrix):
            return np.empty((0, len(CLASSES)))
        return np.asarray(booster.predict(matrix.values, num_threads=_THREADS), dtype=np.float64)

    def save(self, directory: Path) -> None:
        """Write LightGBM's own text format, which holds the column names too."""
        (directory / MODEL_FILE).write_text(self._fitted().model_to_string(), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path, config: AnyTrees) -> Self:
        """Read a model that `save` wrote."""
        model = cls(config)
        text = (directory / MODEL_FILE).read_text(encoding="utf-8")
        model._booster = lgb.Booster(model_str=text)
        return model

    def _fitted(self) -> lgb.Booster:
        if self._booster is None:
            raise NotFittedError(self.name)
        return self._booster

    def _parameters(self, seed: int) -> dict[str, Any]:
        return {
            "objective": "multiclass",
            "num_class": len(CLASSES),
            "num_leaves": self.config.leaves,
            "min_data_in_leaf": self.config.minimum_leaf_rows,
            "feature_fraction": self.config.feature_fraction,
            "lambda_l2": self.config.l2,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": _THREADS,
            "verbosity": -1,
            **self.variant(),
        }
