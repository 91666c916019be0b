import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.config.judging import ValidationStrategyConfig
from turbomode_assets.contracts.errors import ContractError, InputError
from turbomode_assets.validation import require_no_leak, single_feature_auc
from turbomode_assets.validation.leakage import sampled_rows
from turbomode_assets_tests.config.builders import shipped

SELL, HOLD, BUY = 0, 1, 2
REASONS = np.array(["stop_loss", "expiry", "profit_take"])

EFFECTS: dict[str, object] = {"validation_strategy.maximum_feature_auc": 0.6}


def _areas(feature, labels):
    numbers = np.array(labels)
    values = np.array(feature, dtype=np.float32)[:, None]
    return single_feature_auc(values, numbers, REASONS[numbers])[0]


def _market(*, rows=2000, strength=0.0, seed=3):
    """Labels, and three features of which the second knows them as well as `strength` says."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, rows)
    values = random.normal(size=(rows, 3))
    values[:, 1] += strength * (labels - 1)
    return values.astype(np.float32), labels, REASONS[labels]


def test_the_area_is_the_share_of_pairs_that_the_feature_ranks_rightly():
    # BUY 3 beats 1 and 2, BUY 2 beats 1 and ties 2: 3.5 of 4 pairs.
    assert _areas([1, 2, 2, 3], [SELL, SELL, BUY, BUY]) == 3.5 / 4
    assert _areas([4, 5, 1, 1], [SELL, SELL, BUY, BUY]) == 0
    assert _areas([7, 7, 7], [SELL, BUY, BUY]) == 0.5


def test_rows_that_touched_no_barrier_are_not_ranked():
    assert _areas([1, 99, 2, -99], [SELL, HOLD, BUY, HOLD]) == 1
    values = np.array([[1], [2], [0]], dtype=np.float32)
    delisted = np.array(["stop_loss", "profit_take", "delisting"])
    assert single_feature_auc(values, np.array([SELL, BUY, BUY]), delisted).tolist() == [1]


def test_a_missing_value_is_left_out_of_its_own_feature_only():
    values = np.array([[1, 1], [math.nan, 2], [2, 3], [3, 4]], dtype=np.float32)
    labels = np.array([SELL, BUY, SELL, BUY])
    assert single_feature_auc(values, labels, REASONS[labels]).tolist() == [1, 0.75]


def test_infinities_are_largest_and_tie_with_themselves():
    assert _areas([math.inf, math.inf, -math.inf, 0], [SELL, BUY, SELL, BUY]) == (1.5 + 1) / 4


def test_a_feature_without_both_sides_has_no_area():
    assert math.isnan(_areas([1, 2], [BUY, BUY]))
    assert math.isnan(_areas([math.nan, 2], [SELL, BUY]))
    assert math.isnan(_areas([1, 2], [HOLD, HOLD]))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_areas_are_those_of_comparing_every_pair(seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, 40)
    values = random.integers(0, 6, (40, 4)).astype(np.float32)
    values[random.random(values.shape) < 0.1] = np.nan
    found = single_feature_auc(values, labels, REASONS[labels])
    for at, area in enumerate(found):
        buys = [v for v in values[labels == BUY, at] if v == v]
        sells = [v for v in values[labels == SELL, at] if v == v]
        points = [(b > s) + (b == s) / 2 for b in buys for s in sells]
        assert area == pytest.approx(np.mean(points)) if points else math.isnan(area)
    turned = single_feature_auc(-values, labels, REASONS[labels])
    assert turned == pytest.approx(1 - found, nan_ok=True)


def test_many_rows_are_sampled_always_alike_and_close_to_the_whole():
    values, labels, reasons = _market(rows=120_000, strength=0.3)
    found = single_feature_auc(values, labels, reasons)
    assert found.tolist() == single_feature_auc(values, labels, reasons).tolist()
    # Standard normal with means 0.6 apart: the normal distribution at 0.6 / sqrt(2).
    expected = 0.5 * math.erfc(-0.6 / math.sqrt(2) / math.sqrt(2))
    assert found == pytest.approx([0.5, expected, 0.5], abs=0.012)


def test_the_rows_judged_are_buys_and_sells_at_a_barrier():
    labels = np.array([SELL, HOLD, BUY, BUY, SELL])
    reasons = np.array(["stop_loss", "expiry", "delisting", "profit_take", "stop_loss"])
    assert sampled_rows(labels, reasons).tolist() == [0, 3, 4]
    with pytest.raises(InputError, match="labels 5, exit_reasons 4"):
        sampled_rows(labels, reasons[:4])


@pytest.mark.parametrize("rows", [600, 120_000])
def test_the_rows_judged_alone_give_the_same_areas_to_the_bit(rows):
    values, labels, reasons = _market(rows=rows, strength=0.3)
    chosen = sampled_rows(labels, reasons)
    assert len(chosen) == min(50_000, (labels != HOLD).sum())
    assert (np.diff(chosen) > 0).all()
    alone = single_feature_auc(values[chosen], labels[chosen], reasons[chosen])
    assert alone.tolist() == single_feature_auc(values, labels, reasons).tolist()


def test_a_feature_that_knows_the_outcome_is_named_with_the_remedy():
    values, labels, reasons = _market(strength=3.0)
    values[:, 2] = -values[:, 1]
    names = ["honest", "tomorrow", "mirrored"]
    with pytest.raises(ContractError, match="tomorrow") as caught:
        require_no_leak(values, names, labels, reasons, maximum_auc=0.75)
    assert "mirrored (AUC 0.0" in caught.value.what
    assert "honest" not in caught.value.what
    assert "maximum_feature_auc" in caught.value.fix


def test_tomorrows_return_is_caught_and_todays_is_not():
    random = np.random.default_rng(5)
    moves = random.normal(0, 0.01, (3000, 16))
    reached = moves[:, 1:].sum(axis=1)
    labels = np.where(reached > 0.02, BUY, np.where(reached < -0.02, SELL, HOLD))
    values = moves[:, :2].astype(np.float32)
    require_no_leak(values[:, :1], ["today"], labels, REASONS[labels], maximum_auc=0.6)
    with pytest.raises(ContractError, match="tomorrow"):
        require_no_leak(values, ["today", "tomorrow"], labels, REASONS[labels], maximum_auc=0.6)


def test_a_feature_of_a_few_rows_is_not_taken_for_a_leak():
    values, labels, reasons = _market(strength=3.0)
    values[60:, 1] = np.nan
    require_no_leak(values, list("abc"), labels, reasons, maximum_auc=0.75)
    with pytest.raises(ContractError, match="b \\(AUC"):
        require_no_leak(values, list("abc"), labels, reasons, maximum_auc=0.75, minimum_side_rows=5)


def test_the_bound_itself_is_believed():
    labels = np.array([SELL, SELL, BUY, BUY])
    values = np.array([[1], [3], [2], [4]], dtype=np.float32)
    rules = {"minimum_side_rows": 1}
    require_no_leak(values, ["a"], labels, REASONS[labels], maximum_auc=0.75, **rules)
    with pytest.raises(ContractError, match=r"AUC 0\.750"):
        require_no_leak(values, ["a"], labels, REASONS[labels], maximum_auc=0.74, **rules)
    require_no_leak(values, ["a"], labels, REASONS[labels], maximum_auc=1, **rules)


@pytest.mark.parametrize(("key", "value"), EFFECTS.items())
def test_the_key_decides_what_is_refused(key, value):
    section, name = key.split(".")
    content = shipped("turbomode_training_config.json")[section] | {name: 0.75}
    values, labels, reasons = _market(strength=0.4)

    def refuses(content):
        config = ValidationStrategyConfig.model_validate(content)
        limit = config.maximum_feature_auc
        try:
            require_no_leak(values, list("abc"), labels, reasons, maximum_auc=limit)
        except ContractError:
            return True
        return False

    assert not refuses(content)
    assert refuses(content | {name: value})


def test_inputs_that_do_not_belong_together_are_refused():
    values, labels, reasons = _market(rows=10)
    with pytest.raises(InputError, match="values 10, labels 9"):
        single_feature_auc(values, labels[:9], reasons)
    with pytest.raises(InputError, match="shape"):
        single_feature_auc(values[:, 0], labels, reasons)
    with pytest.raises(InputError, match="labels 0"):
        single_feature_auc(values[:0], labels[:0], reasons[:0])
    with pytest.raises(InputError, match="2 names for 3 features"):
        require_no_leak(values, ["a", "b"], labels, reasons, maximum_auc=0.7)
    for maximum in (0.5, 1.1, math.nan):
        with pytest.raises(InputError, match="maximum_auc"):
            require_no_leak(values, list("abc"), labels, reasons, maximum_auc=maximum)
