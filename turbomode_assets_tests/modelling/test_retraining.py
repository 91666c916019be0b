"""What is recorded of a small market, and what the retraining policy makes of it."""

import datetime as dt
import json
import shutil

import polars as pl
import pytest

from turbomode_assets.contracts.tables import PREDICTIONS, lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.modelling.retraining import cause_at, training_state
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Lake, ModelMemory
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets.stores.model_registry import champion_or_none
from turbomode_assets.stores.promotions import promote_by_hand
from turbomode_assets.stores.signal_book import record_drift
from turbomode_assets_tests.builders import fill_columns, write_configs
from turbomode_assets_tests.market import AS_OF, NIGHT

HORIZON_SESSIONS = 14
SINCE = 40
"""Sessions that the champion is made older by: as many of its signals may have outcomes."""
RIGHT, WRONG = 0.9, 0.05


def memory_of(settings):
    return ModelMemory(settings.memory_path, settings.tenant_name)


def lake_of(settings):
    return Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))


def configure(settings, **keys):
    """Change rules of the orchestrator; all others are those shipped."""
    changes = {f"training_orchestrator.{key.replace('__', '.')}": keys[key] for key in keys}
    write_configs(settings.configs, training=changes)


def backdate(settings, sessions):
    """Let the model have been trained, and promoted, so many sessions earlier."""
    earlier = offset_session(AS_OF, -sessions)
    with memory_of(settings).transaction() as connection:
        connection.execute("UPDATE model_metadata SET as_of_session = ?", [earlier])
        connection.execute("UPDATE promotions SET effective_session = ?", [earlier])
    return earlier


def train_again(settings, as_of, decision):
    """Record another model as of a session, and what was decided about it; return its version."""
    with memory_of(settings).transaction() as connection:
        connection.execute(
            "INSERT INTO model_metadata SELECT * REPLACE ('again' AS model_version, ? AS"
            " as_of_session) FROM model_metadata",
            [as_of],
        )
        connection.execute(
            "INSERT INTO promotions SELECT * REPLACE (sequence + 1 AS sequence, 'again' AS"
            " model_version, ? AS decision, ? AS effective_session) FROM promotions",
            [decision, None if decision == "refused" else NIGHT],
        )
    return "again"


def audit(settings, span, verdict, *, symbols=("SIM001",)):
    """Let the ledger say that of daily candles; None: that nothing was audited."""
    writer = MasterWriter(settings.master_root)
    scope = {"symbols": list(symbols), "timeframes": ["1d"]}
    rows = writer.read("partition_status", caller="test", span=span, **scope).rows
    rows = rows.clear() if verdict is None else rows.with_columns(verdict=pl.lit(verdict))
    writer.replace("partition_status", rows, span=span, caller="test", **scope)


def last(sessions):
    """So many sessions up to AS_OF."""
    return SessionSpan(offset_session(AS_OF, 1 - sessions), AS_OF)


def drift(settings, session, *, alerts, model_version=None):
    """Record drift of a session: so many of a hundred features beyond their limits."""
    rows = pl.DataFrame(
        {
            "session": session,
            "model_version": model_version
            or champion_or_none(memory_of(settings), AS_OF).model_version,
            "feature": [f"f{number:02d}" for number in range(100)],
            "psi": 0.3,
            "expected_psi": 0.1,
            "rows": 6,
            "verdict": ["alert"] * alerts + ["stable"] * (100 - alerts),
        },
        schema_overrides={"rows": pl.Int32},
    )
    verdicts = rows.group_by("session", "model_version").agg(
        features=pl.lit(100, dtype=pl.Int32),
        exceeding=pl.lit(alerts, dtype=pl.Int32),
        share=pl.lit(alerts / 100),
        verdict=pl.lit("alert" if alerts >= 5 else "warn"),
        retrain=pl.lit(alerts >= 5),
    )
    record_drift(memory_of(settings), rows, SessionSpan(session, session), verdicts=verdicts)


def signal(settings, *, p_label, model_version=None):
    """Store a signal for every label known by AS_OF, with that probability for what came true."""
    model = model_version or champion_or_none(memory_of(settings), AS_OF).model_version
    lake = lake_of(settings)
    span = SessionSpan(offset_session(AS_OF, -SINCE), AS_OF)
    labels = lake.read("labels", caller="test", span=span).rows.filter(
        pl.col("decision_session") >= span.first
    )
    numbers = enumerate(("p_sell", "p_hold", "p_buy"))
    said = labels.select(
        "symbol",
        session=pl.col("decision_session"),
        signal=pl.lit("BUY"),
        model_version=pl.lit(model),
        **{
            name: pl.when(pl.col("label") == number).then(p_label).otherwise((1 - p_label) / 2)
            for number, name in numbers
        },
    )
    rows = fill_columns(PREDICTIONS, said.sort("symbol", "session"))
    lake.replace("predictions", rows, span=span, caller="test")


