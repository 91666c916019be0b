"""Backtests in model memory: the newest one's trades and equity, the figures of each."""

import datetime as dt
import json

import duckdb
import polars as pl
import pytest

from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.backtest_book import outcomes_known, record_backtest
from turbomode_assets.stores.model_registry import record_model
from turbomode_assets.stores.signal_book import trading_rules
from turbomode_assets_tests.backtest.builders import CONFIG, RULE, cut, random_case, session
from turbomode_assets_tests.backtest.records import (
    recorded_equity,
    recorded_figures,
    recorded_trades,
)
from turbomode_assets_tests.stores.model_rows import NOW, performance, record_of

DAY = session(60)
TABLES = ("trades", "backtest_equity", "backtest_figures")


@pytest.fixture
def memory(tmp_path):
    return ModelMemory(tmp_path / "alpha" / "turbomode.duckdb", "alpha")


def record(memory, last=DAY, **figures):
    result = cut(random_case(), last).run(CONFIG)
    return record_backtest(
        memory,
        result.trades,
        result.equity,
        figures or {"sharpe": 1.25},
        as_of=last,
        config_digest="c1",
        store_versions={"predictions": 3, "bars": 4},
    )


def rows(memory):
    return {table: memory.query(f"FROM {table} ORDER BY ALL") for table in TABLES}


def test_trades_and_equity_come_back_as_they_were_made(memory):
    assert record(memory)
    made = cut(random_case(), DAY).run(CONFIG)
    trades = recorded_trades(memory)
    same = [name for name in trades.columns if name not in ("trade_id", "side")]
    assert trades.select(same).equals(made.trades.select(same))
    sides = made.trades["side"].replace_strict({"long": "BUY", "short": "SELL"})
    assert trades["side"].equals(sides)
    assert trades["trade_id"].is_unique().all()
    assert trades["trade_id"][0] == f"{trades['signal_session'][0]}/{trades['symbol'][0]}/m1"
    equity = recorded_equity(memory)
    assert equity.equals(made.equity.select(equity.columns))


def test_the_same_backtest_again_leaves_the_same_rows(memory):
    record(memory)
    before = rows(memory)
    assert record(memory)
    assert all(rows(memory)[table].equals(before[table]) for table in TABLES)


def test_a_later_backtest_replaces_trades_and_equity_and_keeps_earlier_figures(memory):
    record(memory)
    assert record(memory, session(70), sharpe=0.5)
    assert recorded_equity(memory)["session"][-1] == session(70)
    assert recorded_figures(memory) == {"session": session(70), "sharpe": 0.5}
    assert recorded_figures(memory, DAY) == {"session": DAY, "sharpe": 1.25}


def test_an_earlier_backtest_destroys_nothing_of_a_later_one(memory):
    record(memory)
    before = rows(memory)
    assert not record(memory, session(50), sharpe=0.5)
    after = rows(memory)
    for table in ("trades", "backtest_equity"):
        assert after[table].equals(before[table]), table
    assert after["backtest_figures"]["session"].to_list() == [session(50), DAY]


def test_figures_are_json_in_which_what_is_not_finite_or_absent_is_null(memory):
    record(
        memory,
        annual_return=float("inf"),
        sharpe=None,
        drawdown_peak_session=DAY,
        signals={"traded": 3},
        survivorship="all survived",
    )
    stored = memory.query("FROM backtest_figures").row(0, named=True)
    assert json.loads(stored["figures"]) == {
        "annual_return": None,
        "sharpe": None,
        "drawdown_peak_session": str(DAY),
        "signals": {"traded": 3},
        "survivorship": "all survived",
    }
    assert json.loads(stored["store_versions"]) == {"predictions": 3, "bars": 4}
    assert stored["config_digest"] == "c1"


def test_a_memory_without_backtests_says_so(memory):
    assert recorded_figures(memory) is None
    assert recorded_figures(memory, DAY) is None
    assert recorded_trades(memory).is_empty()
    assert recorded_equity(memory).is_empty()


def test_a_backtest_without_trades_empties_the_trades(memory):
    record(memory)
    flat = cut(random_case(), session(8)).run(CONFIG)
    record_backtest(
        memory,
        flat.trades,
        flat.equity.with_columns(session=pl.lit(session(80))),
        {},
        as_of=session(80),
        config_digest="c1",
        store_versions={},
    )
    assert recorded_trades(memory).is_empty()
    assert recorded_equity(memory).height == 1


def test_all_is_written_or_nothing(memory):
    record(memory)
    before = rows(memory)
    result = random_case().run(CONFIG)
    with pytest.raises(duckdb.ConstraintException):
        record_backtest(
            memory,
            result.trades,
            pl.concat([result.equity, result.equity.tail(1)]),
            {},
            as_of=session(89),
            config_digest="c1",
            store_versions={},
        )
    assert all(rows(memory)[table].equals(before[table]) for table in TABLES)


def test_only_outcomes_that_were_known_by_the_end_of_a_span_are_read(memory):
    first, last = session(10), session(20)
    outcomes = pl.DataFrame(
        {
            "session": [session(9), session(10), session(12), session(19)],
            "symbol": "AAA",
            "model_version": "m1",
            "role": "champion",
            "signal": "BUY",
            "label": 2,
            "exit_reason": "profit_take",
            "entry_session": session(13),
            "exit_session": session(14),
            "entry_price": 10.0,
            "exit_price": 11.0,
            "return": 0.1,
            "outcome": "win",
            "known_session": [session(12), session(20), session(21), session(20)],
        }
    )
    with memory.transaction() as connection:
        connection.register("outcomes", outcomes)
        connection.execute("INSERT INTO signal_outcomes BY NAME FROM outcomes")
        connection.unregister("outcomes")
    known = outcomes_known(memory, SessionSpan(first, last))
    assert known["session"].to_list() == [session(10), session(19)]


def test_the_newest_record_of_a_model_says_by_which_rule_it_is_traded(memory):
    later = NOW + dt.timedelta(hours=1)
    other = RULE.model_copy(update={"horizon_sessions": 9})
    for name, run, rule, at in (
        ("m1", "first", RULE, NOW),
        ("m1", "second", other, later),
        ("m2", "first", RULE, NOW),
    ):
        configuration = {"triple_barrier": rule.model_dump()}
        told = record_of(name, DAY, dagster_run_id=run, configuration=configuration, finished_at=at)
        record_model(memory, told, performance())
    for name, configuration in (("old", {}), ("foreign", {"triple_barrier": {"width": 3}})):
        record_model(memory, record_of(name, DAY, configuration=configuration), performance())
    assert trading_rules(memory) == {"m1": other, "m2": RULE}
    assert all(isinstance(rule, TripleBarrierConfig) for rule in trading_rules(memory).values())
