import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import ContractError
from turbomode_assets.signals import decide
from turbomode_assets_tests.signals.builders import signals_config

CONFIG = signals_config(buy_threshold=0.4, sell_threshold=0.5)


def decided(sell, hold, buy, config=CONFIG):
    return decide(np.array([[sell, hold, buy]]), config).to_list()[0]


@pytest.mark.parametrize(
    ("sell", "hold", "buy", "signal"),
    [
        (0.10, 0.50, 0.40, "BUY"),
        (0.10, 0.51, 0.39, "HOLD"),
        (0.50, 0.40, 0.10, "SELL"),
        (0.49, 0.41, 0.10, "HOLD"),
        (0.55, 0.00, 0.45, "SELL"),
        (0.42, 0.08, 0.50, "BUY"),
        (0.45, 0.10, 0.45, "HOLD"),
        (0.50, 0.00, 0.50, "HOLD"),
        (0.46, 0.12, 0.42, "HOLD"),
        (0.00, 0.60, 0.40, "BUY"),
    ],
)
def test_a_side_needs_its_threshold_and_the_lead_over_the_other_side(sell, hold, buy, signal):
    assert decided(sell, hold, buy) == signal


def test_rows_are_decided_in_order_and_apart_from_each_other():
    signals = decide(np.array([[0.6, 0.4, 0.0], [0.0, 1.0, 0.0], [0.0, 0.2, 0.8]]), CONFIG)
    assert signals.to_list() == list(CLASSES)
    assert signals.name == "signal"


def test_no_rows_give_no_signals():
    assert decide(np.empty((0, 3)), CONFIG).to_list() == []


def test_float32_is_compared_as_it_is_stored():
    # 0.7 in float32 is 0.699999988: below the threshold in the table that people read.
    config = signals_config(buy_threshold=0.7, sell_threshold=0.7)
    row = np.array([[0.1, 0.2, 0.7]], dtype=np.float32)
    assert float(row[0, 2]) < 0.7
    assert decide(row, config).to_list() == ["HOLD"]


shares = st.floats(0, 1)


@given(shares, shares, shares, shares)
def test_buy_and_sell_are_mirror_images(a, b, buy_threshold, sell_threshold):
    low, high = sorted((a, b))
    row = np.array([[low, high - low, 1 - high]])
    config = signals_config(buy_threshold=buy_threshold, sell_threshold=sell_threshold)
    mirrored = signals_config(buy_threshold=sell_threshold, sell_threshold=buy_threshold)
    opposite = {"BUY": "SELL", "SELL": "BUY", "HOLD": "HOLD"}
    assert decide(row, config).to_list() == [opposite[decide(row[:, ::-1], mirrored).to_list()[0]]]


@given(shares, shares, shares, shares)
def test_a_higher_threshold_never_adds_a_signal(a, b, threshold, higher):
    low, high = sorted((a, b))
    row = np.array([[low, high - low, 1 - high]])
    threshold, higher = sorted((threshold, higher))
    strict = decide(row, signals_config(buy_threshold=higher, sell_threshold=higher))[0]
    loose = decide(row, signals_config(buy_threshold=threshold, sell_threshold=threshold))[0]
    assert strict in (loose, "HOLD")


@pytest.mark.parametrize(
    "row", [[0.5, 0.5, 0.1], [-0.1, 0.6, 0.5], [np.nan, 0.5, 0.5], [1.2, -0.1, -0.1]]
)
def test_what_is_no_probability_distribution_is_refused_by_row(row):
    with pytest.raises(ContractError, match="row 1: "):
        decide(np.array([[0.2, 0.3, 0.5], row]), CONFIG)


@pytest.mark.parametrize("shape", [(3,), (4, 2), (4, 4), (2, 3, 1)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ContractError, match="shaped"):
        decide(np.full(shape, 0.5), CONFIG)


def test_float32_rounding_of_the_sum_is_allowed():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5000, 3)).astype(np.float32)
    exponents = np.exp(logits)
    softmax = exponents / exponents.sum(axis=1, keepdims=True)
    assert decide(softmax.astype(np.float32), CONFIG).len() == 5000
