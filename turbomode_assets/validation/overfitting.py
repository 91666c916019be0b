"""How often the configuration that looked best would have disappointed: CSCV."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation.inputs import Values, finite_values, require_at_least

_WHERE = "probability_of_backtest_overfitting"
_MOST_BLOCKS = 60
_CELLS_AT_ONCE = 2_000_000
_NEGLIGIBLE = 1e-12
_DECIMALS = 12

Halves = NDArray[np.bool_]


@dataclass(frozen=True)
class OverfittingResult:
    """What selecting by Sharpe ratio on one half of the sessions does on the other half.

    `probability` is the share of splits whose in-sample best ranks at the median or below out of
    sample, `probability_of_loss` the share in which it loses there. `slope` and `intercept` are
    of the regression of its out-of-sample on its in-sample Sharpe ratio over the splits; None
    where the latter never varies. The arrays hold one value for each split: the logits, and the
    Sharpe ratios of the in-sample best. `splits` of `possible_splits` were evaluated.
    """

    probability: float
    probability_of_loss: float
    slope: float | None
    intercept: float | None
    logits: Values
    in_sample: Values
    out_of_sample: Values
    splits: int
    possible_splits: int


def probability_of_backtest_overfitting(
    returns: ArrayLike, *, blocks: int = 16, maximum_splits: int = 20_000, seed: int = 0
) -> OverfittingResult:
    """Measure by combinatorially symmetric cross-validation how far selection overfits.

    `returns` [sessions, configurations] holds per-session returns, sessions in order. They are
    cut into S = `blocks` runs whose lengths differ by one at most; each choice of S / 2 of them
    is once in sample and once, as the complement, out of sample. More than `maximum_splits`
    choices are sampled without replacement, each with its complement, reproducibly by `seed`.

    Formula: with r the rank (1 is worst) of the in-sample best among N configurations out of
    sample, the logit is ln(r / (N + 1 - r)); the probability is the share of logits <= 0. Ranks
    are of per-session Sharpe ratios, mean / standard deviation (ddof 1).
    Ties: Sharpe ratios that agree to 12 decimals tie. Tied configurations share the mean of their
    ranks; configurations tied for the in-sample best count in equal parts of one split.
    Missing: a half in which a configuration's return does not vary (by less than a millionth of
    its deviation over all sessions) gives it the Sharpe ratio 0: no risk taken, no skill shown.
    Source: Bailey, Borwein, López de Prado and Zhu (2015), The Probability of Backtest
    Overfitting, Journal of Computational Finance 20(4).

    Raises:
        InputError: fewer than two configurations or two sessions for each block, a return that
            is not finite, or counts out of range.
    """
    values = finite_values(returns, "returns", where=_WHERE, dimensions=2)
    _require_counts(values, blocks, maximum_splits)
    halves = _halves(blocks, maximum_splits, seed)
    sums = _BlockSums.of(values, blocks)
    # Whole chunks bound the memory: many splits times many configurations do not fit at once.
    chunk = max(1, _CELLS_AT_ONCE // values.shape[1])
    parts = [
        part
        for start in range(0, len(halves), chunk)
        for part in _both_ways(sums, halves[start : start + chunk])
    ]
    logits, best, outcome, losses = (np.concatenate(column) for column in zip(*parts, strict=True))
    slope, intercept = _regression(best, outcome)
    return OverfittingResult(
        probability=float((logits <= 0).mean()),
        probability_of_loss=float(losses.mean()),
        slope=slope,
        intercept=intercept,
        logits=logits,
        in_sample=best,
        out_of_sample=outcome,
        splits=len(logits),
        possible_splits=math.comb(blocks, blocks // 2),
    )


@dataclass(frozen=True)
class _BlockSums:
    """Sums by block, from which the Sharpe ratios of any union of blocks follow."""

    sessions: NDArray[np.int64]
    centre: Values
    sums: Values
    squares: Values
    negligible: Values

    @classmethod
    def of(cls, returns: Values, blocks: int) -> "_BlockSums":
        # Around the median, a constant column is exactly zero and sums of squares keep digits.
        centre = np.median(returns, axis=0)
        centred = returns - centre
        starts = [part[0] for part in np.array_split(np.arange(len(returns)), blocks)]
        return cls(
            sessions=np.diff([*starts, len(returns)]),
            centre=centre,
            sums=np.add.reduceat(centred, starts, axis=0),
            squares=np.add.reduceat(centred**2, starts, axis=0),
            negligible=_NEGLIGIBLE * centred.var(axis=0),
        )

    def sharpe_ratios(self, halves: Halves) -> Values:
        """Sharpe ratios [halves, configurations], rounded so that equal ones tie."""
        chosen = halves.astype(np.float64)
        count = (chosen @ self.sessions)[:, None]
        mean = chosen @ self.sums / count
        variance = (chosen @ self.squares / count - mean**2) * count / (count - 1)
        varies = variance > self.negligible
        deviation = np.sqrt(np.where(varies, variance, 1.0))
        ratios: Values = np.where(varies, (mean + self.centre) / deviation, 0.0)
        return ratios.round(_DECIMALS)


def _both_ways(sums: _BlockSums, halves: Halves) -> list[tuple[Values, Values, Values, Values]]:
    one, other = sums.sharpe_ratios(halves), sums.sharpe_ratios(~halves)
    return [_selection(one, other), _selection(other, one)]


def _selection(seen: Values, unseen: Values) -> tuple[Values, Values, Values, Values]:
    """Logit, Sharpe ratio seen and unseen, and loss of what looked best in each split."""
    best = seen.max(axis=1)
    is_best = seen == best[:, None]
    shares = is_best / is_best.sum(axis=1, keepdims=True)
    # Weighted sums may miss a whole rank by a hair, and the median must give exactly 0.
    rank = np.round((shares * _ranks(unseen)).sum(axis=1), _DECIMALS)
    logits = np.log(rank / (seen.shape[1] + 1 - rank))
    return logits, best, (shares * unseen).sum(axis=1), (shares * (unseen < 0)).sum(axis=1)


def _ranks(values: Values) -> Values:
    """Rank within each row from 1, the smallest; equal values share their mean rank."""
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    places = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    changes = np.diff(ordered, axis=1) != 0
    edge = np.ones((len(values), 1), dtype=np.bool_)
    first = np.maximum.accumulate(np.where(np.hstack([edge, changes]), places, 0), axis=1)
    ends = np.where(np.hstack([changes, edge]), places, values.shape[1])
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=1)
    return ranks


def _halves(blocks: int, maximum_splits: int, seed: int) -> Halves:
    """Choices [halves, blocks] of half the blocks that hold block 0; complements are left out."""
    possible = math.comb(blocks - 1, blocks // 2 - 1)
    wanted = maximum_splits // 2
    if possible <= wanted:
        numbers = np.arange(possible)
    else:
        numbers = np.sort(np.random.default_rng(seed).choice(possible, wanted, replace=False))
    halves = np.zeros((len(numbers), blocks), dtype=np.bool_)
    halves[:, 0] = True
    missing = np.full(len(numbers), blocks // 2 - 1)
    for block in range(1, blocks):
        # In lexicographic order the choices that take this block come first.
        taking = np.array(
            [math.comb(blocks - 1 - block, need - 1) if need else 0 for need in range(blocks // 2)]
        )[missing]
        halves[:, block] = numbers < taking
        numbers = np.where(halves[:, block], numbers, numbers - taking)
        missing = missing - halves[:, block]
    return halves


def _regression(x: Values, y: Values) -> tuple[float | None, float | None]:
    if np.ptp(x) == 0:
        return None, None
    centred = x - x.mean()
    slope = float((centred * (y - y.mean())).sum() / (centred**2).sum())
    return slope, float(y.mean() - slope * x.mean())


def _require_counts(returns: Values, blocks: int, maximum_splits: int) -> None:
    require_at_least(maximum_splits, 2, "maximum_splits", where=_WHERE)
    if not 2 <= blocks <= _MOST_BLOCKS or blocks % 2:
        raise InputError(
            f"blocks is {blocks}",
            where=_WHERE,
            fix=f"give an even number of blocks from 2 to {_MOST_BLOCKS}",
        )
    sessions, configurations = returns.shape
    if configurations < 2 or sessions < 2 * blocks:
        raise InputError(
            f"returns hold {sessions} sessions of {configurations} configurations",
            where=_WHERE,
            fix=f"give at least 2 configurations and {2 * blocks} sessions, or fewer blocks",
        )
