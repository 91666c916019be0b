import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from turbomode_assets.contracts.errors import ContractError, InputError, MissingDataError
from turbomode_assets.drift import kl_divergence, ks_statistic, population_stability_index

STATISTICS = [population_stability_index, kl_divergence, ks_statistic]
EIGHT = [1, 2, 3, 4, 5, 6, 7, 8]
HALF = [1, 1, 2, 2, 3, 4, 5, 8]
"""Shares 1/2, 1/4, 1/8, 1/8 over the four bins of EIGHT, whose own are 1/4 each."""


def test_the_index_of_known_shares_is_the_hand_worked_sum():
    found = population_stability_index(EIGHT, HALF, bins=4)
    assert found == pytest.approx(0.25 * math.log(2) + 2 * 0.125 * math.log(2), rel=1e-12)


def test_the_divergence_of_known_shares_is_the_hand_worked_sum():
    # 1/2 ln 2 + 1/4 ln 1 + 2 (1/8 ln 1/2) = 1/4 ln 2
    assert kl_divergence(EIGHT, HALF, bins=4) == pytest.approx(0.25 * math.log(2), rel=1e-12)


def test_the_largest_gap_of_known_shares_is_a_quarter():
    # Cumulated 1/2, 3/4, 7/8, 1 against 1/4, 1/2, 3/4, 1.
    assert ks_statistic(EIGHT, HALF, bins=4) == 0.25


def test_missing_values_are_a_bin_above_every_value():
    recent = [*EIGHT, *[None] * 8]
    assert ks_statistic(EIGHT, recent, bins=4) == 0.5
    emptied = 4 * ((1 / 8) * math.log(0.5) + 1 / 8) + 0.5 * math.log(0.5 / 1e-4) - 0.5 + 1e-4
    assert kl_divergence(EIGHT, recent, bins=4) == pytest.approx(emptied, rel=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(
    "values", [EIGHT, [3.0] * 5, [None, None], [0.1], [1, None, 1, 2]], ids=str
)
def test_the_same_values_are_at_distance_zero(statistic, values):
    assert statistic(values, values * 3) == 0


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("moved_to", [2.9, 3.1, None, math.inf, -math.inf])
def test_a_constant_that_moves_is_as_far_as_can_be(statistic, moved_to):
    furthest = {"population_stability_index": 2 * (1 - 1e-4) * math.log(1e4), "ks_statistic": 1}
    furthest["kl_divergence"] = math.log(1e4) + 1e-4 * math.log(1e-4)
    assert statistic([3.0] * 9, [moved_to] * 4) == pytest.approx(furthest[statistic.__name__])


@pytest.mark.parametrize("statistic", STATISTICS)
def test_one_reference_row_is_a_constant(statistic):
    assert statistic([5.0], [5.0, 5.0]) == 0
    assert statistic([5.0], [6.0]) == statistic([5.0] * 100, [6.0])


@pytest.mark.parametrize("statistic", STATISTICS)
def test_an_infinity_lies_in_the_outer_bin(statistic):
    assert statistic(EIGHT, [math.inf, 1], bins=4) == statistic(EIGHT, [8, 1], bins=4)
    assert statistic(EIGHT, [-math.inf, 8], bins=4) == statistic(EIGHT, [1, 8], bins=4)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_all_features_at_once_are_each_alone(statistic):
    rng = np.random.default_rng(5)
    reference, recent = rng.normal(size=(300, 4)), rng.normal(0.2, 1.3, size=(80, 4))
    reference[:, 1], recent[:40, 2], reference[::2, 3] = 1.0, np.nan, 0.0
    together = statistic(reference, recent)
    assert together.shape == (4,)
    assert together.tolist() == [statistic(reference[:, i], recent[:, i]) for i in range(4)]
    frames = [pl.DataFrame(values) for values in (reference, recent)]
    assert statistic(*frames).tolist() == together.tolist()


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(
    ("reference", "recent", "error", "said"),
    [
        ([], [1], MissingDataError, "reference values have no rows"),
        ([1], [], MissingDataError, "recent values have no rows"),
        ([1, math.inf], [1], ContractError, "1 values of feature 0 are infinite"),
        (["a"], [1], InputError, "reference values are not numbers"),
        ([[1, 2]], [[1]], InputError, r"\(1, 2\), recent \(1, 1\)"),
        (3.0, [1], InputError, "0 dimensions"),
    ],
)
def test_what_has_no_answer_is_refused(statistic, reference, recent, error, said):
    with pytest.raises(error, match=said):
        statistic(reference, recent)


def test_one_bin_is_refused():
    with pytest.raises(InputError, match="1 bins"):
        ks_statistic(EIGHT, EIGHT, bins=1)


samples = st.lists(st.integers(-20, 20) | st.none(), min_size=1, max_size=40)


@settings(max_examples=60)
@given(samples, samples)
def test_the_index_is_the_divergence_and_its_reverse_and_none_is_negative(reference, recent):
    index = population_stability_index(reference, recent)
    divergence, gap = kl_divergence(reference, recent), ks_statistic(reference, recent)
    assert 0 <= divergence <= index * (1 + 1e-9) + 1e-12
    assert 0 <= gap <= 1
    assert np.isfinite(index)
    # Pinsker: the divergence is at least half the squared sum of gaps; the floor adds a little.
    assert 2 * gap**2 <= divergence + 0.01


@settings(max_examples=60)
@given(samples, samples)
def test_a_rising_transformation_of_both_changes_nothing(reference, recent):
    def cubed(values):
        return [None if value is None else value**3 + 7 for value in values]

    for statistic in STATISTICS:
        assert statistic(cubed(reference), cubed(recent)) == statistic(reference, recent)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(-1, 1))
def test_the_gap_is_the_kolmogorov_smirnov_statistic_to_within_a_bin(seed, shift):
    rng = np.random.default_rng(seed)
    reference, recent = rng.normal(size=200), rng.normal(shift, 1, size=100)
    exact = ks_2samp(reference, recent).statistic
    assert exact - 1 / 50 - 0.15 <= ks_statistic(reference, recent, bins=50) <= exact + 1e-12
    assert ks_statistic(reference, recent, bins=200) == pytest.approx(exact, abs=0.02)
