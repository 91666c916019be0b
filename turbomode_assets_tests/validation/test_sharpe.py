import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation import (
    SharpeMoments,
    deflated_sharpe_ratio,
    expected_maximum_sharpe,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    sharpe_moments,
)

SESSIONS = 250


def test_four_returns_have_the_moments_that_paper_and_pencil_say():
    measured = sharpe_moments([0.01, 0.01, 0.01, 0.05])
    # Mean 0.02, deviations -1, -1, -1, 3 hundredths: m2 = 3, m3 = 6, m4 = 21.
    assert measured.observations == 4
    assert measured.sharpe == pytest.approx(0.02 / math.sqrt(12e-4 / 3))
    assert measured.skewness == pytest.approx(6 / 3**1.5)
    assert measured.kurtosis == pytest.approx(21 / 9)


def test_the_deflated_sharpe_ratio_agrees_with_the_example_of_its_paper():
    # Bailey and López de Prado (2014), "A numerical example": five years of 250 sessions.
    best = SharpeMoments(2.5 / math.sqrt(SESSIONS), skewness=-3, kurtosis=10, observations=1250)
    variance = 0.5 / SESSIONS
    assert expected_maximum_sharpe(100, variance) == pytest.approx(0.1132, abs=5e-5)
    deflated = deflated_sharpe_ratio(best, trials=100, trial_sharpe_variance=variance)
    assert deflated == pytest.approx(0.9004, abs=5e-5)
    fewer = deflated_sharpe_ratio(best, trials=46, trial_sharpe_variance=variance)
    assert fewer == pytest.approx(0.9505, abs=5e-5)
    normal = SharpeMoments(best.sharpe, skewness=0, kurtosis=3, observations=1250)
    assert deflated_sharpe_ratio(
        normal, trials=88, trial_sharpe_variance=variance
    ) == pytest.approx(0.9505, abs=5e-5)


def test_two_years_of_a_hedge_fund_are_less_sure_once_their_shape_is_known():
    # Bailey and López de Prado (2012): 24 months of mean 3.6 % and standard deviation 7.9 %.
    fund = SharpeMoments(0.036 / 0.079, skewness=-2.448, kurtosis=10.164, observations=24)
    assert probabilistic_sharpe_ratio(fund) == pytest.approx(0.913, abs=5e-4)
    normal = SharpeMoments(fund.sharpe, skewness=0, kurtosis=3, observations=24)
    assert probabilistic_sharpe_ratio(normal) == pytest.approx(0.981, abs=5e-4)


