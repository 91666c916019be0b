"""What is traded on a signal, by hand and against the label function itself."""

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.labels import triple_barrier
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.signals import daily_volatility, with_trade_terms
from turbomode_assets.signals.barriers import TRADE_TERMS
from turbomode_assets_tests.features.panels import panel
from turbomode_assets_tests.labels.builders import (
    CONFIG,
    DECISION,
    RUN_UP,
    VOLATILITY,
    after_run_up,
    bars,
    flat,
)

AT_CLOSE = CONFIG.model_copy(update={"entry": "close"})
NIGHT = SessionSpan(DECISION, DECISION)
UPPER, LOWER = 102 * (1 + 2 * VOLATILITY), 102 * (1 - VOLATILITY)
"""Profit barrier at two volatilities above the close of 102, stop at one below it."""


def said(signal, symbol="AAA", session=DECISION):
    shares = {"SELL": (0.6, 0.3, 0.1), "HOLD": (0.3, 0.45, 0.25), "BUY": (0.2, 0.1, 0.7)}
    p_sell, p_hold, p_buy = shares[signal]
    row = {"symbol": symbol, "session": session, "signal": signal}
    return pl.DataFrame([row | {"p_sell": p_sell, "p_hold": p_hold, "p_buy": p_buy}])


def market(close=102.0, volatility=VOLATILITY, symbol="AAA"):
    row = {"symbol": symbol, "session": DECISION, "close": close, "volatility": volatility}
    return pl.DataFrame([row], schema_overrides={"close": pl.Float64, "volatility": pl.Float64})


def terms(signal, rule=CONFIG):
    return with_trade_terms(said(signal), market(), rule).row(0, named=True)


@pytest.mark.parametrize(
    ("signal", "confidence", "profit_take", "stop_loss"),
    [("BUY", 0.7, UPPER, LOWER), ("SELL", 0.6, LOWER, UPPER), ("HOLD", 0.45, None, None)],
)
def test_a_sell_takes_its_profit_where_a_buy_takes_its_loss(
    signal, confidence, profit_take, stop_loss
):
    told = terms(signal)
    assert told["confidence"] == confidence
    assert told["entry_price_estimate"] == 102.0
    assert told["profit_take_price"] == (profit_take and pytest.approx(profit_take, rel=1e-9))
    assert told["stop_loss_price"] == (stop_loss and pytest.approx(stop_loss, rel=1e-9))


@pytest.mark.parametrize(("rule", "lag"), [(CONFIG, 1), (AT_CLOSE, 0)])
def test_the_vertical_barrier_stands_a_horizon_after_the_entry(rule, lag):
    told = terms("BUY", rule)
    assert told["entry_session"] == offset_session(DECISION, lag)
    assert told["expiry_session"] == offset_session(DECISION, lag + 3)


def test_entry_and_expiry_pass_over_weekends_and_holidays():
    # 2015-04-02 is the Thursday before Good Friday.
    thursday = dt.date(2015, 4, 2)
    prices = market().with_columns(session=pl.lit(thursday))
    told = with_trade_terms(said("BUY", session=thursday), prices, CONFIG).row(0, named=True)
    assert told["entry_session"] == dt.date(2015, 4, 6)
    assert told["expiry_session"] == dt.date(2015, 4, 9)


def test_the_columns_of_the_predictions_stay_and_the_terms_follow():
    rows = said("SELL")
    told = with_trade_terms(rows, market(), CONFIG)
    assert told.select(rows.columns).equals(rows)
    assert dict(list(told.schema.items())[rows.width :]) == dict(TRADE_TERMS)


@pytest.mark.parametrize(
    "prices", [market(close=None), market(volatility=None), market(symbol="BBB")]
)
def test_a_signal_without_a_price_or_a_volatility_is_named(prices):
    with pytest.raises(MissingDataError, match="symbol=AAA"):
        with_trade_terms(said("BUY"), prices, CONFIG)


def test_the_volatility_is_that_of_the_window_up_to_the_decision():
    found = daily_volatility(after_run_up(flat(80.0)), NIGHT, CONFIG)
    assert found.rows() == [("AAA", DECISION, pytest.approx(VOLATILITY, rel=1e-8))]


def test_a_gap_in_the_window_and_a_price_that_never_moves_have_no_volatility():
    gap = bars([*(flat(close) for close in RUN_UP[:2]), None, *(flat(c) for c in RUN_UP[3:])])
    still = bars([flat(50.0)] * 6, "BBB")
    young = after_run_up(symbol="CCC").tail(4)
    rows = pl.concat([gap, still, young, after_run_up(symbol="DDD")])
    assert daily_volatility(rows, NIGHT, CONFIG)["symbol"].to_list() == ["DDD"]


def test_each_night_has_the_volatility_that_a_range_has_to_the_last_bit():
    prices = panel(3, 60, missing=0.02)
    days = prices["session"].unique().sort()
    span = SessionSpan(days[30], days[-1])
    ranged = daily_volatility(prices, span, CONFIG)
    nights = pl.concat(
        daily_volatility(prices.filter(pl.col("session") <= day), SessionSpan(day, day), CONFIG)
        for day in span.sessions
    )
    assert ranged.height > 50
    assert nights.sort("symbol", "session").equals(ranged.sort("symbol", "session"))


@settings(max_examples=25)
@given(
    st.integers(0, 10_000),
    st.floats(0.5, 3.0),
    st.floats(0.3, 3.0),
    st.integers(1, 10),
)
def test_the_label_function_ends_where_the_signal_said_it_would(seed, profit, stop, horizon):
    rule = AT_CLOSE.model_copy(
        update={"profit_take": profit, "stop_loss": stop, "horizon_sessions": horizon}
    )
    prices = panel(3, 60, seed=seed, missing=0.03)
    days = prices["session"].unique().sort()
    span = SessionSpan(days[10], days[-1])
    labels = triple_barrier(prices, rule, known_in=span)
    decided = labels.select("symbol", session="decision_session")
    decisions = decided.with_columns(
        signal=pl.lit("BUY"), p_sell=pl.lit(0.1), p_hold=pl.lit(0.2), p_buy=pl.lit(0.7)
    )
    first = decided["session"].min()
    volatility = daily_volatility(prices, SessionSpan(first, days[-1]), rule)
    facts = prices.join(volatility, on=["symbol", "session"])
    told = with_trade_terms(decisions, facts, rule)
    assert told["entry_price_estimate"].equals(labels["entry_price"], check_names=False)
    assert told["entry_session"].equals(labels["entry_session"], check_names=False)
    assert (told["expiry_session"] >= labels["session"]).all()
    both = labels.hstack(told.select(TRADE_TERMS.names()).drop("entry_session"))
    opens = prices.select("symbol", exit_session="session", at_open="open")
    both = both.join(opens, on=["symbol", "exit_session"], validate="m:1")
    for reason, price, beyond in (
        ("profit_take", "profit_take_price", pl.col("at_open") >= pl.col("profit_take_price")),
        ("stop_loss", "stop_loss_price", pl.col("at_open") <= pl.col("stop_loss_price")),
    ):
        ended = both.filter(pl.col("exit_reason") == reason)
        at = pl.when(beyond).then("at_open").otherwise(price)
        assert ended.select((pl.col("exit_price") == at).all()).item()
