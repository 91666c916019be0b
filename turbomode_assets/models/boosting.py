"""What the four LightGBM variants share: everything but their sampling and boosting."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from turbomode_assets.config.models import TreesConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.models.adapter import (
    HeldOut,
    Labels,
    NotFittedError,
    Probabilities,
    Weights,
    require_columns,
)
from turbomode_assets.models.examples import (
    Examples,
    chosen_iterations,
    examples,
    held_out_examples,
)
from turbomode_assets.models.learning_curve import LearningCurve
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
        self._learning_curve: tuple[float, ...] = ()

    @abstractmethod
    def variant(self) -> dict[str, Any]:
        """LightGBM parameters that only this variant sets."""

    @property
    def patience_rounds(self) -> int | None:
        """Rounds without a better loss after which boosting ends; None where it does not."""
        return None

    @property
    def iterations(self) -> int | None:
        """Rounds of trees that the model keeps."""
        return self._fitted().num_trees() // len(CLASSES)

    @property
    def learning_curve(self) -> tuple[float, ...]:
        """Weighted log loss of the rows held out after each round."""
        return self._learning_curve

    def fit(
        self,
        matrix: Matrix,
        labels: Labels,
        *,
        seed: int,
        weights: Weights | None = None,
        held_out: HeldOut | None = None,
        iterations: int | None = None,
    ) -> Self:
        """Learn from the rows of the matrix; see `BaseModel.fit`."""
        rounds = chosen_iterations(iterations, self.config.rounds, model=self.name)
        learned = examples(matrix, labels, weights, model=self.name)
        rows = _dataset(learned, None)
        curve = _RoundLosses(self.patience_rounds)
        judged = []
        if held_out is not None:
            judged = [_dataset(held_out_examples(held_out, learned, model=self.name), rows)]
        booster = lgb.train(
            self._parameters(seed),
            rows,
            num_boost_round=rounds,
            valid_sets=judged,
            callbacks=[curve] if judged else [],
        )
        # The text is the model: what predicts now is what a later load will read.
        kept = booster.model_to_string(num_iteration=curve.rounds_to_keep)
        self._booster = lgb.Booster(model_str=kept)
        self._learning_curve = tuple(curve.losses)
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
            "max_bin": self.config.bins,
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

    def contributions(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return what each feature adds to each class's raw score, [rows, classes, features + 1].

        The last column is the expected score; a row sums to its raw score.
        Source: path-dependent TreeSHAP, Lundberg et al. (2020), Nature Machine Intelligence 2.
        """
        booster = self._fitted()
        require_columns(matrix, booster.feature_name(), model=self.name)
        shape = len(matrix), len(CLASSES), len(matrix.columns) + 1
        if not len(matrix):
            return np.empty(shape)
        summed = booster.predict(matrix.values, pred_contrib=True, num_threads=_THREADS)
        # LightGBM averages a forest's trees for its probabilities, but not here.
        averaged = self.variant()["boosting"] == "rf"
        rounds = booster.num_trees() // len(CLASSES) if averaged else 1
        return np.asarray(summed, dtype=np.float64).reshape(shape) / rounds


class _RoundLosses(LearningCurve):
    """LightGBM callback that records the loss of every round and ends boosting."""

    def __init__(self, patience: int | None) -> None:
        super().__init__(patience)
        self._rounds_held: list[int] = []

    def __call__(self, environment: lgb.callback.CallbackEnv) -> None:
        """Take the loss of the round that has just been added."""
        results: list[Any] = environment.evaluation_result_list or []
        self.record(float(results[0][2]))
        # A round that cannot split any leaf adds no trees, so rounds held may be fewer than run.
        booster = cast(lgb.Booster, environment.model)
        self._rounds_held.append(booster.num_trees() // len(CLASSES))
        if self.is_exhausted:
            raise lgb.callback.EarlyStopException(self.best, results)

    @property
    def rounds_to_keep(self) -> int | None:
        """Rounds up to the best one; None keeps all."""
        if self.patience is None or not self.losses:
            return None
        return self._rounds_held[self.best]


def _dataset(rows: Examples, like: lgb.Dataset | None) -> lgb.Dataset:
    """Rows as LightGBM reads them, cut into the bins of `like` where one is given."""
    return lgb.Dataset(
        rows.matrix.values,
        rows.labels,
        weight=rows.weights,
        reference=like,
        feature_name=list(rows.matrix.columns),
    )
