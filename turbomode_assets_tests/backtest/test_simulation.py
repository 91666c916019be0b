"""Positions by hand, then against the labels of a market made by chance."""

import doctest

import polars as pl
import pytest

import turbomode_assets.backtest
from turbomode_assets.contracts.errors import ContractError, InputError, MissingDataError
from turbomode_assets_tests.backtest.builders import (
    CONFIG,
    FREE,
    QUIET,
    RULE,
    Case,
    by_hand,
    cut,
    random_case,
    session,
    signals,
)

UP = (100.0, 110.0, 99.9, 108.0)
DOWN = (100.0, 100.1, 90.0, 92.0)
VOLATILITY = 0.0216926913
"""Of the run-up: standard deviation (ddof 1) of +r, -r, +r, -r, +r with r = ln 1.02."""
PROFIT, STOP = 100 * (1 + 2 * VOLATILITY), 100 * (1 - 1.5 * VOLATILITY)
EFFECTS: dict[str, object] = {
    "backtest.initial_capital_usd": 50_000.0,
    "backtest.cost_bps": 6.0,
    "backtest.slippage_bps": 11.0,
    "backtest.position_limit": 0.05,
    "backtest.maximum_gross_exposure": 0.8,
    "backtest.maximum_positions": 5,
    "backtest.sizing": "equal",
}


def fates(result):
    return {fate: count for fate, count in result.signals.iter_rows() if count}


def test_the_example_of_the_room_holds():
    found = doctest.testmod(turbomode_assets.backtest)
    assert (found.failed, found.attempted > 5) == (0, True)


def test_a_long_without_costs_earns_what_its_label_says():
    case = by_hand(("AAA", 5, "BUY", 0.6), later={"AAA": [QUIET, UP, QUIET]})
    result = case.run(FREE)
    trade = result.trades.row(0, named=True)
    assert (trade["side"], trade["exit_reason"]) == ("long", "profit_take")
    assert (trade["entry_session"], trade["exit_session"]) == (session(6), session(7))
    assert trade["exit_price"] == pytest.approx(PROFIT, rel=1e-9)
    assert trade["return"] == pytest.approx(2 * VOLATILITY, rel=1e-8)
    assert trade["return"] == pytest.approx(case.labels["return"][0], rel=1e-14)
    # An eighth of the equity: 12,500 USD at 100.
    assert trade["quantity"] == pytest.approx(125)
    end = 100_000 + 12_500 * 2 * VOLATILITY
    assert result.equity["equity"].to_list() == pytest.approx([100_000, 100_000, end, end])
    assert result.equity["cash"].to_list()[1] == 87_500


def test_a_short_gains_at_the_stop_of_the_label():
    case = by_hand(("AAA", 5, "SELL", 0.6), later={"AAA": [QUIET, DOWN]})
    result = case.run(FREE)
    trade = result.trades.row(0, named=True)
    assert (trade["side"], trade["exit_reason"]) == ("short", "stop_loss")
    assert trade["profit_usd"] == pytest.approx(125 * (100 - STOP))
    assert result.equity["cash"][1] == 112_500
    assert result.equity["net_exposure"][1] == -12_500
    assert result.equity["gross_exposure"][1] == 12_500
    assert result.equity["equity"][-1] == pytest.approx(100_000 + 125 * (100 - STOP))


def test_each_side_pays_slippage_in_its_price_and_costs_on_its_amount():
    config = FREE.model_copy(update={"cost_bps": 20.0, "slippage_bps": 100.0})
    case = by_hand(("AAA", 5, "BUY", 0.6), later={"AAA": [QUIET, UP]})
    result = case.run(config)
    trade = result.trades.row(0, named=True)
    assert trade["entry_price"] == pytest.approx(101)
    assert trade["exit_price"] == pytest.approx(0.99 * PROFIT)
    quantity = 12_500 / 101
    assert trade["quantity"] == pytest.approx(quantity)
    sold = quantity * 0.99 * PROFIT
    assert trade["cost_usd"] == pytest.approx(0.002 * (12_500 + sold))
    assert trade["return"] == pytest.approx((sold - 12_500 - trade["cost_usd"]) / 12_500)
    assert result.equity["turnover"].to_list() == pytest.approx([0, 12_500, sold])
    slippage = result.figures["slippage_usd"][0]
    assert slippage == pytest.approx(quantity * 1 + quantity * 0.01 * PROFIT)


