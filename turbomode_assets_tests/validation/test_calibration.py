import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation import (
    brier_score,
    class_shares,
    expected_calibration_error,
    reliability_curve,
)

FORECAST = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.05, 0.9, 0.05], [0.5, 0.2, 0.3]])
LABELS = np.array([0, 2, 1, 2], dtype=np.int8)


def class_is(name):
    return pl.col("class") == name


def test_four_rows_have_the_brier_score_that_paper_and_pencil_say():
    rows = [0.16 + 0.09 + 0.01, 0.04 + 0.04 + 0.16, 0.0025 + 0.01 + 0.0025, 0.25 + 0.04 + 0.49]
    assert brier_score(FORECAST, LABELS) == pytest.approx(sum(rows) / 4)
    assert brier_score(np.eye(3), np.array([0, 1, 2])) == 0
    assert brier_score(np.eye(3), np.array([1, 2, 0])) == 2
    assert brier_score(np.full((2, 3), 1 / 3), np.array([0, 1])) == pytest.approx(2 / 3)


def test_the_calibration_error_weighs_the_gap_of_each_bin_by_its_rows():
    # Confidences 0.6 and 0.6, both right; 0.9, right; 0.5, wrong.
    error = expected_calibration_error(FORECAST, LABELS)
    assert error == pytest.approx((2 * 0.4 + 0.1 + 0.5) / 4)
    # 0.6 is an edge: it belongs to the bin that begins there, and 0.59 to the one before.
    near = np.array([[0.6, 0.4, 0.0], [0.59, 0.41, 0.0]])
    error = expected_calibration_error(near, np.array([0, 1]))
    assert error == pytest.approx((0.4 + 0.59) / 2)


def test_the_reliability_curve_says_what_came_of_each_probability():
    curve = reliability_curve(FORECAST, LABELS)
    assert curve.columns == [
        "class", "lower", "upper", "rows", "mean_probability", "observed_share"
    ]  # fmt: skip
    buys = curve.filter(class_is("BUY")).rows()
    assert [row[3] for row in buys] == [1, 1, 1, 1]
    assert [row[4] for row in buys] == [0.05, 0.1, 0.3, 0.6]
    assert [row[5] for row in buys] == [0, 0, 1, 1]
    assert (buys[0][1], buys[-1][2]) == (0.05, 0.6)
    assert curve.filter(class_is("HOLD"))["rows"].to_list() == [2, 1, 1]


def test_equal_probabilities_stay_in_one_bin():
    forecast = np.tile([0.2, 0.5, 0.3], (6, 1))
    curve = reliability_curve(forecast, np.array([0, 1, 1, 2, 2, 2]))
    assert curve["rows"].to_list() == [6, 6, 6]
    assert curve["lower"].to_list() == curve["upper"].to_list() == [0.2, 0.5, 0.3]
    assert curve["observed_share"].to_list() == pytest.approx([1 / 6, 2 / 6, 3 / 6])


def test_bins_hold_equally_many():
    buy = np.linspace(0.01, 0.4, 40)
    forecast = np.column_stack([buy, 1 - 2 * buy, buy])
    curve = reliability_curve(forecast, np.zeros(40, dtype=int))
    assert curve["rows"].to_list() == [4] * 30


@pytest.mark.parametrize("judge", [brier_score, expected_calibration_error, reliability_curve])
@pytest.mark.parametrize(
    ("forecast", "labels", "message"),
    [
        (np.empty((0, 3)), np.empty(0, dtype=int), "do not belong together"),
        (FORECAST, LABELS[:3], "do not belong together"),
        (FORECAST[:, :2], LABELS, "do not belong together"),
        (np.full((4, 3), np.nan), LABELS, "do not sum to 1"),
        (FORECAST * 2, LABELS, "do not sum to 1"),
        (np.tile([-0.5, 0.5, 1.0], (4, 1)), LABELS, "4 rows hold a negative probability"),
        (FORECAST, np.array([0, 1, 2, 3]), "labels of type int64 hold 0, 1, 2, 3"),
        (FORECAST, LABELS.astype(float), "labels of type float64"),
    ],
)
def test_what_is_no_forecast_of_the_labels_is_refused(judge, forecast, labels, message):
    with pytest.raises(InputError, match=message):
        judge(forecast, labels)


@st.composite
def _forecasts(draw):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = draw(st.integers(1, 80))
    # Rounded, so that edges are hit and probabilities tie.
    forecast = random.dirichlet([1, 1, 1], rows).round(1)
    forecast[:, 2] = 1 - forecast[:, 0] - forecast[:, 1]
    return np.abs(forecast).round(12), random.integers(0, 3, rows)


@given(_forecasts())
@settings(max_examples=80)
def test_bins_lose_no_row_and_hold_what_lies_between_their_edges(drawn):
    forecast, labels = drawn
    forecast = forecast / forecast.sum(axis=1, keepdims=True)
    curve = reliability_curve(forecast, labels)
    assert (curve["rows"] > 0).all()
    assert curve["mean_probability"].is_between(curve["lower"] - 1e-9, curve["upper"] + 1e-9).all()
    for number, name in enumerate(("SELL", "HOLD", "BUY")):
        of_class = curve.filter(class_is(name))
        assert of_class["rows"].sum() == len(labels)
        assert (of_class["rows"] * of_class["mean_probability"]).sum() == pytest.approx(
            forecast[:, number].sum()
        )
        assert (of_class["rows"] * of_class["observed_share"]).sum() == pytest.approx(
            (labels == number).sum()
        )
    assert 0 <= expected_calibration_error(forecast, labels) <= 1


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60))
@settings(max_examples=40)
def test_forecasting_the_class_shares_is_calibrated_and_scores_their_spread(chosen):
    labels = np.array(chosen)
    shares = class_shares(labels)
    forecast = np.tile(shares, (len(labels), 1))
    assert brier_score(forecast, labels) == pytest.approx(1 - (shares**2).sum())
    curve = reliability_curve(forecast, labels)
    assert (curve["observed_share"] - curve["mean_probability"]).abs().max() < 1e-12
    assert expected_calibration_error(forecast, labels) == pytest.approx(0, abs=1e-12)
