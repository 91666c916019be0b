import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import ContractError
from turbomode_assets.contracts.tables import LABELS
from turbomode_assets.sessions import offset_session
from turbomode_assets.signals import close_signals, fully_known, name_unsettled, outcome_figures
from turbomode_assets.signals.outcomes import (
    FIGURES_SCHEMA,
    LABEL_ABSENT,
    LABELS_ABSENT,
    NOT_CLOSED,
    OUTCOME_SCHEMA,
    RULE_OTHER,
    RULE_UNKNOWN,
    UNSETTLED_SCHEMA,
)
from turbomode_assets_tests.builders import make_rows

FRIDAY = dt.date(2017, 11, 10)
MONDAY, TUESDAY, WEDNESDAY = (offset_session(FRIDAY, count) for count in (1, 2, 3))
SIGNALS = pl.Schema(
    {
        "session": pl.Date,
        "symbol": pl.String,
        "model_version": pl.String,
        "role": pl.String,
        "signal": pl.String,
        "p_sell": pl.Float64,
        "p_hold": pl.Float64,
        "p_buy": pl.Float64,
        "rule_digest": pl.String,
        "label_sessions": pl.Int64,
    }
)
REASONS = {0: "stop_loss", 1: "expiry", 2: "profit_take"}


def said(
    signal="BUY",
    *,
    symbol="A",
    session=FRIDAY,
    model="m1",
    rule: str | None = "r1",
    p=(0.2, 0.2, 0.6),
):
    row = {
        "session": session,
        "symbol": symbol,
        "model_version": model,
        "role": "champion",
        "signal": signal,
        **dict(zip(("p_sell", "p_hold", "p_buy"), p, strict=True)),
        "rule_digest": rule,
        "label_sessions": None if rule is None else 3,
    }
    return pl.DataFrame([row], schema=SIGNALS)


def label(number, *, symbol="A", decision=FRIDAY, known=TUESDAY, exit_price=110.0, rule="r1"):
    row = {
        "symbol": symbol,
        "session": known,
        "decision_session": decision,
        "entry_session": offset_session(decision, 1),
        "exit_session": known,
        "label": number,
        "exit_reason": REASONS[number],
        "entry_price": 100.0,
        "exit_price": exit_price,
        "return": exit_price / 100 - 1,
    }
    return make_rows(LABELS, row).with_columns(rule_digest=pl.lit(rule))


@pytest.mark.parametrize(
    ("signal", "number", "exit_price", "answer"),
    [
        ("BUY", 2, 110.0, ("win", 0.1)),
        ("BUY", 0, 90.0, ("loss", -0.1)),
        ("BUY", 1, 103.0, ("expired", 0.03)),
        ("SELL", 0, 90.0, ("win", 0.1)),
        ("SELL", 2, 110.0, ("loss", -0.1)),
        ("SELL", 1, 103.0, ("expired", -0.03)),
    ],
)
def test_the_side_whose_barrier_was_first_wins(signal, number, exit_price, answer):
    closed = close_signals(said(signal), label(number, exit_price=exit_price)).row(0, named=True)
    assert closed["outcome"] == answer[0]
    assert closed["return"] == pytest.approx(answer[1])
    assert (closed["label"], closed["known_session"]) == (number, TUESDAY)
    assert (closed["entry_session"], closed["exit_session"]) == (MONDAY, TUESDAY)


def test_a_delisted_stock_expires_at_its_last_close():
    delisted = label(1, exit_price=80.0).with_columns(exit_reason=pl.lit("delisting"))
    closed = close_signals(said("SELL"), delisted).row(0, named=True)
    assert (closed["outcome"], closed["exit_reason"]) == ("expired", "delisting")
    assert closed["return"] == pytest.approx(0.2)


def test_a_hold_keeps_its_label_and_is_no_position():
    closed = close_signals(said("HOLD"), label(2)).row(0, named=True)
    assert (closed["label"], closed["outcome"], closed["return"]) == (2, None, None)


def test_every_model_that_signalled_gets_its_own_outcome_in_order():
    signals = pl.concat(
        [said("SELL", model="m2"), said(symbol="B"), said(model="m1"), said(session=MONDAY)]
    )
    closed = close_signals(signals, pl.concat([label(2), label(0, symbol="B")]))
    assert closed.schema == OUTCOME_SCHEMA
    assert closed.select("symbol", "model_version", "outcome").rows() == [
        ("A", "m1", "win"),
        ("A", "m2", "loss"),
        ("B", "m1", "loss"),
    ]


