import json
import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbomode_assets.config.gate_rules import AT_LEAST, GateRule, gate_rules
from turbomode_assets.config.judging import ModelPromotionGateConfig
from turbomode_assets.config.loader import load_training_config
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.ensemble import promotion
from turbomode_assets.ensemble.promotion import FIGURES, RULES, improvement_lag, judge_promotion
from turbomode_assets.validation import PairedImprovement
from turbomode_assets_tests.config.builders import CONFIGS

GATE = load_training_config(CONFIGS).model_promotion_gate.model_dump() | {
    "minimum_accuracy_gain": 0.0,
    "minimum_precision_gain": 0.0,
    "minimum_recall": 0.1,
    "minimum_log_loss_gain": 0.0,
    "maximum_calibration_error": 0.05,
    "minimum_sharpe": 0.5,
    "minimum_deflated_probability": 0.95,
    "maximum_probability_of_loss": 0.1,
    "regime_minimum_rows": 1000,
    "regime_log_loss_gain": -0.02,
    "improvement_p_value": 0.05,
    "improvement_lag_horizons": 3.0,
    "shadow_sessions": 0,
    "ab_share": 0.0,
}
GOOD = {
    # Of rules that no test here is about, what passes by far.
    rule.figure: GATE[name] + (1 if rule.bound == AT_LEAST else -1)
    for name, rule in gate_rules(ModelPromotionGateConfig).items()
} | {
    "accuracy_gain": 0.02,
    "precision_gain": 0.03,
    "recall": 0.3,
    "log_loss_gain": 0.004,
    "calibration_error": 0.02,
    "sharpe": 1.4,
    "deflated_probability": 0.98,
    "probability_of_loss": 0.04,
}
REGIMES = pl.DataFrame(
    {
        "regime": ["bull", "bear", "high_volatility"],
        "judged_rows": [9000, 1500, 400],
        "log_loss": [1.05, 1.06, 1.50],
        "base_log_loss": [1.06, 1.05, 1.10],
    }
)
BETTER = PairedImprovement(0.004, 0.001, 4.0, 0.01, 250, 6000, 42)
HORIZON = 14
JUDGED = len(gate_rules(ModelPromotionGateConfig)) + 1
"""Every rule once, that of regimes for the two that have enough rows."""

EFFECTS: dict[str, object] = {
    "model_promotion_gate.minimum_accuracy_gain": 0.021,
    "model_promotion_gate.minimum_precision_gain": 0.031,
    "model_promotion_gate.minimum_recall": 0.31,
    "model_promotion_gate.minimum_log_loss_gain": 0.005,
    "model_promotion_gate.maximum_calibration_error": 0.01,
    "model_promotion_gate.minimum_sharpe": 1.5,
    "model_promotion_gate.minimum_deflated_probability": 0.99,
    "model_promotion_gate.maximum_probability_of_loss": 0.03,
    "model_promotion_gate.regime_minimum_rows": 300,
    "model_promotion_gate.regime_log_loss_gain": 0.0,
    "model_promotion_gate.improvement_p_value": 0.001,
}
"""Each makes the model that passed fail; the other keys of the section act elsewhere."""


def gate(**changes):
    return ModelPromotionGateConfig(**(GATE | changes))


def judge(figures=GOOD, regimes=REGIMES, config=None, improvement=BETTER):
    return judge_promotion(figures, regimes, config or gate(), improvement=improvement)


def failed(decision):
    return [rule.name for rule in decision.rules if not rule.passed]


def test_a_model_that_passes_every_rule_is_promoted():
    decision = judge()
    assert decision.passed
    assert decision.reason == f"all {JUDGED} rules passed"
    assert [rule.name for rule in decision.rules] == [
        *FIGURES,
        "regime_log_loss_gain[bear]",
        "regime_log_loss_gain[bull]",
        "improvement_p_value",
    ]
    bear = decision.rules[len(FIGURES)]
    assert bear.figure == pytest.approx(-0.01)
    assert (bear.threshold, bear.bound, bear.passed) == (-0.02, "at least", True)


@pytest.mark.parametrize("key", EFFECTS)
def test_each_key_of_the_gate_turns_the_verdict(key):
    stricter = judge(config=gate(**{key.split(".")[1]: EFFECTS[key]}))
    assert judge().passed
    assert not stricter.passed
    assert len(failed(stricter)) == 1


def test_each_rule_is_named_like_its_key():
    stems = {key.removeprefix("minimum_").removeprefix("maximum_") for key in GATE}
    assert {rule.name.partition("[")[0] for rule in judge().rules} <= stems


