"""What every base model is: arrays in, probabilities out, files in a native format."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import ContractError, InputError, first_few
from turbomode_assets.models.matrix import Matrix

Labels = NDArray[np.int8]
"""Class numbers [rows], in the order of CLASSES."""

Probabilities = NDArray[np.float64]
"""Probabilities [rows, classes], in the order of CLASSES; each row sums to 1."""

Weights = NDArray[np.float64]
"""How much each row counts, [rows]; only their ratios matter."""


@dataclass(frozen=True)
class HeldOut:
    """Rows that decide when to stop; never learned from."""

    matrix: Matrix
    labels: Labels
    weights: Weights


class NotFittedError(InputError):
    """A model was asked to predict or to save before it was fitted or loaded."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "the model has not been fitted",
            where=f"model {name}",
            fix="call fit, or load it from a folder it was saved to",
        )


class BaseModel(Protocol):
    """A three-class classifier over the feature matrix.

    The same rows, labels, weights, configuration and seed give the same bytes on disk. A row's
    probabilities do not depend on the rows predicted beside it.
    """

    name: ClassVar[str]

    @property
    def iterations(self) -> int | None:
        """Rounds or epochs that the fitted or loaded model keeps; None where it has no such count.

        Raises:
            NotFittedError: before fit or load.
        """
        ...

    @property
    def learning_curve(self) -> tuple[float, ...]:
        """Weighted log loss of the rows held out after each round or epoch; not saved.

        Empty without rows held out, after load, and for a model without rounds or epochs.
        """
        ...

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
        """Learn from the rows of the matrix.

        A row counts by its weight over the mean weight, and one of weight 0 is as good as absent;
        without weights all count alike. A model that boosts or descends in steps stops when the
        loss of `held_out` no longer falls, and keeps its best step. `iterations` replaces the
        configured rounds or epochs: a later fit on more rows takes as many as were found best.

        Raises:
            InputError: no rows; labels or weights that do not fit them; rows learned from among
                those held out; iterations below 1.
            ContractError: the rows held out have other columns.
        """
        ...

    def predict_proba(self, matrix: Matrix) -> Probabilities:
        """Probabilities [rows, classes] of the matrix rows.

        Raises:
            NotFittedError: before fit or load.
            ContractError: the columns are not those learned from, in their order.
        """
        ...

    def save(self, directory: Path) -> None:
        """Write the model's files into an existing folder.

        Raises:
            NotFittedError: before fit or load.
        """
        ...


def require_columns(matrix: Matrix, columns: Sequence[str], *, model: str) -> None:
    """Refuse a matrix whose columns are not those learned from, in the same order."""
    if list(matrix.columns) == list(columns):
        return
    missing = [name for name in columns if name not in matrix.columns]
    unknown = [name for name in matrix.columns if name not in columns]
    if missing or unknown:
        what = f"missing: {first_few(missing) or 'none'}; unknown: {first_few(unknown) or 'none'}"
    else:
        moved = [a for a, b in zip(matrix.columns, columns, strict=True) if a != b]
        what = f"columns stand in another order: {first_few(moved)}"
    raise ContractError(
        f"not the {len(columns)} feature columns that the model learned from; {what}",
        where=f"model {model}",
        fix="build the matrix with the columns stored with the model, in their order",
    )


def require_labels(matrix: Matrix, labels: Labels, *, model: str) -> None:
    """Refuse labels that do not belong to the matrix rows, or are no class numbers."""
    fits = len(labels) == len(matrix) > 0
    if not fits or labels.min() < 0 or labels.max() >= len(CLASSES):
        raise InputError(
            f"{len(labels)} labels for {len(matrix)} rows, or labels outside 0..{len(CLASSES) - 1}",
            where=f"model {model}",
            fix="give one class number for each row, and at least one row",
        )