def test_a_label_of_another_rule_or_none_closes_nothing():
    signals = pl.concat([said(rule="r2"), said(model="m2", rule=None)])
    for rule in ("r1", None):
        made = label(2).with_columns(rule_digest=pl.lit(rule, dtype=pl.String))
        assert close_signals(signals, made).equals(OUTCOME_SCHEMA.to_frame())


def test_two_labels_of_one_decision_are_refused_and_named():
    twice = pl.concat([label(2), label(0, known=WEDNESDAY)])
    with pytest.raises(ContractError, match=r"decision_session=2017-11-10 session=2017-11-14"):
        close_signals(said(), twice)


def test_a_decision_whose_labels_went_over_to_another_rule_ends_by_its_own_model_s():
    both = pl.concat([label(2), label(0, known=WEDNESDAY, rule="r2")])
    signals = pl.concat([said(), said(model="m2", rule="r2")])
    closed = close_signals(signals, both)
    assert closed.select("model_version", "outcome", "known_session").rows() == [
        ("m1", "win", TUESDAY),
        ("m2", "loss", WEDNESDAY),
    ]


RULES = pl.DataFrame({"session": [MONDAY, TUESDAY, WEDNESDAY], "rule_digest": ["r1"] * 3})
NO_LABELS = label(2).clear()


@pytest.mark.parametrize(
    ("signals", "labels", "rules", "reason"),
    [
        (said(), NO_LABELS, RULES, LABEL_ABSENT),
        (said(), label(2), RULES, NOT_CLOSED),
        (said(), label(2, symbol="B"), RULES, LABEL_ABSENT),
        (said(), NO_LABELS, RULES.filter(pl.col("session") != TUESDAY), LABELS_ABSENT),
        (said(rule="r2"), label(2), RULES, RULE_OTHER),
        (said(rule=None), label(2), RULES, RULE_UNKNOWN),
    ],
)
def test_a_signal_that_is_due_without_an_outcome_is_named_with_the_reason(
    signals, labels, rules, reason
):
    named = name_unsettled(signals, labels, rules, as_of=WEDNESDAY)
    due = FRIDAY if reason == RULE_UNKNOWN else WEDNESDAY
    assert named.schema == UNSETTLED_SCHEMA
    assert named.rows() == [(reason, FRIDAY, due, "A", "m1", "BUY")]


def test_a_signal_is_due_at_its_vertical_barrier_and_not_before():
    rules = RULES.filter(pl.col("session") <= TUESDAY)
    assert name_unsettled(said(), NO_LABELS, rules, as_of=TUESDAY).is_empty()
    assert name_unsettled(said().clear(), NO_LABELS, rules, as_of=TUESDAY).is_empty()


def test_figures_leave_out_signals_of_which_some_are_still_open():
    ended = close_signals(said(), label(2, known=MONDAY)).with_columns(label_sessions=3)
    assert fully_known(ended, as_of=TUESDAY).is_empty()
    assert fully_known(ended, as_of=WEDNESDAY).equals(ended)


def outcomes_of(*cases):
    """Closed signals (signal, label, exit price, probability of its side), one symbol each."""
    signals, labels = [], []
    for number, (signal, outcome, exit_price, probability) in enumerate(cases):
        rest = (1 - probability) / 2
        place = ("SELL", "HOLD", "BUY").index(signal)
        p = tuple(probability if column == place else rest for column in range(3))
        signals.append(said(signal, symbol=f"S{number:03}", p=p))
        labels.append(label(outcome, symbol=f"S{number:03}", exit_price=exit_price))
    probabilities = pl.concat(signals)
    return close_signals(probabilities, pl.concat(labels)).join(
        probabilities.select("symbol", "p_sell", "p_hold", "p_buy"), on="symbol", validate="1:1"
    )


SIX = outcomes_of(
    ("BUY", 2, 110.0, 0.62),
    ("BUY", 2, 104.0, 0.68),
    ("BUY", 0, 95.0, 0.7),
    ("SELL", 1, 98.0, 0.61),
    ("HOLD", 1, 101.0, 0.5),
    ("HOLD", 2, 120.0, 0.58),
)


def figures_by(by, frame):
    rows = frame.filter(pl.col("by") == by).drop("by").rows(named=True)
    return {row.pop("group"): row for row in rows}


