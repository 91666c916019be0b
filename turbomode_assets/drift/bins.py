"""Frozen equal-count bins of a feature, and how many rows of anything fall into each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.errors import (
    ContractError,
    InputError,
    MissingDataError,
    first_few,
)

Values = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class FeatureReference:
    """Bins of one feature and how many training rows fell into each.

    With edges e0 < e1 < ... the bins are (-inf, e0], (e0, e1], ..., (last, inf), and one more at
    the end for missing values (null or NaN). `counts` has one entry for each, so two more than
    `edges`.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def bins_of(self, values: Values) -> Counts:
        """Bin of each value; NaN is missing, an infinity falls into an outer bin."""
        bins = np.searchsorted(np.asarray(self.edges), values, side="left")
        return np.where(np.isnan(values), len(self.edges) + 1, bins).astype(np.int64)


def freeze_bins(name: str, values: Values, bins: int, *, where: str) -> FeatureReference:
    """Bin the values of one feature at its quantiles.

    Edges are observed values (the inverse of the empirical distribution function), so that without
    ties every bin holds the same number of rows, give or take one. A value that more than one in
    `bins` present rows hold (a constant, the 0 of a count) gets a bin of its own: a move away from
    it shows on either side. Missing values take no part in the quantiles; where nothing is present
    there is one open bin and the missing values' one.

    Raises:
        ContractError: a value is infinite.
    """
    present = values[~np.isnan(values)]
    if infinite := int(np.isinf(present).sum()):
        raise ContractError(
            f"{infinite} values of {name} are infinite",
            where=where,
            fix="correct the feature: infinities never leave the engine",
        )
    edges = _quantile_edges(present, bins) if present.size else ()
    empty = FeatureReference(edges, (0,) * (len(edges) + 2))
    counts = np.bincount(empty.bins_of(values), minlength=len(edges) + 2)
    return FeatureReference(edges, tuple(int(count) for count in counts))


def bin_counts(
    features: Mapping[str, FeatureReference],
    rows: pl.DataFrame,
    positions: NDArray[np.int64],
    *,
    sessions: int,
) -> Counts:
    """Rows by session, feature and bin: [sessions, features, bins], unused bins 0.

    `positions` numbers the session of each row from 0.
    """
    bins = max(len(feature.counts) for feature in features.values())
    counts = np.empty((sessions, len(features), bins), dtype=np.int64)
    for column, (name, feature) in enumerate(features.items()):
        cells = positions * bins + feature.bins_of(values_of(rows, name))
        counts[:, column] = np.bincount(cells, minlength=sessions * bins).reshape(sessions, bins)
    return counts


def frozen_counts(features: Mapping[str, FeatureReference]) -> Counts:
    """Training rows by feature and bin, as `bin_counts` shapes a session's."""
    bins = max(len(feature.counts) for feature in features.values())
    return np.asarray(
        [feature.counts + (0,) * (bins - len(feature.counts)) for feature in features.values()],
        dtype=np.int64,
    )


def window_counts(daily: Counts, window_sessions: int) -> Counts:
    """Sum `bin_counts` over every run of `window_sessions` sessions: [windows, features, bins]."""
    total = np.zeros((len(daily) + 1, *daily.shape[1:]), dtype=np.int64)
    np.cumsum(daily, axis=0, out=total[1:])
    return total[window_sessions:] - total[:-window_sessions]


def require_columns(features: pl.DataFrame, columns: Sequence[str], *, where: str) -> None:
    """Refuse a frame without some of the features.

    Raises:
        MissingDataError: naming the absent columns.
    """
    absent = [name for name in columns if name not in features.columns]
    if absent:
        raise MissingDataError(
            f"features are missing: {first_few(absent)}",
            where=where,
            fix="materialize features with the feature set that the model was trained on",
        )


def values_of(features: pl.DataFrame, name: str) -> Values:
    """Return one feature as float64, null as NaN.

    Raises:
        InputError: the column is text.
    """
    column = features[name]
    if column.dtype == pl.String:
        raise InputError(
            f"{name} is text",
            where="a column that drift is measured on",
            fix="pass numbers, such as the code of each label class",
        )
    values: NDArray[Any] = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return values


def _quantile_edges(present: Values, bins: int) -> tuple[float, ...]:
    ordered = np.sort(present)
    # In whole numbers: i / bins * rows in floating point may land one row further on.
    cuts = np.unique(ordered[-(-np.arange(1, bins + 1) * len(ordered) // bins) - 1])
    # A run of more than rows / bins equal values cannot pass between two cuts.
    times = np.searchsorted(ordered, cuts, "right") - np.searchsorted(ordered, cuts, "left")
    frequent = cuts[times * bins > len(ordered)]
    edges = [cuts[:-1], frequent, np.nextafter(frequent, -np.inf)]
    return tuple(np.unique(np.concatenate(edges)).tolist())
