"""Whether probabilities mean what they say: Brier score, calibration errors, reliability."""

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation.inputs import (
    Rows,
    Values,
    require_at_least,
    require_forecast,
)

Binning = Literal["equal_width", "equal_count"]
Labels = NDArray[np.integer]


def brier_score(probabilities: Values, labels: Labels) -> float:
    """Mean squared distance of probabilities [rows, 3] from what came true; 0 best, 2 worst.

    Formula: mean over rows of the sum over classes of (probability - [class came true])^2
    Source: Brier (1950), Monthly Weather Review 78(1): all classes, not halved.

    Raises:
        InputError: no rows, shapes that do not match, or rows that are no probabilities.
    """
    require_forecast(probabilities, labels, where="brier_score")
    came_true = np.eye(len(CLASSES))[labels]
    return float(((probabilities - came_true) ** 2).sum(axis=1).mean())


def expected_calibration_error(
    probabilities: Values, labels: Labels, *, bins: int = 10, binning: Binning = "equal_width"
) -> float:
    """Mean gap between how sure the most likely class is and how often it comes true.

    Formula: sum over bins of n_bin / n * |share right - mean confidence|, with confidence the
    largest probability of a row; of equally likely classes the first is named.
    Source: Guo, Pleiss, Sun and Weinberger (2017), On Calibration of Modern Neural Networks.

    Raises:
        InputError: as `reliability_curve`.
    """
    _require_bins(probabilities, labels, bins, binning, where="expected_calibration_error")
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == labels
    return _calibration_error(_curve(confidence, is_right, bins, binning))


def class_calibration_errors(
    probabilities: Values, labels: Labels, *, bins: int = 10, binning: Binning = "equal_width"
) -> dict[str, float]:
    """Mean gap between the probability of each class and how often that class comes true.

    Formula: for each class, sum over bins of n_bin / n * |observed share - mean probability|
    Source: Kull et al. (2019), Beyond temperature scaling; their classwise error is the mean.

    Raises:
        InputError: as `reliability_curve`.
    """
    curve = reliability_curve(probabilities, labels, bins=bins, binning=binning)
    return {name: _calibration_error(curve.filter(pl.col("class") == name)) for name in CLASSES}


def reliability_curve(
    probabilities: Values, labels: Labels, *, bins: int = 10, binning: Binning = "equal_width"
) -> pl.DataFrame:
    """Compare, in bins of the probability of each class, what was said with what came true.

    Columns: class, lower and upper (a bin holds lower <= p < upper, the last one upper too),
    rows, mean_probability, observed_share. Equal-width bins divide [0, 1]; equal-count bins lie
    between quantiles, and are fewer where many probabilities are equal, which stay together.
    Missing: bins without rows are left out.

    Raises:
        InputError: no rows, shapes that do not match, rows that are no probabilities, fewer than
            one bin, or an unknown binning.
    """
    _require_bins(probabilities, labels, bins, binning, where="reliability_curve")
    return pl.concat(
        _curve(probabilities[:, number], labels == number, bins, binning).select(
            pl.lit(name).alias("class"), pl.all()
        )
        for number, name in enumerate(CLASSES)
    )


def _curve(said: Values, came_true: NDArray[np.bool_], bins: int, binning: Binning) -> pl.DataFrame:
    # Divided one by one: 0.3 then is an edge, where steps of 0.1 would pass just above it.
    edges = np.arange(bins + 1) / bins
    if binning == "equal_count":
        edges = np.unique(np.quantile(said, edges))
        edges = np.repeat(edges, 2) if len(edges) == 1 else edges
    # Inner edges only: a probability a hair outside [0, 1] belongs to the first or last bin.
    number: Rows = np.searchsorted(edges[1:-1], said, side="right").astype(np.int64)
    counts = np.bincount(number, minlength=len(edges) - 1)
    filled = np.flatnonzero(counts)
    return pl.DataFrame(
        {
            "lower": edges[filled],
            "upper": edges[filled + 1],
            "rows": counts[filled],
            "mean_probability": np.bincount(number, weights=said)[filled] / counts[filled],
            "observed_share": np.bincount(number, weights=came_true)[filled] / counts[filled],
        },
        schema_overrides={"rows": pl.Int64()},
    )


def _calibration_error(curve: pl.DataFrame) -> float:
    rows = curve["rows"].to_numpy()
    gaps = (curve["observed_share"] - curve["mean_probability"]).abs().to_numpy()
    return float((rows * gaps).sum() / rows.sum())


def _require_bins(
    probabilities: Values, labels: Labels, bins: int, binning: str, *, where: str
) -> None:
    require_forecast(probabilities, labels, where=where)
    require_at_least(bins, 1, "bins", where=where)
    if binning not in ("equal_width", "equal_count"):
        raise InputError(
            f"binning is {binning!r}", where=where, fix="choose equal_width or equal_count"
        )