def test_figures_of_six_signals_as_worked_by_hand():
    figures = outcome_figures(SIX)
    assert figures.schema == FIGURES_SCHEMA
    assert figures_by("all", figures)["positions"] == pytest.approx(
        {
            "rows": 4,
            "wins": 2,
            "losses": 1,
            "expired": 1,
            "hit_rate": 2 / 3,
            "came_true": 2 / 4,
            "mean_probability": (0.62 + 0.68 + 0.7 + 0.61) / 4,
            "expectancy": (0.1 + 0.04 - 0.05 + 0.02) / 4,
        }
    )
    sides = figures_by("side", figures)
    assert list(sides) == ["BUY", "HOLD", "SELL"]
    assert sides["SELL"]["hit_rate"] is None
    assert sides["SELL"]["expectancy"] == pytest.approx(0.02)
    assert (sides["HOLD"]["wins"], sides["HOLD"]["expired"]) == (0, 0)
    assert (sides["HOLD"]["came_true"], sides["HOLD"]["expectancy"]) == (0.5, None)


def test_calibration_compares_what_was_said_with_what_came_true_in_tenths():
    confidence = figures_by("confidence", outcome_figures(SIX))
    assert {group: row["rows"] for group, row in confidence.items()} == {
        "0.6 to 0.7": 3,
        "0.7 to 0.8": 1,
    }
    assert confidence["0.6 to 0.7"]["came_true"] == pytest.approx(2 / 3)
    assert confidence["0.6 to 0.7"]["mean_probability"] == pytest.approx((0.62 + 0.68 + 0.61) / 3)
    held = figures_by("hold confidence", outcome_figures(SIX))
    assert (held["0.5 to 0.6"]["rows"], held["0.5 to 0.6"]["came_true"]) == (2, 0.5)


def test_an_edge_belongs_to_the_tenth_above_and_certainty_to_the_last():
    edges = [edge / 10 for edge in range(1, 10)] + [1.0]
    cases = outcomes_of(*(("BUY", 2, 110.0, edge) for edge in edges))
    groups = outcome_figures(cases).filter(pl.col("by") == "confidence")
    assert groups["group"].to_list() == [
        *(f"0.{edge} to {(edge + 1) / 10:.1f}" for edge in range(1, 10))
    ]
    assert groups["rows"].to_list() == [1] * 8 + [2]


def test_figures_by_regime_of_the_signals_session():
    other = SIX.with_columns(session=pl.lit(MONDAY))
    regimes = pl.DataFrame({"session": [FRIDAY, MONDAY], "regime": ["bull", None]})
    figures = figures_by("regime", outcome_figures(pl.concat([SIX, other.head(1)]), regimes))
    assert {group: row["rows"] for group, row in figures.items()} == {"bull": 4, "unknown": 1}
    assert "regime" not in outcome_figures(SIX)["by"].to_list()


def test_without_outcomes_there_are_no_figures():
    assert outcome_figures(SIX.clear()).equals(FIGURES_SCHEMA.to_frame())


CASES = st.lists(
    st.tuples(
        st.sampled_from(["SELL", "HOLD", "BUY"]),
        st.integers(0, 2),
        st.floats(50, 150),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=40)
@given(cases=CASES)
def test_every_grouping_holds_every_position_once_and_agrees_with_the_whole(cases):
    outcomes = outcomes_of(*cases)
    regimes = pl.DataFrame({"session": [FRIDAY], "regime": ["bear"]})
    figures = outcome_figures(outcomes, regimes)
    positions = outcomes.filter(pl.col("signal") != "HOLD")
    for by in ("all", "confidence", "regime"):
        rows = figures.filter(pl.col("by") == by)
        assert rows["rows"].sum() == positions.height
        for count, outcome in (("wins", "win"), ("losses", "loss"), ("expired", "expired")):
            assert rows[count].sum() == (positions["outcome"] == outcome).sum()
        total = (rows["rows"] * rows["expectancy"]).sum()
        assert total == pytest.approx(positions["return"].sum(), abs=1e-9)
    assert figures.filter(pl.col("by") == "side")["rows"].sum() == outcomes.height


@settings(max_examples=40)
@given(cases=CASES)
def test_mirrored_sides_mirror_returns_and_keep_outcomes_of_neither(cases):
    mirror = {"BUY": "SELL", "SELL": "BUY", "HOLD": "HOLD"}
    closed = outcomes_of(*cases)
    other = outcomes_of(*((mirror[signal], *rest) for signal, *rest in cases))
    swapped = closed["outcome"].replace({"win": "loss", "loss": "win"})
    assert other["outcome"].to_list() == swapped.to_list()
    assert other["return"].equals(-closed["return"])