def test_a_gap_through_a_barrier_exits_at_the_open():
    case = by_hand(("AAA", 5, "BUY", 0.6), later={"AAA": [QUIET, (90.0, 92.0, 89.0, 91.0)]})
    assert case.run(FREE).trades["exit_price"][0] == 90


def test_a_signal_whose_label_is_not_known_is_open_at_the_last_close():
    case = by_hand(("AAA", 5, "BUY", 0.6), later={"AAA": [QUIET, (100.0, 102.0, 99.9, 101.0)]})
    result = case.run(FREE)
    trade = result.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_session"], trade["exit_price"]) == (
        "open",
        None,
        None,
    )
    assert (trade["profit_usd"], trade["return"]) == (125.0, pytest.approx(0.01))
    assert result.equity["equity"][-1] == 100_125
    assert result.figures["open_positions"][0] == 1


def test_a_signal_of_the_last_session_waits():
    result = by_hand(("AAA", 5, "BUY", 0.6), later={"AAA": []}).run(FREE)
    assert fates(result) == {"pending": 1}
    assert result.equity["equity"].to_list() == [100_000]


def test_the_more_probable_signals_go_first_and_ties_go_by_symbol():
    case = by_hand(
        ("CCC", 5, "BUY", 0.6),
        ("BBB", 5, "SELL", 0.7),
        ("AAA", 5, "BUY", 0.6),
        later={name: [QUIET] for name in ("AAA", "BBB", "CCC")},
    )
    result = case.run(FREE.model_copy(update={"maximum_positions": 2}))
    assert result.trades["symbol"].to_list() == ["AAA", "BBB"]
    assert fates(result) == {"traded": 2, "no_room": 1}


def test_the_last_position_gets_the_room_that_is_left():
    bar = (100.0, 103.0, 99.9, 102.0)
    case = by_hand(
        ("AAA", 5, "BUY", 0.7),
        ("BBB", 6, "BUY", 0.6),
        later={"AAA": [bar, (102.0,) * 4], "BBB": [(102.0,) * 4, (102.0,) * 4]},
    )
    config = FREE.model_copy(update={"maximum_positions": 2, "position_limit": 1.0})
    amounts = (
        case.run(config).trades.select(pl.col("quantity") * pl.col("entry_price"))
    ).to_series()
    # AAA has grown from 50,000 to 51,000; half of the equity of 101,000 is 50,500.
    assert amounts.to_list() == pytest.approx([50_000, 50_000])


def test_costs_of_entry_are_paid_from_the_room_and_not_borrowed():
    config = FREE.model_copy(
        update={"maximum_positions": 2, "position_limit": 1.0, "cost_bps": 100.0}
    )
    case = by_hand(
        ("AAA", 5, "BUY", 0.7), ("BBB", 5, "BUY", 0.6), later={"AAA": [QUIET], "BBB": [QUIET]}
    )
    result = case.run(config)
    amounts = result.trades.select(pl.col("quantity") * pl.col("entry_price")).to_series()
    # Two halves and 1 % of both would take 101,000: 1 / 1.01 of the equity is what there is for.
    assert amounts.to_list() == pytest.approx([50_000, 100_000 / 1.01 - 50_000])
    assert result.equity["cash"][-1] == pytest.approx(0, abs=1e-9)
    assert result.equity["equity"][-1] == pytest.approx(100_000 / 1.01)


def test_a_symbol_that_is_held_is_passed_over_until_the_session_after_its_exit():
    case = by_hand(
        *(("AAA", number, "BUY", 0.6) for number in (5, 6, 7)),
        later={"AAA": [QUIET, UP, (108.0,) * 4]},
    )
    result = case.run(FREE)
    # The exit of session 7 happens after its open: the signal of session 6 finds it held.
    assert result.trades["signal_session"].to_list() == [session(5), session(7)]
    assert fates(result) == {"traded": 2, "already_held": 1}


def test_an_exit_in_the_session_leaves_no_room_at_its_open():
    case = by_hand(
        ("AAA", 5, "BUY", 0.6),
        ("BBB", 6, "BUY", 0.6),
        later={"AAA": [QUIET, UP], "BBB": [QUIET, QUIET]},
    )
    result = case.run(FREE.model_copy(update={"maximum_positions": 1}))
    assert fates(result) == {"traded": 1, "no_room": 1}


