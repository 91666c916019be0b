import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation import probability_of_backtest_overfitting

UP, DOWN = [0.01, 0.03], [-0.01, -0.03]


def _noise(sessions, configurations, *, seed=0, size=0.01):
    return np.random.default_rng(seed).normal(0, size, (sessions, configurations))


def test_what_wins_in_one_half_only_is_overfitted_with_certainty():
    returns = np.array([UP + DOWN, DOWN + UP]).T
    result = probability_of_backtest_overfitting(returns, blocks=2)
    # Mean 0.02 over a standard deviation of 0.01 * sqrt(2), in sample; the reverse out of sample.
    assert result.in_sample == pytest.approx([math.sqrt(2)] * 2)
    assert result.out_of_sample == pytest.approx([-math.sqrt(2)] * 2)
    assert result.logits == pytest.approx([math.log(1 / 2)] * 2)
    assert (result.probability, result.probability_of_loss) == (1, 1)
    assert (result.slope, result.intercept) == (None, None)
    assert (result.splits, result.possible_splits) == (2, 2)


def test_what_wins_everywhere_is_not_overfitted_and_does_not_lose():
    returns = _noise(64, 5)
    returns[:, 3] = np.abs(returns[:, 3]) + 0.05
    result = probability_of_backtest_overfitting(returns, blocks=8)
    assert (result.probability, result.probability_of_loss) == (0, 0)
    assert result.logits == pytest.approx([math.log(5)] * 70)
    assert result.splits == result.possible_splits == 70


def test_sixteen_blocks_make_the_12870_splits_of_the_paper():
    result = probability_of_backtest_overfitting(_noise(320, 3))
    assert result.splits == result.possible_splits == 12_870


def test_without_skill_the_best_in_sample_is_no_better_than_the_median_on_average():
    shares = [
        probability_of_backtest_overfitting(_noise(200, 20, seed=seed), blocks=8).probability
        for seed in range(60)
    ]
    assert 0.4 < np.mean(shares) < 0.65


def test_ranks_splits_and_regression_are_those_of_a_slow_loop():
    returns = _noise(37, 6, seed=4)
    result = probability_of_backtest_overfitting(returns, blocks=6)
    blocks = np.array_split(returns, 6)
    expected = set()
    pairs = []
    for chosen in itertools.combinations(range(6), 3):
        seen = np.concatenate([blocks[at] for at in chosen])
        unseen = np.concatenate([blocks[at] for at in range(6) if at not in chosen])
        before = seen.mean(axis=0) / seen.std(axis=0, ddof=1)
        after = unseen.mean(axis=0) / unseen.std(axis=0, ddof=1)
        best = int(before.argmax())
        rank = stats.rankdata(after)[best]
        pairs.append((before[best], after[best]))
        expected.add((round(math.log(rank / (7 - rank)), 9), round(after[best], 9)))
    found = zip(result.logits.round(9), result.out_of_sample.round(9), strict=True)
    assert set(found) == expected
    assert result.splits == len(pairs) == 20
    line = stats.linregress(*zip(*pairs, strict=True))
    assert result.slope == pytest.approx(line.slope)
    assert result.intercept == pytest.approx(line.intercept)
    assert result.probability_of_loss == np.mean([after < 0 for _, after in pairs])


def test_configurations_that_are_all_alike_stand_at_the_median():
    returns = np.repeat(_noise(40, 1), 7, axis=1)
    result = probability_of_backtest_overfitting(returns, blocks=4)
    assert result.logits.tolist() == [0.0] * 6
    assert result.probability == 1


def test_those_tied_for_the_best_share_one_split():
    # The first two tie in sample at sqrt(2); out of sample they rank 1 and 3 of 3.
    returns = np.array([UP + DOWN, UP + UP, [*DOWN, 0.01, -0.01]]).T
    result = probability_of_backtest_overfitting(returns, blocks=2)
    first = np.flatnonzero(result.out_of_sample == 0)
    assert len(first) == 1
    assert result.logits[first] == pytest.approx([0])
    assert sorted(result.out_of_sample) == pytest.approx([0, math.sqrt(2)])
    assert result.probability_of_loss == 0.25


