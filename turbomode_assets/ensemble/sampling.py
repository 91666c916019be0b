"""Which ordinary rows are learned from: bounds on classes, regimes and rows."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.learning import BalancedSamplingConfig
from turbomode_assets.contracts.columns import LABEL

Rows = NDArray[np.int64]


def balanced_sample(
    rows: pl.DataFrame, candidates: Rows, config: BalancedSamplingConfig, *, seed: int
) -> Rows:
    """Positions of the ordinary rows to learn from, ascending; the same seed draws the same ones.

    `rows` has label, regime (null where unknown) and rare; `candidates` are positions in it, of
    which the rare ones are never drawn. Class, regime and number of rows are bounded in that
    order, and again as long as what one draw left out puts another bound out of keeping. "Rarest"
    is the rarest that is present; rows without a regime count as none, and no bound holds for them.
    """
    ordinary = np.unique(candidates)
    ordinary = ordinary[~rows.get_column("rare").to_numpy()[ordinary]]
    labels = rows.get_column(LABEL).to_numpy()
    names = rows.get_column("regime").unique().drop_nulls().sort()
    known = rows.get_column("regime").replace_strict(
        names, np.arange(len(names)), default=-1, return_dtype=pl.Int64
    )
    regimes = known.to_numpy()
    generator = np.random.default_rng(seed)
    drawn = None
    while drawn is None or len(drawn) < len(ordinary):
        ordinary = ordinary if drawn is None else drawn
        drawn = _bounded(ordinary, labels, config.maximum_class_ratio, generator)
        drawn = _bounded(drawn, regimes, config.maximum_regime_ratio, generator)
        drawn = _draw(drawn, config.maximum_rows, generator)
    return drawn


def _bounded(
    positions: Rows,
    groups: NDArray[np.integer],
    maximum_ratio: float,
    generator: np.random.Generator,
) -> Rows:
    """Draw from each group at most `maximum_ratio` times the rows of the smallest; -1 is none."""
    group = groups[positions]
    names, counts = np.unique(group[group >= 0], return_counts=True)
    if not len(names):
        return positions
    limit = int(maximum_ratio * counts.min())
    drawn = [_draw(positions[group == name], limit, generator) for name in names]
    return np.sort(np.concatenate([positions[group < 0], *drawn]))


def _draw(positions: Rows, limit: int, generator: np.random.Generator) -> Rows:
    if len(positions) <= limit:
        return positions
    return np.sort(generator.choice(positions, limit, replace=False))
