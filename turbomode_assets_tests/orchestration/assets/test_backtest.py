"""The backtest as the graph runs it: over what was stored, and nothing known later."""

import json

import polars as pl

from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets_tests.backtest.builders import Case, random_case, session
from turbomode_assets_tests.backtest.records import (
    recorded_equity,
    recorded_figures,
    recorded_trades,
)
from turbomode_assets_tests.backtest.stored import (
    FREE,
    closed_with_labels,
    fates,
    lake_of,
    memory_of,
    one,
    refusal_of_backtest,
    run_backtest,
    settings_at,
    store_case,
    tables_of,
)
from turbomode_assets_tests.builders import run_assets
from turbomode_assets_tests.market import DERIVED, INGESTION, NIGHT

FIRST, LAST = session(8), session(89)


def test_what_was_stored_is_traded_as_the_room_trades_it_and_as_its_labels_say(stored):
    told = run_backtest(stored, LAST)
    case = random_case()
    direct = case.run(stored.backtest().trading)
    trades, equity = recorded_trades(memory_of(stored)), recorded_equity(memory_of(stored))
    assert equity.equals(direct.equity.select(equity.columns))
    names = ["symbol", "signal_session", "entry_price", "exit_price", "profit_usd", "return"]
    assert trades.select(names).equals(direct.trades.select(names))
    both = closed_with_labels(stored, case.labels)
    assert both.height > 100
    assert {"profit_take", "stop_loss", "expiry"} <= set(both["exit_reason"])
    for name in ("entry_session", "exit_session", "entry_price", "exit_price", "exit_reason"):
        assert both[name].equals(both[f"{name}_label"], check_names=False), name
    side = both["side"].replace_strict({"BUY": 1.0, "SELL": -1.0})
    assert (both["return"] - side * both["return_label"]).abs().max() < 1e-12
    assert trades["trade_id"][0] == (
        f"{trades['signal_session'][0]}/{trades['symbol'][0]}/{trades['model_version'][0]}"
    )
    assert told["trades"] == trades.height
    assert told["final_equity_usd"] == equity["equity"][-1]
    assert set(told["reads"]) == {
        *("predictions", "bars", "labels", "label_rules"),
        *("splits", "dividends", "symbol_metadata"),
    }


def test_trades_end_as_the_recorded_outcomes_of_their_signals(stored):
    run_assets(stored, ["outcomes"], SessionSpan(FIRST, LAST))
    told = run_backtest(stored, LAST)
    closed = recorded_trades(memory_of(stored)).filter(pl.col("exit_session").is_not_null())
    assert (told["outcomes_compared"], told["outcomes_differing"]) == (closed.height, 0)
    with memory_of(stored).transaction() as connection:
        changed = closed.row(5, named=True)
        connection.execute(
            "UPDATE signal_outcomes SET exit_price = exit_price * 1.001"
            " WHERE session = ? AND symbol = ?",
            [changed["signal_session"], changed["symbol"]],
        )
    told = run_backtest(stored, LAST)
    assert told["outcomes_differing"] == 1
    assert f"| {changed['signal_session']} | {changed['symbol']} |" in told["differing_outcomes"]


def test_a_session_says_the_same_whether_the_later_ones_are_stored_or_not(stored, tmp_path):
    for day in (session(45),):
        case, short = random_case(), settings_at(tmp_path / str(day), **FREE)
        known = Case(
            *(
                frame.filter(pl.col("session") <= day)
                for frame in (case.predictions, case.labels, case.bars)
            )
        )
        store_case(short, known)
        run_backtest(short, day)
        run_backtest(stored, day)
        for table in ("trades", "backtest_equity"):
            assert tables_of(stored)[table].equals(tables_of(short)[table]), table
        figures = recorded_figures(memory_of(stored), day)
        assert figures == recorded_figures(memory_of(short), day)