@pytest.mark.parametrize(
    ("periods", "skewness", "kurtosis", "years"),
    [(252, 0, 3, 2.73), (52, 0, 3, 2.83), (12, 0, 3, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_an_annual_sharpe_of_two_takes_this_long_to_prove_it_is_above_one(
    periods, skewness, kurtosis, years
):
    # Bailey and López de Prado (2012), section on the minimum track record length.
    track = SharpeMoments(2 / math.sqrt(periods), skewness, kurtosis, observations=10)
    length = minimum_track_record_length(track, benchmark=1 / math.sqrt(periods))
    assert length / periods == pytest.approx(years, abs=5e-3)


def test_a_sharpe_ratio_that_is_not_above_the_benchmark_never_proves_it():
    track = SharpeMoments(0.1, 0, 3, 100)
    assert minimum_track_record_length(track, benchmark=0.1) == math.inf
    assert probabilistic_sharpe_ratio(track, benchmark=0.1) == 0.5


def test_a_single_trial_was_not_selected_and_trials_that_agree_deflate_nothing():
    assert expected_maximum_sharpe(1, 0.3) == 0
    assert expected_maximum_sharpe(1000, 0.0) == 0
    track = SharpeMoments(0.1, 0, 3, 100)
    assert deflated_sharpe_ratio(
        track, trials=1, trial_sharpe_variance=1.0
    ) == probabilistic_sharpe_ratio(track)


def test_the_expected_maximum_is_that_of_simulated_trials_without_skill():
    random = np.random.default_rng(0)
    best = random.normal(0, 0.05, (20_000, 100)).max(axis=1)
    assert expected_maximum_sharpe(100, 0.05**2) == pytest.approx(best.mean(), rel=0.01)


def test_a_return_whose_error_vanishes_is_certain_either_way():
    # Two values whose mean is as far from zero as makes the estimate exact: SR = 2 / skewness.
    certain = SharpeMoments(2.0, skewness=1.0, kurtosis=2.0, observations=10)
    assert certain.variance_factor == 0
    assert probabilistic_sharpe_ratio(certain) == 1.0
    assert probabilistic_sharpe_ratio(certain, benchmark=3) == 0.0
    assert probabilistic_sharpe_ratio(certain, benchmark=2) == 0.5


@pytest.mark.parametrize("returns", [[], [[0.1, 0.2]], [0.1, math.nan], [0.1, math.inf]])
def test_returns_that_are_no_finite_series_are_refused(returns):
    for ask in (sharpe_moments, probabilistic_sharpe_ratio, minimum_track_record_length):
        with pytest.raises(InputError, match="returns"):
            ask(returns)


def test_returns_that_never_vary_have_no_sharpe_ratio():
    with pytest.raises(InputError, match="have no Sharpe ratio"):
        probabilistic_sharpe_ratio([0.1, 0.1, 0.1])
    with pytest.raises(InputError, match="have no Sharpe ratio"):
        probabilistic_sharpe_ratio([0.1])


def test_moments_and_settings_that_cannot_be_are_refused():
    track = SharpeMoments(0.1, 0, 3, 100)
    with pytest.raises(InputError, match=r"kurtosis is 1\.5"):
        SharpeMoments(0.1, skewness=1, kurtosis=1.5, observations=10)
    with pytest.raises(InputError, match="observations is 1"):
        SharpeMoments(0.1, 0, 3, 1)
    with pytest.raises(InputError, match="not finite"):
        SharpeMoments(math.nan, 0, 3, 10)
    with pytest.raises(InputError, match="trials is 0"):
        deflated_sharpe_ratio(track, trials=0, trial_sharpe_variance=0.1)
    with pytest.raises(InputError, match=r"variance is -0\.1"):
        deflated_sharpe_ratio(track, trials=3, trial_sharpe_variance=-0.1)
    with pytest.raises(InputError, match="variance is nan"):
        expected_maximum_sharpe(3, math.nan)
    with pytest.raises(InputError, match="benchmark is nan"):
        probabilistic_sharpe_ratio(track, benchmark=math.nan)
    with pytest.raises(InputError, match="confidence is 1"):
        minimum_track_record_length(track, confidence=1.0)


SERIES = st.lists(st.floats(-0.2, 0.2), min_size=5, max_size=60).filter(
    lambda values: np.std(values) > 1e-4
)


@given(SERIES)
@settings(max_examples=60)
def test_the_moments_are_those_of_scipy_and_do_not_depend_on_the_scale(returns):
    measured = sharpe_moments(returns)
    assert measured.skewness == pytest.approx(stats.skew(returns), abs=1e-9)
    assert measured.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False), abs=1e-9)
    scaled = sharpe_moments(np.array(returns) * 1e-6)
    assert scaled.sharpe == pytest.approx(measured.sharpe)
    assert scaled.kurtosis == pytest.approx(measured.kurtosis)


@given(SERIES, st.floats(-0.5, 0.5), st.integers(2, 1000))
@settings(max_examples=60)
def test_more_is_asked_with_a_higher_benchmark_and_with_more_trials(returns, benchmark, trials):
    loose = probabilistic_sharpe_ratio(returns, benchmark=benchmark)
    assert 0 <= probabilistic_sharpe_ratio(returns, benchmark=benchmark + 0.1) <= loose <= 1
    few = deflated_sharpe_ratio(returns, trials=trials, trial_sharpe_variance=0.01)
    assert deflated_sharpe_ratio(returns, trials=2 * trials, trial_sharpe_variance=0.01) <= few


@given(SERIES, st.floats(0.55, 0.99))
@settings(max_examples=60)
def test_a_track_of_the_minimum_length_reaches_exactly_the_confidence(returns, confidence):
    measured = sharpe_moments(returns)
    length = minimum_track_record_length(returns, confidence=confidence)
    if measured.sharpe <= 0:
        assert length == math.inf
    elif measured.variance_factor > 1e-9:
        scaled = measured.sharpe * math.sqrt(length - 1) / math.sqrt(measured.variance_factor)
        assert stats.norm.cdf(scaled) == pytest.approx(confidence)