def test_a_configuration_that_does_not_move_has_the_sharpe_ratio_zero():
    returns = np.array([DOWN + DOWN, [0.0] * 4, [-0.1] * 4]).T
    result = probability_of_backtest_overfitting(returns, blocks=2)
    assert result.in_sample.tolist() == result.out_of_sample.tolist() == [0, 0]
    assert result.logits == pytest.approx([math.log(2.5 / 1.5)] * 2)
    assert result.probability_of_loss == 0


def test_a_half_without_movement_counts_as_none_although_the_rest_moves_wildly():
    for count in range(3, 30):
        wild = np.concatenate([np.full(count, 0.1), 1e3 * np.sqrt(np.arange(1, count + 1))])
        steady = np.tile([0.01, 0.09], count)
        returns = np.column_stack([wild, steady])
        result = probability_of_backtest_overfitting(returns, blocks=2)
        # The first half chooses the steady one, not the one that stands still there.
        assert result.in_sample[0] == pytest.approx(
            steady[:count].mean() / steady[:count].std(ddof=1)
        )


def test_copies_of_a_configuration_tie_wherever_they_stand():
    for count in range(2, 40):
        returns = np.repeat(_noise(60, 1, seed=count), count, axis=1)
        result = probability_of_backtest_overfitting(returns, blocks=6)
        assert result.logits.tolist() == [0.0] * 20


def test_too_many_splits_are_sampled_with_their_complements_and_by_seed():
    returns = _noise(240, 4, seed=2)
    result = probability_of_backtest_overfitting(returns, blocks=20, maximum_splits=1001, seed=5)
    again = probability_of_backtest_overfitting(returns, blocks=20, maximum_splits=1001, seed=5)
    other = probability_of_backtest_overfitting(returns, blocks=20, maximum_splits=1001, seed=6)
    assert (result.splits, result.possible_splits) == (1000, 184_756)
    assert np.array_equal(result.logits, again.logits)
    assert not np.array_equal(result.in_sample, other.in_sample)
    whole = probability_of_backtest_overfitting(returns, blocks=20, maximum_splits=200_000)
    assert whole.splits == whole.possible_splits
    assert result.probability == pytest.approx(whole.probability, abs=0.06)
    many = probability_of_backtest_overfitting(returns, blocks=60, maximum_splits=100)
    assert many.splits == 100


@pytest.mark.parametrize(
    ("returns", "blocks", "message"),
    [
        (np.empty((0, 3)), 4, "shape"),
        (np.zeros(10), 4, "shape"),
        (np.full((20, 2), np.nan), 4, "not finite"),
        (np.zeros((20, 1)), 4, "1 configurations"),
        (np.zeros((7, 2)), 4, "7 sessions"),
        (np.zeros((20, 2)), 3, "blocks is 3"),
        (np.zeros((20, 2)), 0, "blocks is 0"),
        (np.zeros((200, 2)), 62, "blocks is 62"),
    ],
)
def test_what_cannot_be_split_is_refused(returns, blocks, message):
    with pytest.raises(InputError, match=message):
        probability_of_backtest_overfitting(returns, blocks=blocks)


def test_fewer_than_one_pair_of_splits_is_refused():
    with pytest.raises(InputError, match="maximum_splits is 1"):
        probability_of_backtest_overfitting(_noise(20, 2), blocks=4, maximum_splits=1)


@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.integers(12, 40))
@settings(max_examples=40)
def test_neither_the_order_of_configurations_nor_their_leverage_matters(seed, count, sessions):
    random = np.random.default_rng(seed)
    # Rounded returns and a copied column make ties.
    returns = random.normal(0, 1, (sessions, count)).round(1)
    returns = np.hstack([returns, returns[:, :1]])
    result = probability_of_backtest_overfitting(returns, blocks=6)
    order = random.permutation(count + 1)
    leverage = 2.0 ** random.integers(-3, 4, count + 1)
    other = probability_of_backtest_overfitting((returns * leverage)[:, order], blocks=6)
    assert other.logits == pytest.approx(result.logits)
    assert other.probability == result.probability
    assert other.probability_of_loss == pytest.approx(result.probability_of_loss)
    assert 0 <= result.probability <= 1
    assert np.isfinite(result.logits).all()