def state_of(settings):
    return training_state(settings, settings.training(), AS_OF)


def test_on_the_session_that_was_trained_nothing_is_due(market):
    state = state_of(market)
    assert state.last_trained == AS_OF
    assert state.champion_as_of == AS_OF
    assert state.last_refused is False
    assert state.green_at_training == state.green_now
    assert len(state.green_now) == 6
    assert state.outcomes.is_empty()
    assert cause_at(market, AS_OF) is None


@pytest.mark.parametrize("lost", ["the memory", "every model"])
def test_before_anything_was_trained_the_first_training_is_due(market, lost):
    if lost == "the memory":
        market.memory_path.unlink()
    else:
        with memory_of(market).transaction() as connection:
            connection.execute("DELETE FROM model_metadata")
    assert state_of(market).last_trained is None
    assert cause_at(market, AS_OF).kind == "first"


def test_a_training_as_of_a_later_session_is_not_known_at_an_earlier_one(market):
    earlier = offset_session(AS_OF, -1)
    state = training_state(market, market.training(), earlier)
    assert state.last_trained is None
    assert state.champion_as_of is None


@pytest.mark.parametrize(("cadence", "kind"), [(5, "cadence"), (6, None)])
def test_a_training_is_due_once_its_sessions_have_passed(market, cadence, kind):
    trained = backdate(market, 5)
    configure(market, cadence_sessions=cadence)
    cause = cause_at(market, AS_OF)
    assert getattr(cause, "kind", None) == kind
    if kind:
        assert str(trained) in cause.text


def test_a_refused_model_counts_as_trained_and_is_no_champion(market):
    with memory_of(market).transaction() as connection:
        connection.execute("DELETE FROM promotions")
    state = state_of(market)
    assert state.last_trained == AS_OF
    assert state.champion_as_of is None


@pytest.mark.parametrize("decision", ["refused", "promoted", "withdrawn"])
def test_the_log_says_whether_the_last_training_was_refused(market, decision):
    champion = backdate(market, 2)
    train_again(market, offset_session(AS_OF, -1), decision)
    state = state_of(market)
    assert state.last_trained == offset_session(AS_OF, -1)
    assert state.champion_as_of == champion
    assert state.last_refused == (decision == "refused")


def test_a_refused_model_promoted_by_hand_is_refused_no_longer(market):
    backdate(market, 2)
    yesterday = offset_session(AS_OF, -1)
    again = train_again(market, yesterday, "refused")
    given = {"reason": "it is good", "by": "me", "effective_session": yesterday}
    promote_by_hand(memory_of(market), again, at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), **given)
    state = state_of(market)
    assert state.champion_as_of == yesterday
    assert state.last_refused is False


def test_sessions_with_enough_drifting_features_are_alarms_and_enough_of_them_a_cause(market):
    trained = backdate(market, 4)
    sessions = SessionSpan(trained, AS_OF).sessions
    share = market.training().drift_detection.alarm_share
    few, many = round(100 * share) - 1, round(100 * share)
    for session, alerts in zip(sessions, (many, many, few, many, many), strict=True):
        drift(market, session, alerts=alerts)
    state = state_of(market)
    assert state.drift_alarms == (sessions[0], sessions[1], sessions[3], sessions[4])
    configure(market, drift_alarm_sessions=3)
    cause = cause_at(market, AS_OF)
    assert cause.kind == "drift"
    assert cause.text.startswith("3 sessions with a drift alarm")
    configure(market, drift_alarm_sessions=4)
    assert cause_at(market, AS_OF) is None


def test_alarms_against_the_reference_of_an_earlier_champion_say_nothing_of_this_one(market):
    backdate(market, 2)
    drift(market, offset_session(AS_OF, -1), alerts=100, model_version="an earlier champion")
    drift(market, AS_OF, alerts=100)
    assert state_of(market).drift_alarms == (AS_OF,)


def test_a_symbol_that_left_is_a_change_of_coverage_until_the_next_training(market):
    trained = backdate(market, 6)
    audit(market, last(5), "RED")
    state = state_of(market)
    assert state.green_at_training - state.green_now == {"SIM001"}
    cause = cause_at(market, AS_OF)
    assert cause.kind == "coverage"
    assert (
        f"of 6 symbols GREEN at the training as of {trained} 1 left (SIM001): 16.7%" in cause.text
    )
    configure(market, coverage_change=0.2)
    assert cause_at(market, AS_OF) is None
    configure(market)
    backdate(market, 1)
    audit(market, last(6), "RED")
    assert len(state_of(market).green_at_training) == 5
    assert cause_at(market, AS_OF) is None


