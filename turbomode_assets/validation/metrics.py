"""How good a probability forecast is, always beside what no skill would have scored."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation.inputs import require_forecast

SELL, HOLD, BUY = range(len(CLASSES))
TOUCHED = ("profit_take", "stop_loss")
"""Exit reasons of labels whose path touched a barrier."""
_LEAST = 1e-15


def class_shares(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Share of each class among the labels, in the order of CLASSES."""
    counts = np.bincount(labels, minlength=len(CLASSES))
    shares: NDArray[np.float64] = counts / max(counts.sum(), 1)
    return shares


def classification_report(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.integer],
    *,
    training_shares: NDArray[np.float64],
    exit_reasons: NDArray[np.str_],
) -> dict[str, Any]:
    """Score probabilities [rows, 3] against labels [rows], as plain JSON values.

    `training_shares` are the class shares among the labels learned from: [3], or [rows, 3] where
    rows come from several folds. They are the forecast without skill: `base_rate` is the accuracy
    of always naming their largest class, `base_log_loss` the log loss of forecasting them.
    `auc` is one class against the others; `auc_buy_vs_sell` ranks by p_buy / (p_buy + p_sell)
    among labels that touched a barrier (`exit_reasons`). An AUC without both sides is None.
    Log losses are natural, probabilities no smaller than 1e-15.

    Raises:
        InputError: no rows, shapes that do not match, or rows that are no probabilities.
    """
    where = "classification_report"
    require_forecast(probabilities, labels, where=where)
    if len(exit_reasons) != len(labels):
        raise InputError(
            f"{len(labels)} labels and {len(exit_reasons)} exit reasons do not belong together",
            where=where,
            fix="give one exit reason for each row",
        )
    shares = np.broadcast_to(training_shares, probabilities.shape)
    touched = np.isin(exit_reasons, TOUCHED) & (labels != HOLD)
    sides = probabilities[:, BUY] / (probabilities[:, BUY] + probabilities[:, SELL] + _LEAST)
    counts = np.bincount(labels, minlength=len(CLASSES))
    return {
        "rows": len(labels),
        "counts": dict(zip(CLASSES, counts.tolist(), strict=True)),
        "shares": dict(zip(CLASSES, class_shares(labels).tolist(), strict=True)),
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "base_rate": float((shares.argmax(axis=1) == labels).mean()),
        "log_loss": log_loss(probabilities, labels),
        "base_log_loss": log_loss(shares, labels),
        "auc": {
            name: _auc(labels == number, probabilities[:, number])
            for number, name in enumerate(CLASSES)
        },
        "touched_rows": int(touched.sum()),
        "auc_buy_vs_sell": _auc(labels[touched] == BUY, sides[touched]),
    }


def log_loss(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    """Mean of -ln(probability of the label that came true)."""
    return float(row_log_losses(probabilities, labels).mean())


def row_log_losses(
    probabilities: NDArray[np.float64], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """-ln(probability of the label that came true) of each row, probabilities above 1e-15."""
    chosen = np.take_along_axis(probabilities, labels.astype(np.int64)[:, None], axis=1)
    losses: NDArray[np.float64] = -np.log(np.maximum(chosen[:, 0], _LEAST))
    return losses


def _auc(is_positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    if is_positive.all() or not is_positive.any():
        return None
    # The share of (positive, other) pairs ranked rightly, ties half: the area under the curve.
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives = int(is_positive.sum())
    above = ranks[is_positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(scores) - positives)))
