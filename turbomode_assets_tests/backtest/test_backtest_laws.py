"""Laws of every backtest, over markets and configurations made by chance."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.config.backtest import BacktestConfig
from turbomode_assets_tests.backtest.builders import CONFIG, Case, cut, random_case, session

DOLLARS = ["equity", "cash", "gross_exposure", "net_exposure", "turnover"]
CASES = st.builds(
    random_case,
    seed=st.integers(1, 2),
    entry=st.sampled_from(["next_open", "close"]),
)
CONFIGS = st.builds(
    BacktestConfig,
    initial_capital_usd=st.sampled_from([1_000.0, 123_456.78, 1e9]),
    cost_bps=st.sampled_from([0.0, 3.0, 50.0]),
    slippage_bps=st.sampled_from([0.0, 7.0, 80.0]),
    position_limit=st.sampled_from([0.03, 0.3]),
    maximum_gross_exposure=st.sampled_from([0.4, 1.0, 2.5]),
    maximum_positions=st.integers(1, 14),
    sizing=st.sampled_from(["equal", "probability"]),
)


@settings(max_examples=8)
@given(case=CASES, config=CONFIGS)
def test_equity_is_cash_and_marked_positions_and_what_the_trades_made(case, config):
    result = case.run(config)
    equity, trades = result.equity, result.trades
    scale = config.initial_capital_usd
    assert (equity["equity"] - equity["cash"] - equity["net_exposure"]).abs().max() < 1e-9 * scale
    made = trades["profit_usd"].sum() - trades["cost_usd"].sum()
    assert made == pytest.approx(equity["equity"][-1] - scale, abs=1e-9 * scale)
    assert trades["cost_usd"].sum() == pytest.approx(
        config.cost_bps / 1e4 * equity["turnover"].sum(), abs=1e-9 * scale
    )
    signalled = case.predictions.filter(pl.col("signal") != "HOLD").height
    assert result.signals["count"].sum() == signalled


@settings(max_examples=5)
@given(case=CASES, config=CONFIGS)
def test_the_positions_marked_apart_are_the_net_exposure(case, config):
    result = case.run(config)
    trades, equity = result.trades, result.equity
    told = case.labels.select("symbol", "session", signal_session="decision_session")
    held = trades.join(told, on=["symbol", "signal_session"], how="left", validate="1:1").join(
        equity.select(at="session"), how="cross"
    )
    # From its entry to the session before its exit is known.
    settled = pl.when(pl.col("exit_reason") == "open").then(None).otherwise(pl.col("session"))
    held = held.filter(
        pl.col("at") >= pl.col("entry_session"), (pl.col("at") < settled) | settled.is_null()
    ).sort("at")
    marks = case.bars.select("symbol", at="session", mark="close").sort("at")
    signed = pl.col("quantity") * pl.col("side").replace_strict({"long": 1.0, "short": -1.0})
    value = (
        held.join_asof(marks, on="at", by="symbol", check_sortedness=False)
        .group_by("at")
        .agg(net=(signed * pl.col("mark")).sum(), positions=pl.len())
    )
    both = equity.join(value, left_on="session", right_on="at", how="left", validate="1:1")
    gap = both["net_exposure"] - both["net"].fill_null(0)
    assert gap.abs().max() < 1e-9 * config.initial_capital_usd
    assert (value["positions"].max() or 0) <= config.maximum_positions


@settings(max_examples=5)
@given(case=CASES, config=CONFIGS)
def test_twice_the_capital_is_twice_the_dollars_and_the_same_returns(case, config):
    twice = config.model_copy(update={"initial_capital_usd": 2 * config.initial_capital_usd})
    one, two = case.run(config), case.run(twice)
    assert two.equity.select(DOLLARS).equals(one.equity.select(pl.col(DOLLARS) * 2))
    assert two.trades["return"].equals(one.trades["return"])
    assert two.equity["drawdown"].equals(one.equity["drawdown"])
    scaled = ["final_equity_usd", "cost_usd", "slippage_usd"]
    assert two.figures.drop(scaled).equals(one.figures.drop(scaled))


@settings(max_examples=5)
@given(case=CASES, config=CONFIGS, number=st.integers(12, 88))
def test_later_rows_change_no_earlier_equity(case, config, number):
    last = session(number)
    whole, early = case.run(config), cut(case, last).run(config)
    before = whole.equity.filter(pl.col("session") <= last)
    assert early.equity.equals(before)
    opened = whole.trades.filter(pl.col("entry_session") <= last)
    bought = ["symbol", "side", "signal_session", "entry_session", "entry_price", "quantity"]
    assert early.trades.select(bought).equals(opened.select(bought))


@settings(max_examples=4)
@given(case=CASES, config=CONFIGS)
def test_no_position_is_opened_before_its_signal_or_doubled(case, config):
    trades = case.run(config).trades
    lag = 1 if case.rule.entry == "next_open" else 0
    assert ((trades["entry_session"] > trades["signal_session"]) | (lag == 0)).all()
    assert (trades["entry_session"] >= trades["signal_session"]).all()
    after = trades.sort("symbol", "entry_session").with_columns(
        previous=pl.col("exit_session").shift(1).over("symbol")
    )
    again = after.filter(pl.col("entry_session").rank("ordinal").over("symbol") > 1)
    assert again["previous"].null_count() == 0
    # At an open only what left before has made room; at a close also what leaves in the session.
    gap = (again["entry_session"] - again["previous"]).dt.total_days()
    assert (gap >= lag).all()


@settings(max_examples=3)
@given(case=CASES, seed=st.integers(0, 99))
def test_the_order_of_the_rows_does_not_matter(case, seed):
    def shuffled(frame):
        return frame.sample(fraction=1, shuffle=True, seed=seed)

    mixed = Case(*map(shuffled, (case.predictions, case.labels, case.bars)), case.rule)
    one, other = case.run(CONFIG), mixed.run(CONFIG)
    for name in ("trades", "equity", "figures", "signals"):
        assert getattr(one, name).equals(getattr(other, name))