def test_again_leaves_the_same_rows_and_an_older_session_only_its_figures(stored):
    run_backtest(stored, LAST)
    before = tables_of(stored)
    assert run_backtest(stored, LAST)["is_newest"]
    assert all(tables_of(stored)[table].equals(rows) for table, rows in before.items())
    assert not run_backtest(stored, session(40))["is_newest"]
    after = tables_of(stored)
    assert after["trades"].equals(before["trades"])
    assert after["backtest_equity"].equals(before["backtest_equity"])
    assert after["backtest_figures"]["session"].to_list() == [session(40), LAST]
    told = [recorded_figures(memory_of(stored), day) for day in (session(40), None)]
    assert [figures["sessions"] for figures in told] == [33, 82]
    assert json.loads(after["backtest_figures"]["store_versions"][0])["predictions"] == 1


def test_a_range_stands_for_its_last_session(stored):
    run_assets(stored, ["backtest"], SessionSpan(session(50), session(55)))
    assert tables_of(stored)["backtest_figures"]["session"].to_list() == [session(55)]
    ranged = recorded_equity(memory_of(stored))
    run_backtest(stored, session(54))
    run_backtest(stored, session(56))
    assert recorded_equity(memory_of(stored)).head(ranged.height).equals(ranged)


def test_only_the_sessions_asked_for_are_traded(stored, tmp_path):
    settings = settings_at(tmp_path / "case", sessions=20)
    run_backtest(settings, LAST)
    assert recorded_equity(memory_of(settings))["session"].to_list() == [
        session(number) for number in range(70, 90)
    ]
    assert recorded_trades(memory_of(settings))["signal_session"].min() >= session(70)


def test_a_prediction_that_is_not_what_went_out_is_refused_by_name(stored):
    with memory_of(stored).transaction() as connection:
        connection.execute(
            "UPDATE signal_history SET p_buy = p_buy + 1e-12 WHERE session = ? AND symbol = 'S03'",
            [session(20)],
        )
    said = refusal_of_backtest(stored, LAST)
    assert f"session={session(20)} symbol=S03 model_version=m1" in said
    assert f"--select 'signals,outcomes' --partition-range {session(20)}...{session(20)}" in said
    assert all(rows.is_empty() for rows in tables_of(stored).values())


def test_a_session_whose_predictions_are_lost_is_refused_and_one_never_signalled_is_counted(
    stored,
):
    day = session(20)
    lake_of(stored).replace(
        "predictions",
        lake_of(stored).read("predictions", caller="test").rows.clear(),
        span=one(day),
        caller="test",
    )
    assert f"sessions without predictions: session={day}" in refusal_of_backtest(stored, LAST)
    with memory_of(stored).transaction() as connection:
        connection.execute("DELETE FROM signal_history WHERE session = ?", [day])
    assert run_backtest(stored, LAST)["sessions_without_signals"] == 1


def test_without_signals_of_its_session_the_remedy_is_named(stored, tmp_path):
    empty = settings_at(tmp_path / "empty")
    for settings, day in ((empty, LAST), (stored, session(7)), (stored, session(90))):
        said = refusal_of_backtest(settings, day)
        assert f"no signals are stored for {day}" in said
        assert f"--select signals --partition {day}" in said


def test_the_first_session_ever_is_a_flat_line_without_ratios(stored):
    told = run_backtest(stored, FIRST)
    assert recorded_equity(memory_of(stored))["equity"].to_list() == [1_000_000.0]
    assert recorded_trades(memory_of(stored)).is_empty()
    figures = recorded_figures(memory_of(stored), FIRST)
    assert set(fates(figures)) == {"pending"}
    assert (figures["sessions"], figures["sharpe"], figures["hit_rate"]) == (1, None, None)
    assert figures["annual_return"] == 0
    assert "sharpe" not in told