def test_an_entry_at_the_close_has_the_place_of_what_left_in_the_session():
    rule = RULE.model_copy(update={"entry": "close"})
    case = by_hand(
        ("AAA", 5, "BUY", 0.6),
        ("BBB", 7, "BUY", 0.6),
        later={"AAA": [(102.0,) * 4, (102.0, 112.0, 101.9, 108.0)], "BBB": [QUIET, QUIET]},
        rule=rule,
    )
    result = case.run(FREE.model_copy(update={"maximum_positions": 1}))
    assert fates(result) == {"traded": 2}
    assert result.trades["entry_session"].to_list() == [session(5), session(7)]
    assert result.trades["entry_price"].to_list() == [102.0, 100.0]


def test_without_a_bar_or_without_volatility_nothing_is_opened():
    case = by_hand(
        ("AAA", 5, "BUY", 0.6),
        ("BBB", 5, "BUY", 0.6),
        ("ZZZ", 5, "BUY", 0.6),
        later={"AAA": [None, QUIET], "BBB": [QUIET, QUIET]},
    )
    still = case.bars.with_columns(
        pl.when(pl.col("symbol") == "BBB").then(100.0).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    )
    result = Case(case.predictions, case.labels.clear(), still).run(FREE)
    assert fates(result) == {"no_entry_bar": 2, "no_volatility": 1}


@pytest.mark.parametrize("entry", ["next_open", "close"])
def test_every_entry_and_exit_is_the_label_s(entry):
    case = random_case(entry=entry)
    trades = case.run(FREE).trades
    closed = trades.filter(pl.col("exit_reason") != "open")
    keys = ["symbol", "decision_session"]
    told = closed.rename({"signal_session": "decision_session"}).join(
        case.labels, on=keys, how="left", suffix="_label", validate="1:1"
    )
    assert closed.height > 50
    assert {"profit_take", "stop_loss", "expiry"} <= set(closed["exit_reason"])
    for name in ("entry_session", "exit_session", "entry_price", "exit_price", "exit_reason"):
        assert told[name].to_list() == told[f"{name}_label"].to_list()
    side = told["side"].replace_strict({"long": 1.0, "short": -1.0})
    assert (told["return"] - side * told["return_label"]).abs().max() < 1e-12


def test_a_delisting_that_becomes_known_late_frees_its_place_late():
    case = random_case()
    gone = case.labels.filter(
        pl.col("exit_reason") == "delisting", pl.col("session") > pl.col("exit_session")
    ).head(1)
    alone = case.predictions.join(
        gone.select("symbol", session="decision_session"), on=["symbol", "session"], how="semi"
    ).with_columns(signal=pl.lit("BUY"))
    result = Case(alone, case.labels, case.bars).run(FREE)
    trade, label = result.trades.row(0, named=True), gone.row(0, named=True)
    for name in ("exit_session", "exit_price", "exit_reason"):
        assert trade[name] == label[name]
    held = result.equity.filter(pl.col("gross_exposure") > 0)["session"]
    assert trade["exit_session"] < held.max() < label["session"]


def test_an_entry_at_the_last_close_there_is_ends_there_at_its_vertical_barrier():
    rule = RULE.model_copy(update={"entry": "close"})
    later = {"AAA": [], "BBB": [QUIET] * 6}
    case = by_hand(("AAA", 5, "BUY", 0.6), later=later, rule=rule)
    assert case.labels.filter(symbol="AAA", decision_session=session(5)).is_empty()
    result = case.run(FREE)
    trade = result.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_price"], trade["return"]) == ("expiry", 102.0, 0.0)
    held = result.equity.filter(pl.col("gross_exposure") > 0)["session"]
    assert held.to_list() == [session(number) for number in range(5, 10)]


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_changes_the_result(key):
    changed = CONFIG.model_copy(update={key.removeprefix("backtest."): EFFECTS[key]})
    assert not random_case().run(changed).trades.equals(random_case().run().trades)


def test_every_key_is_shown():
    assert {key.removeprefix("backtest.") for key in EFFECTS} == set(type(CONFIG).model_fields)


def test_a_label_that_is_due_and_missing_is_named():
    case = random_case()
    trade = case.run().trades.row(0, named=True)
    absent = (pl.col("symbol") == trade["symbol"]) & (
        pl.col("decision_session") == trade["signal_session"]
    )
    with pytest.raises(MissingDataError, match=f"{trade['symbol']} {trade['signal_session']}"):
        Case(case.predictions, case.labels.filter(~absent), case.bars).run()


def test_bars_of_another_adjustment_are_refused():
    case = random_case()
    split = pl.when(pl.col("session") >= session(50)).then(0.5).otherwise(1.0)
    raw = case.bars.with_columns(pl.col("open", "high", "low", "close") * split)
    with pytest.raises(ContractError, match="not in the bars"):
        Case(case.predictions, case.labels, raw).run()


