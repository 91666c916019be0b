import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation import (
    paired_improvement,
    session_demeaned_returns,
    session_demeaned_sharpe,
)
from turbomode_assets_tests.validation.builders import make_days


def test_four_sessions_without_lag_are_a_plain_mean_and_its_error():
    saved = np.array([0.1, 0.3, 0.1, 0.3])
    result = paired_improvement(saved, np.zeros(4), make_days(0, 1, 2, 3), lag=0)
    assert result.improvement == pytest.approx(0.2)
    # Deviations of 0.1: squares 0.04 in all, over 4 * 3.
    assert result.standard_error == pytest.approx(math.sqrt(0.04 / 12))
    assert result.statistic == pytest.approx(0.2 / math.sqrt(0.04 / 12))
    assert (result.sessions, result.rows, result.lag) == (4, 4, 0)


def test_a_lag_of_one_adds_neighbours_with_half_their_weight():
    saved = np.array([1.0, 1.0, -1.0, -1.0, 2.0])
    result = paired_improvement(saved, np.zeros(5), make_days(0, 1, 2, 3, 4), lag=1)
    # Deviations 0.6, 0.6, -1.4, -1.4, 1.6: squares 7.2, neighbours -0.76; 7.2 + 2 * 0.5 * -0.76.
    assert result.improvement == pytest.approx(0.4)
    assert result.standard_error == pytest.approx(math.sqrt(6.44 / 20))


def test_sessions_count_once_however_many_rows_they_have():
    champion = np.array([0.5, 0.7, 0.9, 0.4])
    result = paired_improvement(champion, np.full(4, 0.3), make_days(0, 0, 0, 1), lag=0)
    assert result.improvement == pytest.approx(((0.2 + 0.4 + 0.6) / 3 + 0.1) / 2)
    assert (result.sessions, result.rows) == (2, 4)


def test_neighbours_are_sessions_of_the_calendar_not_of_the_rows():
    saved = np.array([1.0, 1.0, -1.0, -1.0])
    # With a session left out between each two, nothing is one session apart.
    apart = paired_improvement(saved, np.zeros(4), make_days(0, 2, 4, 6), lag=1)
    assert apart.standard_error == pytest.approx(math.sqrt(4 / 12))
    # A weekend leaves nothing out: 2016-01-08 and 2016-01-11 are neighbours.
    beside = paired_improvement(saved, np.zeros(4), make_days(3, 4, 5, 6), lag=1)
    assert beside.standard_error == pytest.approx(math.sqrt((4 + 1) / 12))


