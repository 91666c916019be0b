"""The backtest over several models: rules that changed, trials, and challengers in shadow."""

import numpy as np
import polars as pl
import pytest

from turbomode_assets.labels import triple_barrier
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.validation import deflated_sharpe_ratio
from turbomode_assets_tests.backtest.builders import RULE, random_case, session
from turbomode_assets_tests.backtest.records import recorded_equity, recorded_figures
from turbomode_assets_tests.backtest.stored import (
    FREE,
    closed_with_labels,
    fates,
    lake_of,
    memory_of,
    promote,
    remember,
    run_backtest,
    settings_at,
    span_of,
    store_case,
    store_labels,
    store_predictions,
    tables_of,
)

LAST = session(89)


def test_signals_of_another_rule_than_the_labels_end_by_their_own_model_s(stored):
    run_backtest(stored, LAST)
    before = tables_of(stored)
    other = RULE.model_copy(update={"horizon_sessions": 2, "entry": "close"})
    case, since = random_case(), SessionSpan(session(30), LAST)
    changed = triple_barrier(case.bars, other, known_in=since)
    store_labels(stored, changed, since, other)
    run_backtest(stored, LAST)
    for table in ("trades", "backtest_equity"):
        assert tables_of(stored)[table].equals(before[table]), table


def test_two_champions_are_traded_each_by_its_own_rule(tmp_path):
    settings, case = settings_at(tmp_path, **FREE), random_case()
    other, since = RULE.model_copy(update={"horizon_sessions": 2, "entry": "close"}), session(45)
    store_case(settings, case)
    is_second = pl.col("session") >= since
    sent = case.predictions.with_columns(
        model_version=pl.when(is_second).then(pl.lit("m2")).otherwise(pl.lit("m1"))
    )
    promote(settings, "m2", since, other)
    with memory_of(settings).transaction() as connection:
        connection.execute("DELETE FROM signal_history")
    remember(settings, store_predictions(settings, sent))
    run_backtest(settings, LAST)
    second = triple_barrier(case.bars, other, known_in=span_of(case.bars)).filter(
        pl.col("decision_session") >= since, pl.col("symbol") != "S00"
    )
    first = case.labels.filter(pl.col("decision_session") < since)
    both = closed_with_labels(settings, pl.concat([first, second]))
    assert set(both["model_version"]) == {"m1", "m2"}
    for name in ("entry_session", "exit_session", "entry_price", "exit_price", "exit_reason"):
        assert both[name].equals(both[f"{name}_label"], check_names=False), name
    at_once = both.filter(pl.col("entry_session") == pl.col("signal_session"))
    assert set(at_once["model_version"]) == {"m2"}


def test_signals_of_a_model_without_a_recorded_rule_are_counted_and_not_traded(stored):
    with memory_of(stored).transaction() as connection:
        connection.execute("UPDATE training_runs SET configuration = NULL")
    run_backtest(stored, LAST)
    signalled = random_case().predictions.filter(pl.col("signal") != "HOLD").height
    assert fates(recorded_figures(memory_of(stored))) == {"no_rule": signalled}


def test_the_sharpe_ratio_is_deflated_by_all_trials_of_training_up_to_its_session(stored):
    sharpes = {"t1": 0.2, "t2": -0.1, "t3": 0.4}
    for name, sharpe in sharpes.items():
        promote(stored, name, session(0), RULE, sharpe=sharpe)
    promote(stored, "later", session(85), RULE, sharpe=9.0)
    run_backtest(stored, session(80))
    values = recorded_equity(memory_of(stored))["equity"].to_numpy()
    returns = np.diff(np.concatenate([[1e6], values])) / np.concatenate([[1e6], values[:-1]])
    told = recorded_figures(memory_of(stored))
    wished = deflated_sharpe_ratio(
        returns, trials=3, trial_sharpe_variance=np.var(list(sharpes.values()), ddof=1)
    )
    assert told["deflated_sharpe"] == pytest.approx(wished, rel=1e-9)
    assert told["deflated_sharpe"] < told["probabilistic_sharpe"]
    assert told["trials"] == 3


def challenge(settings, sessions):
    """Let a challenger say the opposite of the champion in shadow up to session 59."""
    shadow = SessionSpan(session(60 - sessions), session(59))
    promote(settings, "rival", shadow.first, RULE, shadow_sessions=sessions)
    opposite = pl.col("signal").replace({"BUY": "SELL", "SELL": "BUY"})
    said = lake_of(settings).read("predictions", caller="test", span=shadow).rows
    remember(
        settings,
        said.with_columns(opposite, p_buy="p_sell", p_sell="p_buy", model_version=pl.lit("rival")),
        role="challenger",
    )
    return shadow


def test_a_challenger_in_shadow_long_enough_gives_a_probability_of_overfitting(stored):
    run_backtest(stored, LAST)
    figures = recorded_figures(memory_of(stored))
    assert figures["overfitting_probability"] is None
    assert figures["overfitting_note"] == "no challenger signalled in shadow"
    shadow = challenge(stored, 16)
    run_backtest(stored, LAST)
    figures = recorded_figures(memory_of(stored))
    assert 0 <= figures["overfitting_probability"] <= 1
    assert figures["overfitting_note"] == f"rival in shadow in {shadow}, 16 sessions, " + (
        "against the champion"
    )


def test_sessions_that_two_champions_signalled_count_once_for_the_challenger_s_comparison(stored):
    challenge(stored, 16)
    run_backtest(stored, LAST)
    before = recorded_figures(memory_of(stored))
    said = lake_of(stored).read("predictions", caller="test").rows
    remember(stored, said.with_columns(signal=pl.lit("HOLD"), model_version=pl.lit("z")))
    run_backtest(stored, LAST)
    assert recorded_figures(memory_of(stored)) == before
    promote(stored, "late", session(7), RULE)
    run_backtest(stored, LAST)
    assert recorded_figures(memory_of(stored))["overfitting_probability"] is not None


def test_a_challenger_that_is_too_new_is_named_with_what_is_needed(stored):
    shadow = challenge(stored, 15)
    run_backtest(stored, LAST)
    figures = recorded_figures(memory_of(stored))
    assert figures["overfitting_probability"] is None
    assert figures["overfitting_note"] == f"rival in shadow in {shadow}, 15 sessions; 16 are needed"
