"""How much each row weighs in every model's loss."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.learning import (
    RareEventArchiveConfig,
    RegimeMultipliersConfig,
    RegimeWeightedLossConfig,
)
from turbomode_assets.contracts.columns import LABEL, SYMBOL
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.validation import class_shares, sample_uniqueness

Rows = NDArray[np.int64]
Weights = NDArray[np.float64]

_WHERE = "loss_weights"
_ROUNDING = 1e-12


def loss_weights(
    rows: pl.DataFrame,
    ordinary: Rows,
    rare: Rows,
    loss: RegimeWeightedLossConfig,
    archive: RareEventArchiveConfig,
) -> tuple[Rows, Weights]:
    """Positions learned from, ascending, and their weights, whose mean is 1.

    `rows` has symbol, label, regime (null where unknown), replay (1 where no error is replayed),
    entry_session and exit_session; `ordinary` and `rare` are positions in it.

    Formula: a row's factor is share of its class ^ -`class_balance` x multiplier of its regime
    (1 without one) x uniqueness of its label x replay; shares and uniqueness are those among all
    rows learned from. Ordinary rows weigh their factors, the largest cut until none exceeds
    `maximum_weight` times the mean of the ordinary. Rare rows weigh theirs times one constant, by
    which they would make up `mix_ratio` of the whole, each cut at the archive's `maximum_weight`
    times that mean. With a `mix_ratio` of 0 they are left out.

    Raises:
        InputError: no ordinary row, a row that is both, a regime without a multiplier, or a factor
            that is not a number above 0.
    """
    if not archive.mix_ratio:
        rare = rare[:0]
    _require_apart(ordinary, rare)
    positions = np.concatenate([ordinary, rare])
    factors = _factors(rows[positions], loss)
    usual = _capped(factors[: len(ordinary)], loss.maximum_weight)
    special = _mixed_in(factors[len(ordinary) :], usual, archive)
    weights = np.concatenate([usual, special])
    order = np.argsort(positions)
    return positions[order], (weights / weights.mean())[order]


def _require_apart(ordinary: Rows, rare: Rows) -> None:
    positions, counts = np.unique(np.concatenate([ordinary, rare]), return_counts=True)
    if not len(ordinary) or (counts > 1).any():
        repeated = first_few(positions[counts > 1])
        raise InputError(
            f"rows given twice: {repeated}" if repeated else "no ordinary row to learn from",
            where=_WHERE,
            fix="give each row once, as ordinary or as rare, and at least one ordinary row",
        )


def _factors(rows: pl.DataFrame, loss: RegimeWeightedLossConfig) -> Weights:
    labels = rows.get_column(LABEL).cast(pl.Int8).to_numpy()
    shares = class_shares(labels)[labels]
    factors: Weights = shares**-loss.class_balance * _multipliers(rows, loss.regime_multipliers)
    if loss.uniqueness:
        factors *= sample_uniqueness(
            rows.get_column("entry_session").to_numpy(),
            rows.get_column("exit_session").to_numpy(),
            rows.get_column(SYMBOL).to_numpy(),
        )
    factors *= rows.get_column("replay").to_numpy()
    wrong = np.flatnonzero(~((factors > 0) & np.isfinite(factors)))
    if len(wrong):
        raise InputError(
            f"{len(wrong)} rows weigh no number above 0, the first {factors[wrong[0]]}",
            where=_WHERE,
            fix="give a replay factor of at least 1 for every row",
        )
    return factors


def _multipliers(rows: pl.DataFrame, config: RegimeMultipliersConfig) -> Weights:
    known = config.model_dump()
    regimes = rows.get_column("regime")
    strangers = regimes.filter(~regimes.is_in(list(known))).unique().sort()
    if len(strangers):
        raise InputError(
            f"regimes without a multiplier: {first_few(strangers)}",
            where=f"{_WHERE}, regime_multipliers",
            fix=f"name regimes {', '.join(known)}, or null where unknown",
        )
    return regimes.replace_strict(known, default=1.0, return_dtype=pl.Float64).to_numpy()


def _capped(weights: Weights, maximum: float) -> Weights:
    """Weights with mean 1, the largest cut to `maximum` times the mean of what results.

    Cutting lowers the mean, and so the cut: with the k largest at a cut c, c = maximum x
    (sum of the others + k c) / n. The least k whose others lie below its c is the answer.
    """
    descending = np.sort(weights)[::-1]
    others = np.cumsum(descending[::-1])[::-1]
    cut = np.arange(len(weights))
    room = len(weights) - maximum * cut
    limit = maximum * others / np.where(room > 0, room, np.nan)
    # There is always such a k, but for the rounding of sums of equal weights.
    first = np.argmax(descending <= limit * (1 + _ROUNDING))
    capped: Weights = np.minimum(weights, limit[first])
    return np.asarray(capped / capped.mean())


def _mixed_in(factors: Weights, usual: Weights, archive: RareEventArchiveConfig) -> Weights:
    """Weights of the rare rows beside ordinary ones with mean 1."""
    if not len(factors):
        return factors
    total = archive.mix_ratio / (1 - archive.mix_ratio) * usual.sum()
    mixed: Weights = np.minimum(factors * (total / factors.sum()), archive.maximum_weight)
    return mixed