@pytest.mark.parametrize(
    ("share", "critical", "level"),
    [(0.1, 1.6449 + 0.21859 + 0.003142 - 0.0003427, 0.05), (0.2, 2.3263 + 0.832 + 0.0142, 0.01)],
)
def test_the_published_critical_values_have_their_level(share, critical, level):
    # A series whose statistic is the critical value: shift a wave, which has a mean of zero.
    count = 40
    days = make_days(*range(count))
    wave = np.tile([0.01, -0.01], count // 2)
    lag = round(share * count) - 1
    error = paired_improvement(wave, np.zeros(count), days, lag=lag).standard_error
    result = paired_improvement(wave + critical * error, np.zeros(count), days, lag=lag)
    assert result.p_value == pytest.approx(level, abs=2e-4)


def test_losses_that_are_alike_show_no_improvement_and_a_constant_gain_is_certain():
    days, losses = make_days(0, 1, 2, 3), np.full(4, 0.5)
    same = paired_improvement(losses, losses, days, lag=1)
    assert (same.improvement, same.statistic, same.p_value) == (0, 0, 0.5)
    better = paired_improvement(losses, losses - 0.25, days, lag=1)
    assert (better.statistic, better.p_value) == (math.inf, 0)
    worse = paired_improvement(losses - 0.25, losses, days, lag=1)
    assert (worse.statistic, worse.p_value) == (-math.inf, 1)


def test_overlapping_labels_without_skill_seldom_pass_for_better():
    random = np.random.default_rng(8)
    days = make_days(*range(504))
    shares = {}
    for lag, trials in ((0, 40), (42, 150)):
        values = []
        for _ in range(trials):
            steps = np.concatenate([[0], np.cumsum(random.normal(size=504 + 14))])
            saved = steps[15:] - steps[:-15]
            values.append(paired_improvement(saved, np.zeros(504), days, lag=lag).p_value)
        shares[lag] = np.mean(np.array(values) < 0.05)
    assert shares[42] < 0.1
    assert shares[0] > 0.25


def test_losses_that_cannot_be_compared_are_refused():
    days, losses = make_days(0, 1, 2, 3), np.arange(4.0)
    with pytest.raises(InputError, match="champion_loss 4, challenger_loss 3, sessions 4"):
        paired_improvement(losses, losses[:3], days, lag=0)
    with pytest.raises(InputError, match="shape"):
        paired_improvement([], [], days[:0], lag=0)
    with pytest.raises(InputError, match="1 of 4 values of challenger_loss are not finite"):
        paired_improvement(losses, np.array([1, 2, math.nan, 4]), days, lag=0)
    with pytest.raises(InputError, match="lag is -1"):
        paired_improvement(losses, losses, days, lag=-1)
    with pytest.raises(InputError, match="4 sessions are too few for a lag of 2"):
        paired_improvement(losses, losses, days, lag=2)
    saturday = np.array(["2016-01-09"] * 4, "datetime64[D]")
    with pytest.raises(InputError, match="2016-01-09"):
        paired_improvement(losses, losses, saturday, lag=0)


@given(st.integers(0, 2**32 - 1), st.integers(12, 60), st.integers(0, 5))
@settings(max_examples=25)
def test_swapping_the_two_turns_the_result_round_and_units_do_not_matter(seed, rows, lag):
    random = np.random.default_rng(seed)
    days = make_days(*np.concatenate([np.arange(12), random.integers(0, 40, rows - 12)]))
    champion, challenger = random.exponential(size=(2, rows))
    one = paired_improvement(champion, challenger, days, lag=lag)
    other = paired_improvement(challenger, champion, days, lag=lag)
    scaled = paired_improvement(champion * 8, challenger * 8, days, lag=lag)
    order = random.permutation(rows)
    shuffled = paired_improvement(champion[order], challenger[order], days[order], lag=lag)
    assert other.improvement == pytest.approx(-one.improvement)
    assert other.p_value == pytest.approx(1 - one.p_value)
    assert scaled.p_value == pytest.approx(one.p_value)
    assert shuffled.p_value == pytest.approx(one.p_value)
    assert (one.p_value < 0.5) == (one.improvement > 0)
    # Wider than the normal distribution, in both tails.
    normal = stats.norm.sf(one.statistic)
    assert abs(one.p_value - 0.5) <= abs(normal - 0.5) + 1e-12


def test_what_a_session_shares_is_taken_out():
    days = make_days(0, 1, 0, 1)
    found = session_demeaned_returns([0.10, -0.05, 0.20, -0.05], days)
    assert found == pytest.approx([-0.05, 0, 0.05, 0])


def test_a_sharpe_ratio_against_the_session_pays_for_selection_only():
    days = make_days(0, 0, 1, 1)
    returns = [0.10, 0.20, -0.30, -0.10]
    # Long the better, short the worse: means of 0.05 and 0.10; mean 0.075 over 0.0354.
    found = session_demeaned_sharpe([-1, 1, -1, 1], returns, days)
    assert found == pytest.approx(0.075 / math.sqrt(2 * 0.025**2))
    with pytest.raises(InputError, match="have no Sharpe ratio"):
        session_demeaned_sharpe([0, 0, 0, 0], returns, days)


def test_returns_without_their_sessions_are_refused():
    days = make_days(0, 1)
    with pytest.raises(InputError, match="returns 2, sessions 1"):
        session_demeaned_returns([0.1, 0.2], days[:1])
    with pytest.raises(InputError, match="1 sessions are missing"):
        session_demeaned_returns([0.1, 0.2], np.array(["2016-01-04", "NaT"], "datetime64[D]"))
    with pytest.raises(InputError, match="not finite"):
        session_demeaned_returns([0.1, math.inf], days)
    with pytest.raises(InputError, match="positions 1, returns 2"):
        session_demeaned_sharpe([1.0], [0.1, 0.2], days)


@given(st.integers(0, 2**32 - 1), st.integers(1, 50))
@settings(max_examples=40)
def test_a_move_of_the_whole_session_changes_nothing(seed, rows):
    random = np.random.default_rng(seed)
    numbers = random.integers(0, 10, rows)
    returns, moves = random.normal(size=rows), random.normal(size=10)
    plain = session_demeaned_returns(returns, make_days(*numbers))
    moved = session_demeaned_returns(returns + moves[numbers], make_days(*numbers))
    assert moved == pytest.approx(plain, abs=1e-12)
    assert np.bincount(numbers, weights=plain) == pytest.approx(0, abs=1e-12)
