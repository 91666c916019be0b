"""Whether probabilities mean what they say: Brier score, calibration errors, reliability."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.validation.inputs import Rows, Values, require_forecast

BINS = 10
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


def expected_calibration_error(probabilities: Values, labels: Labels) -> float:
    """Mean gap between how sure the most likely class is and how often it comes true.

    Formula: sum over bins of n_bin / n * |share right - mean confidence|, with confidence the
    largest probability of a row; of equally likely classes the first is named. `BINS` bins of
    equal width divide [0, 1]; a bin holds lower <= confidence < upper, the last one upper too.
    Source: Guo, Pleiss, Sun and Weinberger (2017), On Calibration of Modern Neural Networks.

    Raises:
        InputError: as `brier_score`.
    """
    require_forecast(probabilities, labels, where="expected_calibration_error")
    is_right = probabilities.argmax(axis=1) == labels
    # Divided one by one: 0.3 then is an edge, where steps of 0.1 would pass just above it.
    curve = _curve(probabilities.max(axis=1), is_right, np.arange(BINS + 1) / BINS)
    gaps = (curve["observed_share"] - curve["mean_probability"]).abs()
    return float(np.average(gaps, weights=curve["rows"]))


def reliability_curve(probabilities: Values, labels: Labels) -> pl.DataFrame:
    """Compare, in bins of the probability of each class, what was said with what came true.

    Columns: class, lower and upper (a bin holds lower <= p < upper, the last one upper too),
    rows, mean_probability, observed_share. Bins hold equally many rows: they lie between `BINS`
    quantiles, and are fewer where many probabilities are equal, which stay together.
    Missing: bins without rows are left out.

    Raises:
        InputError: as `brier_score`.
    """
    require_forecast(probabilities, labels, where="reliability_curve")
    curves = []
    for number, name in enumerate(CLASSES):
        said = probabilities[:, number].astype(np.float64)
        edges = np.unique(np.quantile(said, np.arange(BINS + 1) / BINS))
        edges = np.repeat(edges, 2) if len(edges) == 1 else edges
        curve = _curve(said, labels == number, edges)
        curves.append(curve.select(pl.lit(name).alias("class"), pl.all()))
    return pl.concat(curves)


def _curve(said: Values, came_true: NDArray[np.bool_], edges: Values) -> pl.DataFrame:
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