def test_no_trade_may_have_ended_yet(stored):
    run_backtest(stored, session(9))
    figures = recorded_figures(memory_of(stored))
    trades = recorded_trades(memory_of(stored)).filter(pl.col("exit_session").is_null())
    assert trades.height == figures["open_positions"] > 0
    assert set(trades["exit_reason"]) == {"open"}


def test_a_history_of_nothing_but_hold_is_a_flat_line(tmp_path):
    settings, case = settings_at(tmp_path), random_case()
    calm = case.predictions.with_columns(signal=pl.lit("HOLD"))
    store_case(settings, Case(calm, case.labels, case.bars))
    run_backtest(settings, LAST)
    assert set(recorded_equity(memory_of(settings))["equity"]) == {1_000_000.0}
    assert recorded_trades(memory_of(settings)).is_empty()
    figures = recorded_figures(memory_of(settings))
    assert (fates(figures), figures["maximum_drawdown"], figures["deflated_sharpe"]) == (
        {},
        0,
        None,
    )


def test_a_delisted_symbol_leaves_at_its_last_bar_once_that_is_known(tmp_path):
    settings, case = settings_at(tmp_path, **FREE), random_case()
    gone = case.labels.filter(
        pl.col("exit_reason") == "delisting", pl.col("session") > pl.col("exit_session")
    ).row(0, named=True)
    decided = (pl.col("symbol") == gone["symbol"]) & (pl.col("session") == gone["decision_session"])
    alone = case.predictions.with_columns(
        signal=pl.when(decided).then(pl.lit("BUY")).otherwise(pl.lit("HOLD"))
    )
    store_case(settings, Case(alone, case.labels, case.bars))
    run_backtest(settings, offset_session(gone["session"], -1))
    assert recorded_trades(memory_of(settings))["exit_reason"].to_list() == ["open"]
    run_backtest(settings, gone["session"])
    trade = recorded_trades(memory_of(settings)).row(0, named=True)
    assert [trade[name] for name in ("exit_reason", "exit_session", "exit_price")] == [
        gone[name] for name in ("exit_reason", "exit_session", "exit_price")
    ]


def test_the_survivorship_bias_and_the_picture_stand_on_the_report(stored):
    told = run_backtest(stored, LAST)
    assert told["survivorship"].startswith("Survivorship: 1 of 12 tradeable symbols were delisted")
    assert "picture" in told
    assert (stored.artifacts_root / "reports" / f"backtest-{LAST}-{LAST}.png").is_file()
    assert "| no_entry_bar |" in told["fates_of_signals"]


def test_the_nights_of_a_trained_market_are_traded_as_they_were_signalled_and_settled(market):
    nights = SessionSpan(NIGHT, offset_session(NIGHT, 14))
    run_assets(market, INGESTION + DERIVED, nights)
    run_assets(market, ["signals", "outcomes"], nights)
    told = run_backtest(market, nights.last)
    memory = memory_of(market)
    closed = recorded_trades(memory).filter(pl.col("exit_session").is_not_null())
    assert closed.height > 5
    assert (told["outcomes_compared"], told["outcomes_differing"]) == (closed.height, 0)
    ended = memory.query("FROM signal_outcomes WHERE signal <> 'HOLD'")
    both = closed.join(
        ended,
        left_on=["signal_session", "symbol", "model_version"],
        right_on=["session", "symbol", "model_version"],
        suffix="_told",
        validate="1:1",
    )
    assert both.height == closed.height
    direction = both["side"].replace_strict({"BUY": 1.0, "SELL": -1.0})
    slippage = market.backtest().trading.slippage_bps / 1e4
    for side, name in ((direction, "entry_price"), (-direction, "exit_price")):
        quoted = both[name] / (1 + side * slippage)
        assert (quoted / both[f"{name}_told"] - 1).abs().max() < 1e-12, name
    for name in ("entry_session", "exit_session", "exit_reason"):
        assert both[name].equals(both[f"{name}_told"], check_names=False), name
    assert both["side"].equals(both["signal"], check_names=False)
