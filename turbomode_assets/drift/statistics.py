"""Three distances of recent rows from reference rows, over the reference's own bins.

In all of them a bin's share is its part of all rows, missing values included, so that a change in
how much is missing is a change like any other. None is a test: rows of one session and of
overlapping windows are not independent, so a p-value of theirs would mean nothing.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from turbomode_assets.contracts.errors import InputError, MissingDataError
from turbomode_assets.drift.bins import Counts, Values, freeze_bins

SHARE_FLOOR = 1e-4
"""A smaller share counts as this one, or an empty bin would make a logarithm infinite."""


def population_stability_index(
    reference: ArrayLike, recent: ArrayLike, *, bins: int = 10
) -> Values:
    """Measure how far recent values stand from reference values, each way around.

    Formula: sum over bins of (a - e) ln(a / e), where a is the bin's share of the recent rows and
    e of the reference rows, each at least `SHARE_FLOOR`; 0 where both agree, never infinite.
    Source: Siddiqi (2006), Credit Risk Scorecards; a symmetrised Kullback-Leibler divergence.

    Both arguments are [rows], or [rows, features] for all features at once; the answer has the
    shape [] or [features]. Edges are at the equal-count quantiles of `reference` alone (see
    `freeze_bins`).
    Missing: null and NaN have a bin of their own. A feature that is missing throughout both is 0.
    Constant: a bin of its own, between everything below and everything above.
    Tiny: fewer reference rows than `bins` have as many bins as distinct values.
    Infinite: a recent infinity lies in the outer bin on its side.

    Raises:
        MissingDataError: `reference` or `recent` has no rows.
        ContractError: a reference value is infinite.
        InputError: the shapes differ in features, something is no number, or `bins` is below 2.
    """
    return _measure(psi_of_shares, reference, recent, bins)


def kl_divergence(reference: ArrayLike, recent: ArrayLike, *, bins: int = 10) -> Values:
    """Measure the Kullback-Leibler divergence of recent from reference values, in nats.

    Formula: sum over bins of a ln(a / e) - a + e, with a and e as in `population_stability_index`.
    Source: Kullback and Leibler (1951), Annals of Mathematical Statistics 22(1), in the form for
    masses that need not sum to 1 (Csiszar 1991, Annals of Statistics 19(4)): with the floor they
    do not quite, and without the last two terms the sum could fall below 0. Where no bin is below
    the floor it is the usual sum of a ln(a / e). The index above is this one plus its reverse.

    Arguments, odd inputs and errors as in `population_stability_index`.
    """
    return _measure(kl_of_shares, reference, recent, bins)


def ks_statistic(reference: ArrayLike, recent: ArrayLike, *, bins: int = 10) -> Values:
    """Measure the largest gap between the two distribution functions, at the reference's edges.

    Formula: max over bins of |A - E|, the recent and reference shares summed up to and including
    the bin, the missing values' bin last, as if missing were above every value. From 0 to 1.
    Source: Smirnov (1939), Moscow University Mathematics Bulletin 2(2). Between edges the gap of
    the raw values may be larger, by no more than the reference or recent share of one bin.

    Arguments, odd inputs and errors as in `population_stability_index`.
    """
    return _measure(ks_of_shares, reference, recent, bins)


def psi_of_shares(actual: Values, expected: Values) -> Values:
    """Index of each feature from shares [..., bins]; bins empty in both add nothing."""
    a, e = np.maximum(actual, SHARE_FLOOR), np.maximum(expected, SHARE_FLOOR)
    index: Values = ((a - e) * np.log(a / e)).sum(axis=-1)
    return index


def kl_of_shares(actual: Values, expected: Values) -> Values:
    """Divergence of each feature from shares [..., bins]; bins empty in both add nothing."""
    a, e = np.maximum(actual, SHARE_FLOOR), np.maximum(expected, SHARE_FLOOR)
    # Each term is at least 0; rounding may leave one a hair below.
    divergence: Values = np.maximum(a * np.log(a / e) - a + e, 0.0).sum(axis=-1)
    return divergence


def ks_of_shares(actual: Values, expected: Values) -> Values:
    """Largest gap of each feature from shares [..., bins], the missing values' bin last."""
    gap: Values = np.abs(np.cumsum(actual - expected, axis=-1)).max(axis=-1)
    return gap


STATISTICS: dict[str, Callable[[Values, Values], Values]] = {
    "psi": psi_of_shares,
    "kl": kl_of_shares,
    "ks": ks_of_shares,
}
"""Column name of each statistic, and how it is made from shares."""


def statistics_of(windows: Counts, expected: Counts) -> dict[str, Values]:
    """Each statistic of window counts [windows, features, bins] against reference counts.

    Window by window, so that no sum depends on how many windows stand beside it.
    """
    shares = expected / expected.sum(axis=-1, keepdims=True)
    actual = [window / window.sum(axis=-1, keepdims=True) for window in windows]
    return {
        name: np.stack([distance(window, shares) for window in actual])
        for name, distance in STATISTICS.items()
    }


def _measure(
    distance: Callable[[Values, Values], Values],
    reference: ArrayLike,
    recent: ArrayLike,
    bins: int,
) -> Values:
    frozen, found = _columns(reference, "reference values"), _columns(recent, "recent values")
    if frozen.shape[1:] != found.shape[1:] or bins < 2:
        raise InputError(
            f"reference {frozen.shape}, recent {found.shape}, {bins} bins",
            where="a drift statistic",
            fix="pass [rows] twice or [rows, features] twice with the same features, and 2 bins "
            "or more",
        )
    shape = frozen.shape[1:]
    frozen, found = frozen.reshape(len(frozen), -1), found.reshape(len(found), -1)
    measured = np.empty(frozen.shape[1])
    for column in range(frozen.shape[1]):
        name = f"feature {column}"
        feature = freeze_bins(name, frozen[:, column], bins, where="reference values")
        counts = np.bincount(feature.bins_of(found[:, column]), minlength=len(feature.counts))
        expected = np.asarray(feature.counts) / len(frozen)
        measured[column] = distance(counts / len(found), expected)
    return measured.reshape(shape)


def _columns(values: ArrayLike, what: str) -> Values:
    try:
        columns = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{what} are not numbers: {error}",
            where="a drift statistic",
            fix="pass numbers, NaN where one is missing",
        ) from error
    if columns.ndim not in (1, 2):
        raise InputError(
            f"{what} have {columns.ndim} dimensions",
            where="a drift statistic",
            fix="pass [rows] or [rows, features]",
        )
    if not len(columns):
        raise MissingDataError(
            f"{what} have no rows", where="a drift statistic", fix="pass at least one row"
        )
    return columns