def test_a_figure_at_its_threshold_passes():
    at = GOOD | {"sharpe": 0.5, "calibration_error": 0.05, "log_loss_gain": 0.0}
    assert judge(figures=at).passed


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_a_figure_that_was_not_measured_fails_its_rule_and_says_so(name, missing):
    decision = judge(figures=GOOD | {name: missing})
    assert failed(decision) == [name]
    assert decision.reason.startswith(f"1 of {JUDGED} rules failed: {name} not measured, asked at ")
    assert json.loads(decision.to_json())[FIGURES.index(name)]["figure"] is None


def test_a_figure_that_was_not_handed_over_is_an_error():
    with pytest.raises(InputError, match="not handed over: sharpe"):
        judge(figures={name: 0.5 for name in FIGURES if name != "sharpe"})
    with pytest.raises(InputError, match="base_log_loss") as error:
        judge(regimes=REGIMES.drop("base_log_loss"))
    assert "None where it could not be measured" in error.value.fix


def test_the_first_champion_needs_all_rules_but_the_comparison():
    first = judge(improvement=None)
    assert first.passed
    assert len(first.rules) == JUDGED - 1
    assert not judge(figures=GOOD | {"log_loss_gain": -0.001}, improvement=None).passed


@pytest.mark.parametrize("p_value", [0.2, math.nan])
def test_a_challenger_that_is_no_better_than_the_champion_is_refused(p_value):
    alike = PairedImprovement(0.0, 0.001, 0.0, p_value, 250, 6000, 42)
    assert failed(judge(improvement=alike)) == ["improvement_p_value"]


def test_a_regime_below_its_floor_refuses_and_is_named():
    worse = REGIMES.with_columns(log_loss=pl.Series([1.05, 1.08, 1.50]))
    decision = judge(regimes=worse)
    assert failed(decision) == ["regime_log_loss_gain[bear]"]
    assert "regime_log_loss_gain[bear] -0.03, asked at least -0.02" in decision.reason


def test_a_regime_without_a_measured_loss_fails():
    unmeasured = REGIMES.with_columns(log_loss=pl.Series([1.05, None, None]))
    assert failed(judge(regimes=unmeasured)) == ["regime_log_loss_gain[bear]"]


def test_regimes_of_too_few_rows_are_not_judged():
    few = judge(config=gate(regime_minimum_rows=10_000))
    assert not [rule for rule in few.rules if rule.name.startswith("regime")]


def test_the_rules_are_written_for_the_log_as_they_were_judged():
    written = json.loads(judge().to_json())
    assert written[2] == {
        "name": "recall",
        "figure": 0.3,
        "threshold": 0.1,
        "bound": "at least",
        "passed": True,
    }


def test_the_lag_of_the_paired_test_is_counted_in_horizons_and_rounded_up():
    assert improvement_lag(gate(), HORIZON) == 42
    assert improvement_lag(gate(improvement_lag_horizons=1.1), 14) == 16
    # 1.1 * 10 is 11.000000000000002 in floats.
    assert improvement_lag(gate(improvement_lag_horizons=1.1), 10) == 11


@given(st.floats(1, 20), st.integers(1, 63))
def test_the_lag_is_never_below_the_horizon(horizons, horizon):
    lag = improvement_lag(gate(improvement_lag_horizons=horizons), horizon)
    assert horizon <= lag < horizons * horizon + 1


@given(st.sampled_from(FIGURES), st.floats(-2, 2), st.floats(0, 2))
def test_a_better_figure_never_turns_a_pass_into_a_refusal(name, figure, better):
    (rule,) = (each for each in RULES.values() if each.figure == name)
    sign = 1 if rule.bound == AT_LEAST else -1
    if judge(figures=GOOD | {name: figure}).passed:
        assert judge(figures=GOOD | {name: figure + sign * better}).passed


def test_every_rule_bounds_a_figure_and_says_what_it_is():
    declared = gate_rules(ModelPromotionGateConfig)
    assert len({rule.figure for rule in declared.values()}) == len(declared)
    for key, rule in declared.items():
        assert rule.sentence.endswith("."), key
        assert rule.bound in ("at least", "at most"), key


def test_a_rule_that_is_declared_is_judged(monkeypatch):
    rule = GateRule("auc", AT_LEAST, "Area under the curve.")
    monkeypatch.setitem(promotion.RULES, "minimum_recall", rule)
    decision = judge(figures=GOOD | {"auc": 0.05})
    (result,) = [each for each in decision.rules if each.name == "auc"]
    assert (result.threshold, result.passed) == (0.1, False)