def test_a_symbol_that_came_is_a_change_of_coverage(market):
    trained = backdate(market, 2)
    audit(market, SessionSpan(offset_session(trained, -4), trained), "AMBER")
    assert "of 5 symbols GREEN" in cause_at(market, AS_OF).text
    assert "1 came (SIM001): 20.0% changed" in cause_at(market, AS_OF).text


def test_an_outage_shorter_than_the_sessions_looked_at_is_no_change_of_coverage(market):
    backdate(market, 10)
    everyone = state_of(market).green_now
    audit(market, last(4), "RED", symbols=everyone)
    state = state_of(market)
    assert state.green_now == state.green_at_training == everyone
    assert cause_at(market, AS_OF) is None
    audit(market, last(5), "RED", symbols=everyone)
    assert state_of(market).green_now == frozenset()
    assert "6 left" in cause_at(market, AS_OF).text


@pytest.mark.parametrize("missing", ["then", "now", "ever"])
def test_coverage_is_not_judged_without_a_ledger(market, missing):
    trained = backdate(market, 2)
    everyone = state_of(market).green_now
    if missing == "ever":
        shutil.rmtree(f"{market.master_root}/partition_status")
    else:
        session = {"then": trained, "now": AS_OF}[missing]
        audit(market, SessionSpan(session, session), None, symbols=everyone)
    state = state_of(market)
    assert (state.green_at_training is None) == (missing != "now")
    assert (state.green_now is None) == (missing != "then")
    assert cause_at(market, AS_OF) is None


def test_the_champions_signals_are_held_against_what_came_true(market):
    backdate(market, SINCE)
    signal(market, p_label=WRONG)
    state = state_of(market)
    assert state.outcomes.height > 100
    known = lake_of(market).read("labels", caller="test").rows
    assert state.outcomes.join(
        known, on=["decision_session", "session", "label"], how="anti"
    ).is_empty()
    model = memory_of(market).query("SELECT metrics FROM model_metadata").item()
    shares = json.loads(model)["class_shares"]
    stated = state.outcomes.select("share_sell", "share_hold", "share_buy").unique()
    assert stated.rows() == [(shares["SELL"], shares["HOLD"], shares["BUY"])]
    configure(market, underperformance__window_sessions=10)
    cause = cause_at(market, AS_OF)
    assert cause.kind == "underperformance"
    oldest = offset_session(AS_OF, -HORIZON_SESSIONS - 1)
    assert f"of 10 decision sessions, {offset_session(oldest, -9)} to {oldest}" in cause.text


@pytest.mark.parametrize("said", ["well", "by another model"])
def test_a_champion_that_does_as_promised_is_left(market, said):
    backdate(market, SINCE)
    if said == "well":
        signal(market, p_label=RIGHT)
        assert state_of(market).outcomes.height
    else:
        signal(market, p_label=WRONG, model_version="another")
        assert state_of(market).outcomes.is_empty()
    configure(market, underperformance__window_sessions=10)
    assert cause_at(market, AS_OF) is None


def test_signals_of_another_label_rule_are_not_held_against_the_labels_of_this_one(market):
    backdate(market, SINCE)
    signal(market, p_label=WRONG)
    configure(market, underperformance__window_sessions=10)
    assert cause_at(market, AS_OF).kind == "underperformance"
    other = {"triple_barrier.profit_take": 3.0}
    window = {"training_orchestrator.underperformance.window_sessions": 10}
    write_configs(market.configs, training=window | other)
    assert state_of(market).outcomes.is_empty()
    assert cause_at(market, AS_OF) is None
    write_configs(market.configs, training=window)
    with memory_of(market).transaction() as connection:
        connection.execute("UPDATE training_runs SET configuration = NULL")
    assert state_of(market).outcomes.is_empty()


def test_after_a_refused_challenger_the_same_champion_is_found_wrong_half_a_cadence_later(market):
    champion = backdate(market, SINCE)
    signal(market, p_label=WRONG)
    before = state_of(market).outcomes
    train_again(market, offset_session(AS_OF, -5), "refused")
    state = state_of(market)
    assert state.champion_as_of == champion
    assert state.outcomes.equals(before)
    configure(market, underperformance__window_sessions=10, cadence_sessions=12)
    assert cause_at(market, AS_OF) is None
    configure(market, underperformance__window_sessions=10, cadence_sessions=11)
    assert cause_at(market, AS_OF).kind == "underperformance"


def test_evidence_is_named_before_routine(market):
    backdate(market, SINCE)
    configure(market, cadence_sessions=SINCE, underperformance__window_sessions=10)
    assert cause_at(market, AS_OF).kind == "cadence"
    signal(market, p_label=WRONG)
    assert cause_at(market, AS_OF).kind == "underperformance"
