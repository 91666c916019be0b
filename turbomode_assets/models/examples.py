"""Rows as a model learns from them: labels and weights checked, weights brought to mean 1."""

from dataclasses import dataclass

import numpy as np

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.models.adapter import (
    HeldOut,
    Labels,
    Weights,
    require_columns,
    require_labels,
)
from turbomode_assets.models.matrix import Matrix


@dataclass(frozen=True)
class Examples:
    """Rows, their labels, and weights of mean 1; weights that are all alike are None."""

    matrix: Matrix
    labels: Labels
    weights: Weights | None

    def __len__(self) -> int:
        return len(self.labels)


def examples(matrix: Matrix, labels: Labels, weights: Weights | None, *, model: str) -> Examples:
    """Check labels and weights, leave out the rows of weight 0, and bring the mean to 1.

    Left out, such a row can move neither a median nor a histogram's edge.

    Raises:
        InputError: no rows, labels or weights that do not fit them, or weights that are negative,
            not finite, or all 0.
    """
    require_labels(matrix, labels, model=model)
    if weights is None:
        return Examples(matrix, labels, None)
    _require_weights(labels, weights, model=model)
    counted = weights > 0
    if not counted.all():
        matrix, labels, weights = matrix.select(counted), labels[counted], weights[counted]
    alike = weights.min() == weights.max()
    # The largest becomes 1 first, so that a sum cannot overflow.
    relative = weights / weights.max()
    return Examples(matrix, labels, None if alike else relative / relative.mean())


def held_out_examples(held_out: HeldOut, learned: Examples, *, model: str) -> Examples:
    """Check the rows held out as those learned from are, and that none is among them.

    Raises:
        InputError: as `examples`, or a row is learned from as well.
        ContractError: other columns than those learned from.
    """
    where = f"{model}, held out"
    rows = examples(held_out.matrix, held_out.labels, held_out.weights, model=where)
    require_columns(rows.matrix, learned.matrix.columns, model=where)
    if rows.matrix.panel is learned.matrix.panel:
        shared = np.intersect1d(rows.matrix.rows, learned.matrix.rows)
        if len(shared):
            raise InputError(
                f"{len(shared)} of {len(rows)} rows held out are learned from as well",
                where=f"model {model}",
                fix="hold out rows that are not in the matrix fitted, purged by label end session",
            )
    return rows


def chosen_iterations(iterations: int | None, configured: int, *, model: str) -> int:
    """Return the rounds or epochs asked for, or the configured ones.

    Raises:
        InputError: fewer than 1 is asked for.
    """
    if iterations is None:
        return configured
    if iterations < 1:
        raise InputError(
            f"iterations is {iterations}",
            where=f"model {model}",
            fix="ask for at least 1, or give None for the configured number",
        )
    return iterations


def _require_weights(labels: Labels, weights: Weights, *, model: str) -> None:
    fits = weights.shape == labels.shape
    if not fits or not np.isfinite(weights).all() or weights.min() < 0 or not weights.max() > 0:
        raise InputError(
            f"weights of shape {weights.shape} for {len(labels)} rows, or weights that are "
            "negative, not finite, or all 0",
            where=f"model {model}",
            fix="give one finite weight of at least 0 for each row, and one above 0",
        )
