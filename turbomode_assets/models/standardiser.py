"""Features as a network can read them: standardised, clipped, imputed, missing shares beside."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from turbomode_assets.models.matrix import Matrix, Values

_NORMAL_QUARTILE_RANGE = 1.3489795003921634
"""Distance between the quartiles of a standard normal distribution."""


@dataclass(frozen=True)
class Standardiser:
    """Statistics of the rows learned from, one per column.

    A value becomes (value - median) / (quartile range / 1.349), clipped to `clip_deviations`
    either way; where the quartiles coincide the standard deviation stands in, and a constant
    column becomes 0. A missing value becomes 0, the median. After the columns stand, one per
    family in order of appearance, the shares of the family's columns that are missing.
    """

    columns: tuple[str, ...]
    families: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    clip_deviations: float

    @classmethod
    def fit(cls, matrix: Matrix, clip_deviations: float) -> Self:
        """Take the statistics of the matrix rows; a column without a value counts as constant."""
        values = np.sort(np.ascontiguousarray(matrix.values.T), axis=1)
        present = np.count_nonzero(~np.isnan(values), axis=1)
        low, centre, high = (_quantile(values, present, at) for at in (0.25, 0.5, 0.75))
        spread = (high - low) / _NORMAL_QUARTILE_RANGE
        flat = np.flatnonzero(~_divides(spread))
        for column in flat:
            known = values[column, : present[column]].astype(np.float64)
            spread[column] = known.std() if len(known) else 0.0
        return cls(
            columns=matrix.columns,
            families=matrix.panel.families,
            centre=tuple(np.nan_to_num(centre).tolist()),
            scale=tuple(np.where(_divides(spread), spread, 1.0).tolist()),
            clip_deviations=clip_deviations,
        )

    @property
    def width(self) -> int:
        """Number of inputs that `apply` makes."""
        return len(self.columns) + len(set(self.families))

    def apply(self, values: Values) -> Values:
        """Turn feature values [rows, columns] into inputs [rows, width]; nothing is missing."""
        inputs = np.empty((len(values), self.width), dtype=np.float32)
        missing = np.isnan(values)
        scaled = inputs[:, : len(self.columns)]
        np.subtract(values, np.array(self.centre, dtype=np.float32), out=scaled)
        scaled /= np.array(self.scale, dtype=np.float32)
        np.clip(scaled, -self.clip_deviations, self.clip_deviations, out=scaled)
        scaled[missing] = 0.0
        for number, family in enumerate(dict.fromkeys(self.families)):
            members = [at for at, name in enumerate(self.families) if name == family]
            inputs[:, len(self.columns) + number] = missing[:, members].mean(axis=1)
        return inputs

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values that `from_json` reads back exactly."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        return cls(
            columns=tuple(content["columns"]),
            families=tuple(content["families"]),
            centre=tuple(content["centre"]),
            scale=tuple(content["scale"]),
            clip_deviations=content["clip_deviations"],
        )


def _divides(spread: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a spread is a finite number above 0 in float32 too, in which `apply` divides."""
    with np.errstate(over="ignore"):
        narrow = spread.astype(np.float32)
    return np.isfinite(narrow) & (narrow > 0)


def _quantile(ascending: Values, present: NDArray[np.integer], at: float) -> NDArray[np.float64]:
    """Quantile of the first `present` values of each row, linear between neighbours; else NaN."""
    place = np.maximum(present - 1, 0) * at
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(present - 1, 0))
    row = np.arange(len(ascending))
    low = ascending[row, below].astype(np.float64)
    high = ascending[row, above].astype(np.float64)
    quantile: NDArray[np.float64] = low + (high - low) * (place - below)
    return quantile
