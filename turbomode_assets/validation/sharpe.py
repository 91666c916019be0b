"""How sure one may be of a Sharpe ratio, given its length, its shape and the trials behind it.

Every Sharpe ratio here is per session, never annualised: mean / standard deviation of per-session
returns. To take an annual one here, divide it by the square root of the sessions in a year.
The standard errors assume returns that do not overlap.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation.inputs import finite_values, require_at_least

_NORMAL = NormalDist()


@dataclass(frozen=True)
class SharpeMoments:
    """What the sampling error of a per-session Sharpe ratio depends on.

    `kurtosis` is not in excess: 3 for normal returns.
    """

    sharpe: float
    skewness: float
    kurtosis: float
    observations: int

    def __post_init__(self) -> None:
        where = "SharpeMoments"
        require_at_least(self.observations, 2, "observations", where=where)
        if not (math.isfinite(self.sharpe) and math.isfinite(self.skewness)):
            raise InputError(f"{self} is not finite", where=where, fix="give finite moments")
        # Rounding may leave a two-valued return, which attains the bound, a hair below it.
        require_at_least(self.kurtosis, 1 + self.skewness**2 - 1e-6, "kurtosis", where=where)

    @property
    def variance_factor(self) -> float:
        """Variance of the Sharpe estimate times (observations - 1).

        Formula: 1 - skewness * SR + (kurtosis - 1) / 4 * SR^2
        Source: Mertens (2002), as used by Bailey and López de Prado (2012).
        """
        factor = 1 - self.skewness * self.sharpe + (self.kurtosis - 1) / 4 * self.sharpe**2
        return max(factor, 0.0)


def sharpe_moments(returns: ArrayLike) -> SharpeMoments:
    """Measure a series of per-session returns.

    Formula: mean / standard deviation (ddof 1); skewness m3 / m2^1.5 and kurtosis m4 / m2^2 of
    the central moments m (divided by the number of returns).

    Raises:
        InputError: fewer than two returns, one that is not finite, or returns that never vary.
    """
    values = finite_values(returns, "returns", where="sharpe_moments")
    if np.ptp(values) == 0:
        raise InputError(
            f"the {len(values)} returns given are all {values[0]}: they have no Sharpe ratio",
            where="sharpe_moments",
            fix="give at least two sessions whose returns differ",
        )
    centred = values - values.mean()
    # Moments of the scaled series do not underflow when the returns are tiny.
    scaled = centred / np.abs(centred).max()
    second = float((scaled**2).mean())
    return SharpeMoments(
        sharpe=float(values.mean() / values.std(ddof=1)),
        skewness=float((scaled**3).mean() / second**1.5),
        kurtosis=float((scaled**4).mean() / second**2),
        observations=len(values),
    )


def probabilistic_sharpe_ratio(
    returns: ArrayLike | SharpeMoments, *, benchmark: float = 0.0
) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark`, both per session.

    Formula: Phi((SR - benchmark) * sqrt(T - 1) / sqrt(1 - skewness * SR + (kurtosis - 1) / 4 *
    SR^2)), with Phi the normal distribution function and T the number of returns.
    Source: Bailey and López de Prado (2012), The Sharpe Ratio Efficient Frontier, Journal of
    Risk 15(2).

    Raises:
        InputError: as `sharpe_moments`, or a benchmark that is not finite.
    """
    measured = _measured(returns)
    excess = _excess(measured, benchmark, where="probabilistic_sharpe_ratio")
    scaled = excess * math.sqrt(measured.observations - 1)
    if measured.variance_factor == 0:
        return 0.5 if scaled == 0 else float(scaled > 0)
    return _NORMAL.cdf(scaled / math.sqrt(measured.variance_factor))


def expected_maximum_sharpe(trials: int, variance: float) -> float:
    """Sharpe ratio that the best of `trials` independent trials without skill is expected to show.

    Formula: sqrt(variance) * ((1 - g) * Phi^-1(1 - 1 / N) + g * Phi^-1(1 - 1 / (N * e))), with g
    the Euler-Mascheroni constant, N the trials and `variance` that of their Sharpe ratios, in the
    unit (per session, per year) that the answer then has; 0 for a single trial, which nothing
    was selected from.
    Source: Bailey and López de Prado (2014), The Deflated Sharpe Ratio, Journal of Portfolio
    Management 40(5).

    Raises:
        InputError: fewer than one trial, or a variance below 0 or not finite.
    """
    where = "expected_maximum_sharpe"
    require_at_least(trials, 1, "trials", where=where)
    require_at_least(variance, 0, "variance", where=where)
    if trials == 1:
        return 0.0
    upper = -_NORMAL.inv_cdf(1 / trials)
    further = -_NORMAL.inv_cdf(1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - np.euler_gamma) * upper + np.euler_gamma * further)


def deflated_sharpe_ratio(
    returns: ArrayLike | SharpeMoments, *, trials: int, trial_sharpe_variance: float
) -> float:
    """Probability that the true Sharpe ratio is above what luck gives the best of the trials.

    Formula: the probabilistic Sharpe ratio with `expected_maximum_sharpe` as its benchmark.
    `trials` counts distinct configurations, refits of one are not new trials;
    `trial_sharpe_variance` is the variance of their per-session Sharpe ratios.
    Source: Bailey and López de Prado (2014), The Deflated Sharpe Ratio, Journal of Portfolio
    Management 40(5).

    Raises:
        InputError: as `sharpe_moments` and `expected_maximum_sharpe`.
    """
    benchmark = expected_maximum_sharpe(trials, trial_sharpe_variance)
    return probabilistic_sharpe_ratio(returns, benchmark=benchmark)


def minimum_track_record_length(
    returns: ArrayLike | SharpeMoments, *, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Sessions it takes until the probabilistic Sharpe ratio reaches `confidence`.

    Formula: 1 + (1 - skewness * SR + (kurtosis - 1) / 4 * SR^2) * (Phi^-1(confidence) /
    (SR - benchmark))^2; infinite where SR does not exceed the benchmark.
    Source: Bailey and López de Prado (2012), The Sharpe Ratio Efficient Frontier, Journal of
    Risk 15(2).

    Raises:
        InputError: as `sharpe_moments`, a benchmark that is not finite, or a confidence outside
            [0.5, 1).
    """
    where = "minimum_track_record_length"
    if not 0.5 <= confidence < 1:
        raise InputError(
            f"confidence is {confidence}", where=where, fix="give one of at least 0.5, below 1"
        )
    measured = _measured(returns)
    excess = _excess(measured, benchmark, where=where)
    if excess <= 0:
        return math.inf
    return 1 + measured.variance_factor * (_NORMAL.inv_cdf(confidence) / excess) ** 2


def _measured(returns: ArrayLike | SharpeMoments) -> SharpeMoments:
    return returns if isinstance(returns, SharpeMoments) else sharpe_moments(returns)


def _excess(measured: SharpeMoments, benchmark: float, *, where: str) -> float:
    if not math.isfinite(benchmark):
        raise InputError(
            f"benchmark is {benchmark}", where=where, fix="give a per-session Sharpe ratio"
        )
    return measured.sharpe - benchmark
