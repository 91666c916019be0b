"""Stored predictions against what went out, and trades against recorded outcomes."""

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.backtest import compare_outcomes, require_live_signals
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets_tests.backtest.builders import FREE, random_case, session, signals

SENT = signals(("AAA", 5, "BUY", 0.6), ("BBB", 5, "SELL", 0.7), ("AAA", 6, "HOLD", 0.4))
SAID = SENT.with_columns(role=pl.lit("champion"))


def outcomes():
    """The recorded outcomes of a market made by chance, as its labels say."""
    return random_case().labels.select(
        "symbol",
        pl.col("decision_session").alias("session"),
        *("entry_session", "exit_session", "exit_reason", "entry_price", "exit_price"),
        model_version=pl.lit("m1"),
    )


def trades():
    return random_case().run(FREE.model_copy(update={"slippage_bps": 30.0})).trades


def test_what_went_out_to_the_last_digit_is_accepted_among_all_that_was_said():
    unsent = SAID.with_columns(
        model_version=pl.lit("rival"), p_buy=pl.col("p_buy") + 0.01, role=pl.lit("challenger")
    )
    require_live_signals(SENT, pl.concat([unsent, SAID]).sample(fraction=1, shuffle=True, seed=1))


@given(
    row=st.integers(0, SENT.height - 1),
    name=st.sampled_from(["signal", "p_sell", "p_hold", "p_buy", "model_version", "symbol"]),
)
@settings(max_examples=20)
def test_any_single_value_that_differs_in_its_last_digit_is_refused_by_name(row, name):
    changed = SAID.to_dicts()
    before = changed[row]
    value = before[name]
    other = math.nextafter(value, 1) if isinstance(value, float) else f"not {value}"
    history = pl.DataFrame(
        [*changed[:row], before | {name: other}, *changed[row + 1 :]], schema=SAID.schema
    )
    with pytest.raises(MissingDataError) as caught:
        require_live_signals(SENT, history)
    assert f"session={before['session']} symbol={before['symbol']} model" in caught.value.what
    assert f"--partition-range {before['session']}...{before['session']}" in caught.value.fix


def test_a_session_of_signals_without_predictions_is_refused():
    with pytest.raises(MissingDataError, match=f"without predictions: session={session(6)}\n"):
        require_live_signals(SENT.filter(session=session(5)), SAID)


def test_a_symbol_whose_prediction_is_lost_is_refused_by_name():
    for symbol in ("AAA", "BBB"):
        with pytest.raises(MissingDataError, match=f"session={session(5)} symbol={symbol}"):
            require_live_signals(
                SENT.filter(~((pl.col("symbol") == symbol) & (pl.col("session") == session(5)))),
                SAID,
            )


def test_what_a_challenger_sent_instead_and_what_a_former_champion_said_is_not_lost():
    rival, former = (
        SAID.with_columns(model_version=pl.lit(name), role=pl.lit(role))
        for name, role in (("rival", "challenger"), ("former", "champion"))
    )
    instead = rival.filter(symbol="AAA").select(SENT.columns)
    sent = pl.concat([instead, SENT.filter(symbol="BBB")])
    require_live_signals(sent, pl.concat([SAID, rival, former]))


def test_a_session_that_was_never_signalled_is_no_difference():
    require_live_signals(SENT.filter(session=session(5)), SAID.filter(session=session(5)))


def test_every_closed_trade_is_compared_before_slippage():
    compared = compare_outcomes(trades(), outcomes())
    closed = trades().filter(pl.col("exit_session").is_not_null()).height
    assert (compared.compared, compared.differing.height) == (closed, 0)


def test_a_trade_without_an_outcome_is_not_compared():
    kept = outcomes().filter(pl.col("session") < session(40))
    early = trades().filter(
        pl.col("signal_session") < session(40), pl.col("exit_session").is_not_null()
    )
    assert compare_outcomes(trades(), kept).compared == early.height
    assert compare_outcomes(trades(), kept.clear()).compared == 0


def test_what_differs_is_named_with_what_it_differs_in():
    first, second, third = (trades().row(place, named=True) for place in (0, 1, 2))

    def of(trade):
        return (pl.col("session") == trade["signal_session"]) & (
            pl.col("symbol") == trade["symbol"]
        )

    changed = (
        outcomes()
        .with_columns(
            exit_price=pl.when(of(first))
            .then(pl.col("exit_price") * (1 + 1e-8))
            .otherwise(pl.col("exit_price")),
            exit_reason=pl.when(of(second)).then(pl.lit("?")).otherwise(pl.col("exit_reason")),
            exit_session=pl.when(of(second))
            .then(pl.lit(session(1)))
            .otherwise(pl.col("exit_session")),
            entry_price=pl.when(of(third))
            .then(pl.col("entry_price") * 7)
            .otherwise(pl.col("entry_price")),
        )
        .with_columns(
            exit_price=pl.when(of(third)).then(pl.col("exit_price") * 7).otherwise("exit_price")
        )
    )
    differing = compare_outcomes(trades(), changed).differing
    told = {(row["session"], row["symbol"]): row["differs_in"] for row in differing.to_dicts()}
    assert told == {
        (first["signal_session"], first["symbol"]): "exit_price",
        (second["signal_session"], second["symbol"]): "exit_session, exit_reason",
    }
