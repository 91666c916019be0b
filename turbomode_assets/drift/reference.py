"""The frozen distribution of every feature in the champion's training rows.

The bins never move with current data: only against fixed bins is a shift a shift.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.training import DriftConfig
from turbomode_assets.contracts.errors import (
    ContractError,
    InputError,
    MissingDataError,
    StoreError,
    first_few,
)


@dataclass(frozen=True)
class FeatureReference:
    """Bins of one feature and how many training rows fell into each.

    With edges e0 < e1 < ... the bins are (-inf, e0], (e0, e1], ..., (last, inf), and one more at
    the end for missing values (null or NaN). `counts` has one entry for each, so two more than
    `edges`.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def bins_of(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Bin of each value; NaN is missing."""
        bins = np.searchsorted(np.asarray(self.edges), values, side="left")
        return np.where(np.isnan(values), len(self.edges) + 1, bins).astype(np.int64)


@dataclass(frozen=True)
class DriftReference:
    """What the features looked like in training: `rows` rows, binned feature by feature."""

    rows: int
    features: dict[str, FeatureReference]

    @property
    def columns(self) -> list[str]:
        """Feature names, in the order of the training matrix."""
        return list(self.features)

    def expected_shares(self, feature: str) -> list[float]:
        """Share of the training rows in each bin of a feature, the missing values' bin last."""
        return [count / self.rows for count in self.features[feature].counts]

    def save(self, path: Path) -> None:
        """Write the reference as JSON; numbers keep every digit."""
        content = {
            "rows": self.rows,
            "features": {
                name: {"edges": feature.edges, "counts": feature.counts}
                for name, feature in self.features.items()
            },
        }
        path.write_text(json.dumps(content, allow_nan=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "DriftReference":
        """Read what `save` wrote.

        Raises:
            StoreError: the file cannot be read, or does not hold a reference.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            features = {
                name: FeatureReference(tuple(feature["edges"]), tuple(feature["counts"]))
                for name, feature in content["features"].items()
            }
            reference = cls(content["rows"], features)
            reference._check()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"no drift reference can be read: {type(error).__name__}: {error}",
                where=str(path),
                fix="restore the file from the champion's artifacts, or train again",
            ) from error
        return reference

    def _check(self) -> None:
        for name, feature in self.features.items():
            ordered = all(left < right for left, right in pairwise(feature.edges))
            if not ordered or len(feature.counts) != len(feature.edges) + 2:
                raise ValueError(f"the bins of {name} are not in order")
            if sum(feature.counts) != self.rows or self.rows <= 0:
                raise ValueError(f"the counts of {name} do not add up to {self.rows} rows")


def freeze_reference(
    features: pl.DataFrame, columns: Sequence[str], config: DriftConfig
) -> DriftReference:
    """Bin the training rows of each feature at its `config.bins` quantiles.

    Edges are observed values (the inverse of the empirical distribution function), so that without
    ties every bin holds the same number of rows, give or take one. A value that more than one in
    `config.bins` present rows hold (a constant, the 0 of a count) gets a bin of its own: a move
    away from it shows on either side. Missing values (null or NaN) have their own bin and take no
    part in the quantiles.

    Raises:
        InputError: no columns are named, or one is named twice.
        MissingDataError: a column or every row is missing.
        ContractError: a value is infinite.
    """
    if not columns or len(set(columns)) != len(columns):
        raise InputError(
            f"features must be named once each: {first_few(columns) or 'none given'}",
            where="freeze_reference",
            fix="pass the columns of the training matrix",
        )
    require_columns(features, columns, where="training rows of the drift reference")
    if features.is_empty():
        raise MissingDataError(
            "no training rows to freeze",
            where="training rows of the drift reference",
            fix="materialize features for the training sessions",
        )
    frozen = {name: _freeze(name, values_of(features, name), config.bins) for name in columns}
    return DriftReference(features.height, frozen)


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


def values_of(features: pl.DataFrame, name: str) -> NDArray[np.float64]:
    """Return one feature as float64, null as NaN."""
    values: NDArray[Any] = features[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return values


def _freeze(name: str, values: NDArray[np.float64], bins: int) -> FeatureReference:
    present = values[~np.isnan(values)]
    if infinite := int(np.isinf(present).sum()):
        raise ContractError(
            f"{infinite} values of {name} are infinite",
            where="training rows of the drift reference",
            fix="correct the feature: infinities never leave the engine",
        )
    edges = _quantile_edges(present, bins) if present.size else ()
    empty = FeatureReference(edges, (0,) * (len(edges) + 2))
    counts = np.bincount(empty.bins_of(values), minlength=len(edges) + 2)
    return FeatureReference(edges, tuple(int(count) for count in counts))


def _quantile_edges(present: NDArray[np.float64], bins: int) -> tuple[float, ...]:
    ordered = np.sort(present)
    # In whole numbers: i / bins * rows in floating point may land one row further on.
    cuts = np.unique(ordered[-(-np.arange(1, bins + 1) * len(ordered) // bins) - 1])
    # A run of more than rows / bins equal values cannot pass between two cuts.
    times = np.searchsorted(ordered, cuts, "right") - np.searchsorted(ordered, cuts, "left")
    frequent = cuts[times * bins > len(ordered)]
    edges = [cuts[:-1], frequent, np.nextafter(frequent, -np.inf)]
    return tuple(np.unique(np.concatenate(edges)).tolist())
