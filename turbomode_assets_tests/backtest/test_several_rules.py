"""Signals of several models, each with its own barriers, entry and horizon."""

import polars as pl
import pytest

from turbomode_assets.backtest import simulate
from turbomode_assets.contracts.errors import ContractError, MissingDataError
from turbomode_assets.labels import triple_barrier
from turbomode_assets_tests.backtest.builders import (
    CONFIG,
    FREE,
    QUIET,
    RULE,
    by_hand,
    random_case,
    session,
    signals,
)
from turbomode_assets_tests.backtest.stored import span_of

AT_CLOSE = RULE.model_copy(
    update={"entry": "close", "horizon_sessions": 2, "volatility_window_sessions": 7}
)
NAMES = ("trades", "equity", "figures", "signals")


def mixed_case(first="m1", second="m2"):
    """A market made by chance in which the even symbols are another model's, by another rule."""
    case = random_case()
    is_second = pl.col("symbol").str.slice(1).cast(pl.Int32) % 2 == 0
    model = pl.when(is_second).then(pl.lit(second)).otherwise(pl.lit(first))
    others = triple_barrier(case.bars, AT_CLOSE, known_in=span_of(case.bars))
    predictions = case.predictions.filter(
        pl.col("symbol") != "S00", pl.col("session") > session(9)
    ).with_columns(model_version=model)
    labels = pl.concat([case.labels.filter(~is_second), others.filter(is_second)])
    return predictions, labels, case.bars


def run(predictions, labels, bars, rules, config=CONFIG):
    return simulate(predictions, labels, bars, config, rule=rules)


def test_one_rule_for_all_and_the_same_for_each_model_are_the_same():
    case = random_case()
    one, each = case.run(), run(case.predictions, case.labels, case.bars, {"m1": RULE})
    for name in NAMES:
        assert getattr(one, name).equals(getattr(each, name)), name


def test_each_model_enters_and_exits_by_its_own_rule():
    predictions, labels, bars = mixed_case()
    rules = {"m1": RULE, "m2": AT_CLOSE}
    result = run(
        predictions, labels, bars, rules, FREE.model_copy(update={"maximum_positions": 99})
    )
    closed = result.trades.filter(pl.col("exit_session").is_not_null())
    told = closed.rename({"signal_session": "decision_session"}).join(
        labels, on=["symbol", "decision_session"], how="left", suffix="_label", validate="1:1"
    )
    for name in ("entry_session", "exit_session", "entry_price", "exit_price", "exit_reason"):
        assert told[name].equals(told[f"{name}_label"], check_names=False), name
    lags = told.group_by("model_version").agg(
        at_once=(pl.col("entry_session") == pl.col("decision_session")).mean()
    )
    assert dict(lags.iter_rows()) == {"m1": 0.0, "m2": 1.0}


def test_models_that_share_no_limit_earn_what_they_earn_alone():
    predictions, labels, bars = mixed_case()
    rules = {"m1": RULE, "m2": AT_CLOSE}
    config = FREE.model_copy(update={"maximum_positions": 99})
    both = run(predictions, labels, bars, rules, config).trades
    for model in rules:
        mine = predictions.filter(model_version=model)
        alone = run(mine, labels, bars, rules, config).trades
        shared = both.filter(model_version=model)
        for name in ("symbol", "signal_session", "exit_session"):
            assert alone[name].equals(shared[name]), name
        assert (alone["return"] - shared["return"]).abs().max() < 1e-12


def test_signals_of_a_model_without_a_rule_are_counted_and_nothing_else_changes():
    predictions, labels, bars = mixed_case()
    result = run(predictions, labels, bars, {"m1": RULE})
    alone = run(
        predictions.with_columns(
            signal=pl.when(model_version=pl.lit("m2")).then(pl.lit("HOLD")).otherwise("signal")
        ),
        labels,
        bars,
        {"m1": RULE},
    )
    left_out = predictions.filter(pl.col("signal") != "HOLD", model_version="m2").height
    assert dict(result.signals.iter_rows())["no_rule"] == left_out > 0
    assert result.trades.equals(alone.trades)
    assert result.equity.equals(alone.equity)


def test_without_any_rule_there_is_a_flat_line():
    predictions, labels, bars = mixed_case()
    result = run(predictions, labels, bars, {})
    assert result.trades.is_empty()
    assert set(result.equity["equity"]) == {100_000.0}


def test_each_window_is_asked_for_its_own_volatility():
    # AAA moves in its last five closes only by the shorter window; ZZZ is short of one close.
    case = by_hand(("AAA", 5, "BUY", 0.6), later={"AAA": [QUIET, QUIET]})
    sent = pl.concat(
        [
            signals(("AAA", 5, "BUY", 0.6)).with_columns(model_version=pl.lit(model))
            for model in ("m1", "m2")
        ]
    )
    rules = {"m1": RULE, "m2": RULE.model_copy(update={"volatility_window_sessions": 6})}
    for model, fate in (("m1", "traded"), ("m2", "no_volatility")):
        mine = sent.filter(model_version=model)
        counts = run(mine, case.labels.clear(), case.bars, rules).signals
        assert dict(counts.iter_rows())[fate] == 1


def test_a_missing_label_is_named_by_the_horizon_of_its_own_rule():
    later = {"AAA": [QUIET] * 4}
    case = by_hand(("AAA", 5, "BUY", 0.6), later=later)
    short = {"m1": RULE.model_copy(update={"horizon_sessions": 3})}
    with pytest.raises(MissingDataError, match=f"AAA {session(5)}"):
        run(case.predictions, case.labels.clear(), case.bars, short)
    waiting = run(case.predictions, case.labels.clear(), case.bars, {"m1": RULE})
    assert waiting.figures["open_positions"].item() == 1


def test_rules_by_model_need_the_models_of_the_predictions():
    case = random_case()
    with pytest.raises(ContractError, match="missing columns: model_version"):
        run(case.predictions.drop("model_version"), case.labels, case.bars, {"m1": RULE})
