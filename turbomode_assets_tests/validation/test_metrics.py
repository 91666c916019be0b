import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation import class_shares, classification_report, row_log_losses

SHARES = np.array([0.25, 0.25, 0.5])


def test_four_rows_score_what_paper_and_pencil_say():
    probabilities = np.array([[0.6, 0.2, 0.2], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [0.5, 0.2, 0.3]])
    labels = np.array([0, 2, 1, 2], dtype=np.int8)
    reasons = np.array(["stop_loss", "profit_take", "expiry", "profit_take"])
    report = classification_report(
        probabilities, labels, training_shares=SHARES, exit_reasons=reasons
    )
    assert report["rows"] == 4
    assert report["counts"] == {"SELL": 1, "HOLD": 1, "BUY": 2}
    assert report["shares"] == {"SELL": 0.25, "HOLD": 0.25, "BUY": 0.5}
    assert report["accuracy"] == 0.75
    assert report["base_rate"] == 0.5
    assert report["log_loss"] == pytest.approx(-math.log(0.6 * 0.6 * 0.8 * 0.3) / 4)
    assert report["base_log_loss"] == pytest.approx(-math.log(0.25 * 0.5 * 0.25 * 0.5) / 4)
    assert report["auc"] == {"SELL": 1.0, "HOLD": 1.0, "BUY": 1.0}
    # p_buy / (p_buy + p_sell): SELL 0.25, BUY 0.75 and 0.375, both above.
    assert report["touched_rows"] == 3
    assert report["auc_buy_vs_sell"] == 1.0


def test_the_base_rate_is_that_of_the_training_majority_not_of_the_test_majority():
    uniform = np.full((4, 3), 1 / 3)
    labels = np.array([0, 0, 0, 2], dtype=np.int8)
    reasons = np.array(["stop_loss"] * 3 + ["profit_take"])
    report = classification_report(uniform, labels, training_shares=SHARES, exit_reasons=reasons)
    assert report["base_rate"] == 0.25
    assert report["auc_buy_vs_sell"] == 0.5


def test_rows_of_several_folds_may_each_bring_their_own_training_shares():
    uniform = np.full((2, 3), 1 / 3)
    labels = np.array([0, 2], dtype=np.int8)
    shares = np.array([[0.7, 0.1, 0.2], [0.1, 0.1, 0.8]])
    report = classification_report(
        uniform, labels, training_shares=shares, exit_reasons=np.array(["stop_loss", "profit_take"])
    )
    assert report["base_rate"] == 1.0
    assert report["base_log_loss"] == pytest.approx(-math.log(0.7 * 0.8) / 2)


def test_only_labels_that_touched_a_barrier_are_ranked_buy_against_sell():
    probabilities = np.array([[0.7, 0.1, 0.2], [0.2, 0.1, 0.7], [0.1, 0.1, 0.8]])
    labels = np.array([0, 2, 0], dtype=np.int8)
    reasons = np.array(["stop_loss", "profit_take", "delisting"])
    report = classification_report(
        probabilities, labels, training_shares=SHARES, exit_reasons=reasons
    )
    assert report["touched_rows"] == 2
    assert report["auc_buy_vs_sell"] == 1.0


def test_an_auc_without_both_sides_is_none():
    report = classification_report(
        np.full((2, 3), 1 / 3),
        np.array([2, 2], dtype=np.int8),
        training_shares=SHARES,
        exit_reasons=np.array(["profit_take", "profit_take"]),
    )
    assert report["auc_buy_vs_sell"] is None
    assert report["auc"] == {"SELL": None, "HOLD": None, "BUY": None}
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_scores_that_are_no_probabilities_and_shapes_that_do_not_match_are_refused():
    reasons = np.array(["expiry", "expiry"])
    labels = np.array([1, 1], dtype=np.int8)
    with pytest.raises(InputError, match="do not sum to 1"):
        classification_report(
            np.full((2, 3), np.nan), labels, training_shares=SHARES, exit_reasons=reasons
        )
    with pytest.raises(InputError, match="do not belong together"):
        classification_report(
            np.full((3, 3), 1 / 3), labels, training_shares=SHARES, exit_reasons=reasons
        )
    with pytest.raises(InputError, match="do not belong together"):
        classification_report(
            np.empty((0, 3)), labels[:0], training_shares=SHARES, exit_reasons=reasons[:0]
        )


@given(st.integers(0, 2**32 - 1), st.integers(2, 60))
@settings(max_examples=40)
def test_the_auc_is_the_area_that_scikit_learn_measures(seed, rows):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, rows).astype(np.int8)
    # Tenths, so that scores tie.
    sell, hold = random.integers(0, 6, (2, rows)) / 10
    forecast = np.column_stack([sell, hold, 1 - sell - hold])
    reasons = np.array(["stop_loss", "expiry", "profit_take"])[labels]
    report = classification_report(forecast, labels, training_shares=SHARES, exit_reasons=reasons)
    for number, name in enumerate(("SELL", "HOLD", "BUY")):
        if 0 < (labels == number).sum() < rows:
            expected = roc_auc_score(labels == number, forecast[:, number])
            assert report["auc"][name] == pytest.approx(expected)


def test_negative_probabilities_and_unknown_labels_are_refused():
    reasons = np.array(["expiry"])
    with pytest.raises(InputError, match="negative probability"):
        classification_report(
            np.array([[-0.5, 0.5, 1.0]]),
            np.array([1]),
            training_shares=SHARES,
            exit_reasons=reasons,
        )
    with pytest.raises(InputError, match="labels of type int64 hold 3"):
        classification_report(
            np.full((1, 3), 1 / 3), np.array([3]), training_shares=SHARES, exit_reasons=reasons
        )


def test_the_log_loss_of_each_row_is_that_of_the_label_that_came_true():
    forecast = np.array([[0.6, 0.2, 0.2], [0.0, 1.0, 0.0]])
    losses = row_log_losses(forecast, np.array([0, 2]))
    assert losses == pytest.approx([-math.log(0.6), -math.log(1e-15)])


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60))
@settings(max_examples=50)
def test_forecasting_the_class_shares_scores_the_base_log_loss_and_no_skill(chosen):
    labels = np.array(chosen, dtype=np.int8)
    shares = class_shares(labels)
    reasons = np.array(["stop_loss", "expiry", "profit_take"])[labels]
    report = classification_report(
        np.tile(shares, (len(labels), 1)), labels, training_shares=shares, exit_reasons=reasons
    )
    entropy = -sum(share * math.log(share) for share in shares if share)
    assert shares.sum() == pytest.approx(1)
    assert report["log_loss"] == report["base_log_loss"] == pytest.approx(entropy)
    assert report["accuracy"] == report["base_rate"] == pytest.approx(shares.max())
    assert all(auc in (None, 0.5) for auc in report["auc"].values())
