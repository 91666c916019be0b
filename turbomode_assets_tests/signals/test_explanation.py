"""The rule in words, the nine models' table, and places in history, by hand and by property."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import ContractError, InputError
from turbomode_assets.signals import decide
from turbomode_assets.signals.explanation import (
    deciding_rule,
    explained_classes,
    largest_difference,
    places_in_history,
    probability_table,
)
from turbomode_assets_tests.signals.builders import signals_config

CONFIG = signals_config(buy_threshold=0.4, sell_threshold=0.5)
NAN = float("nan")


@pytest.mark.parametrize(
    ("row", "signal", "rule"),
    [
        (
            (0.1, 0.5, 0.4),
            "BUY",
            "P(BUY) 0.4000 reaches its threshold 0.4000 and exceeds P(SELL) 0.1000",
        ),
        (
            (0.55, 0.0, 0.45),
            "SELL",
            "P(SELL) 0.5500 reaches its threshold 0.5000 and exceeds P(BUY) 0.4500",
        ),
        (
            (0.46, 0.12, 0.42),
            "HOLD",
            "P(BUY) 0.4200 reaches its threshold 0.4000 but is below P(SELL) 0.4600; "
            "P(SELL) 0.4600 is below its threshold 0.5000 but exceeds P(BUY) 0.4200",
        ),
        (
            (0.5, 0.0, 0.5),
            "HOLD",
            "P(BUY) 0.5000 reaches its threshold 0.4000 but equals P(SELL) 0.5000; "
            "P(SELL) 0.5000 reaches its threshold 0.5000 but equals P(BUY) 0.5000",
        ),
    ],
)
def test_the_rule_says_which_condition_holds_and_which_does_not(row, signal, rule):
    assert deciding_rule(np.array(row), CONFIG) == (signal, rule)


def test_a_threshold_missed_by_less_than_is_shown_is_written_in_full():
    signal, rule = deciding_rule(np.array([0.1, 0.50001, 0.39999]), CONFIG)
    assert signal == "HOLD"
    assert rule.startswith("P(BUY) 0.39999 is below its threshold 0.4 ")


def test_what_is_no_distribution_is_refused():
    with pytest.raises(ContractError, match="add up to 1"):
        deciding_rule(np.array([0.5, 0.5, 0.5]), CONFIG)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.floats(0, 1), st.floats(0, 1))
def test_the_explained_signal_is_always_the_decided_one(sell, hold, buy, for_buy, for_sell):
    row = np.array([sell, hold, buy]) / (sell + hold + buy)
    config = signals_config(buy_threshold=for_buy, sell_threshold=for_sell)
    signal, rule = deciding_rule(row, config)
    assert signal == decide(row[None, :], config).item()
    assert (" reaches " in rule and " and exceeds " in rule) == (signal != "HOLD")


def test_the_stack_stands_below_the_base_models():
    table = probability_table(
        ["one", "two"], np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]), np.array([0.2, 0.2, 0.6])
    )
    assert table.rows() == [
        ("one", 0.1, 0.2, 0.7),
        ("two", 0.3, 0.3, 0.4),
        ("stack", 0.2, 0.2, 0.6),
    ]


@pytest.mark.parametrize(("base", "stack"), [((3, 3), 3), ((2, 2), 3), ((2, 3), 2)])
def test_probabilities_of_another_shape_are_refused(base, stack):
    with pytest.raises(InputError, match="2 names"):
        probability_table(["one", "two"], np.full(base, 0.3), np.full(stack, 0.3))


def test_what_is_not_a_number_is_never_equal_to_what_is_stored():
    stored = np.array([0.2, 0.3, 0.5])
    assert largest_difference(stored, np.array([0.2, 0.25, 0.55])) == pytest.approx(0.05)
    assert largest_difference(stored, np.array([0.2, NAN, 0.5])) == float("inf")


def test_places_by_hand():
    history = pl.DataFrame(
        {
            "highest": [1.0, 2.0, 3.0, 4.0],
            "lowest": [4.0, 3.0, 2.0, 1.0],
            "constant": [7.0, 7.0, 7.0, 7.0],
            "tied": [1.0, 2.0, 5.0, 2.0],
            "young": [NAN, NAN, 1.0, 2.0],
            "missing": [1.0, 2.0, 3.0, NAN],
            "never": [NAN, NAN, NAN, NAN],
        },
        schema_overrides={"highest": pl.Float32},
    )
    assert places_in_history(history, history.columns).rows() == [
        ("highest", 87.5, 4),
        ("lowest", 12.5, 4),
        ("constant", 50.0, 4),
        ("tied", 50.0, 4),
        ("young", 75.0, 2),
        ("missing", None, 3),
        ("never", None, 0),
    ]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_turning_the_sign_of_a_feature_turns_its_place(values):
    history = pl.DataFrame({"up": values, "down": [-value for value in values]})
    up, down = places_in_history(history, ["up", "down"])["percentile"]
    assert 0 < up < 100
    assert up + down == pytest.approx(100)


def test_without_any_session_there_is_no_place():
    with pytest.raises(InputError, match="no session"):
        places_in_history(pl.DataFrame({"a": pl.Series([], dtype=pl.Float32)}), ["a"])


def test_a_hold_is_explained_by_both_sides():
    assert explained_classes("HOLD") == ("BUY", "SELL")
    assert explained_classes("BUY") == ("BUY",)
    assert explained_classes("SELL") == ("SELL",)
