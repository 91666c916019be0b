"""What every base model is: arrays in, probabilities out, files in a native format."""

from collections.abc import Sequence
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

    The same matrix, labels, configuration and seed give the same bytes on disk. A row's
    probabilities do not depend on the rows predicted beside it.
    """

    name: ClassVar[str]

    def fit(self, matrix: Matrix, labels: Labels, *, seed: int) -> Self:
        """Learn from every row of the matrix.

        Raises:
            InputError: no rows, or labels that do not fit them.
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