def test_a_constant_factor_on_a_symbol_s_bars_changes_no_dollar():
    case = random_case()
    doubled = case.bars.with_columns(pl.col("open", "high", "low", "close") * 2)
    result, other = case.run(), Case(case.predictions, case.labels, doubled).run()
    assert other.equity.equals(result.equity)
    assert other.trades["profit_usd"].equals(result.trades["profit_usd"])


def test_labels_of_another_rule_are_refused():
    case = random_case()
    rule = RULE.model_copy(update={"entry": "close"})
    with pytest.raises(ContractError, match="not in the bars"):
        Case(case.predictions, case.labels, case.bars, rule).run()


@pytest.mark.parametrize("which", ["predictions", "labels", "bars"])
def test_doubled_rows_and_absent_columns_are_refused(which):
    case = random_case()
    frames = {name: getattr(case, name) for name in ("predictions", "labels", "bars")}
    doubled = frames | {which: pl.concat([frames[which], frames[which].slice(200, 1)])}
    if which == "predictions":
        doubled[which] = doubled[which].with_columns(signal=pl.lit("BUY"))
    with pytest.raises(ContractError, match="doubled"):
        Case(**doubled).run()
    with pytest.raises(ContractError, match="missing columns: symbol"):
        Case(**(frames | {which: frames[which].drop("symbol")})).run()


def test_nothing_to_trade_is_an_error_and_nothing_traded_a_flat_line():
    case = random_case()
    with pytest.raises(MissingDataError, match="no predictions"):
        Case(case.predictions.clear(), case.labels, case.bars).run()
    with pytest.raises(MissingDataError, match="last bar"):
        Case(case.predictions, case.labels, case.bars.filter(pl.col("session") < session(5))).run()
    calm = Case(case.predictions.with_columns(signal=pl.lit("HOLD")), case.labels, case.bars).run()
    assert calm.trades.is_empty()
    assert set(calm.equity["equity"]) == {100_000.0}
    assert calm.figures["sharpe"][0] is None


def test_a_day_without_trading_is_refused():
    case = random_case()
    sunday = signals(("S00", 10, "BUY", 0.6)).with_columns(session=pl.date(2015, 3, 15))
    with pytest.raises(InputError, match="not an XNYS session"):
        Case(sunday, case.labels, case.bars).run()


@pytest.mark.parametrize("price", [-1.0, float("inf"), float("nan"), None])
def test_a_price_that_is_none_is_refused(price):
    case = random_case()
    one = (pl.col("symbol") == "S03") & (pl.col("session") == session(40))
    low = pl.when(one).then(pl.lit(price, pl.Float64)).otherwise("low")
    broken = Case(case.predictions, case.labels, case.bars.with_columns(low=low))
    with pytest.raises(ContractError, match=rf"prices that are none: symbol=S03 .*{session(40)}"):
        broken.run()


@pytest.mark.parametrize("probability", [None, float("nan"), 0.0, 1.5])
def test_a_signal_without_a_probability_of_its_side_is_refused(probability):
    case = by_hand(("AAA", 5, "BUY", 0.6), later={"AAA": [QUIET, UP]})
    sent = case.predictions.with_columns(p_buy=pl.lit(probability, pl.Float64))
    with pytest.raises(ContractError, match=f"AAA session={session(5)} signal=BUY"):
        Case(sent, case.labels, case.bars).run()


def test_without_equity_nothing_is_opened():
    case = by_hand(
        ("AAA", 5, "SELL", 0.9),
        ("BBB", 8, "BUY", 0.9),
        later={"AAA": [QUIET, (450.0,) * 4, *[(450.0,) * 4] * 3], "BBB": [QUIET] * 5},
    )
    config = FREE.model_copy(update={"maximum_positions": 1, "position_limit": 1.0})
    result = case.run(config)
    assert result.trades.height == 1
    assert result.equity["equity"][-1] == pytest.approx(100_000 - 350_000)
    assert result.figures["annual_return"][0] == -1
    assert result.equity["drawdown"].max() == pytest.approx(3.5)
    assert fates(result) == {"traded": 1, "no_room": 1}


def test_a_cut_case_reads_nothing_beyond_its_last_bar():
    case = random_case()
    last = session(60)
    whole = Case(case.predictions, case.labels, cut(case, last).bars)
    known = cut(case, last)
    assert whole.run().trades.equals(known.run().trades)
