import dataclasses
import datetime as dt

import polars as pl
import pytest

from turbomode_assets.config.judging import TrainingOrchestratorConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.ensemble.retraining import TrainingState, retraining_cause
from turbomode_assets.sessions import offset_session
from turbomode_assets_tests.config.builders import shipped

TRAINED = dt.date(2016, 1, 4)
SYMBOLS = frozenset(f"S{number:02d}" for number in range(20))
CONFIG = TrainingOrchestratorConfig.model_validate(
    shipped("turbomode_training_config.json")["training_orchestrator"]
    | {
        "cadence_sessions": 40,
        "drift_alarm_sessions": 3,
        "coverage_change": 0.1,
        "underperformance": {"window_sessions": 10, "maximum_log_loss_excess": 0.05},
    }
)

EFFECTS: dict[str, object] = {
    "training_orchestrator.cadence_sessions": 20,
    "training_orchestrator.drift_alarm_sessions": 2,
    "training_orchestrator.coverage_change": 0.04,
    "training_orchestrator.underperformance.window_sessions": 5,
    "training_orchestrator.underperformance.maximum_log_loss_excess": 0.0,
}


def after(count):
    return offset_session(TRAINED, count)


def outcomes(decided, *, p_label=0.2, took=(1, 5)):
    """Two outcomes of each decision, known so many sessions later, forecast with that probability.

    The class shares gave what came true 0.25.
    """
    rows = [
        {
            "decision_session": after(number),
            "session": after(number + later),
            "label": 2,
            "p_sell": 0.5 * (1 - p_label),
            "p_hold": 0.5 * (1 - p_label),
            "p_buy": p_label,
            "share_sell": 0.5,
            "share_hold": 0.25,
            "share_buy": 0.25,
        }
        for number in decided
        for later in took
    ]
    return pl.DataFrame(rows, schema_overrides={"label": pl.Int8})


NO_OUTCOMES = outcomes([0]).clear()
STATE = TrainingState(
    last_trained=TRAINED,
    last_refused=False,
    champion_as_of=TRAINED,
    drift_alarms=(),
    green_at_training=SYMBOLS,
    green_now=SYMBOLS,
    outcomes=NO_OUTCOMES,
)


def cause(count, config=CONFIG, **changes):
    return retraining_cause(dataclasses.replace(STATE, **changes), config, session=after(count))


def kind(count, config=CONFIG, **changes):
    found = cause(count, config, **changes)
    return found.kind if found else None


def test_nothing_is_due_while_nothing_has_happened():
    assert cause(39) is None


def test_the_first_training_is_due_at_once():
    found = cause(1, last_trained=None, champion_as_of=None)
    assert found.kind == "first"
    assert "2016-01-05" in found.text


def test_cadence_counts_sessions_since_the_last_training():
    assert kind(39) is None
    assert kind(40) == "cadence"
    assert "40 sessions since the last training as of 2016-01-04" in cause(40).text


def test_drift_counts_sessions_with_an_alarm_since_the_last_training():
    two, third = (after(1), after(2), after(2)), after(9)
    assert kind(9, drift_alarms=two) is None
    assert kind(9, drift_alarms=(TRAINED, after(-1), *two)) is None
    assert kind(8, drift_alarms=(*two, third)) is None
    found = cause(9, drift_alarms=(third, *two))
    assert found.kind == "drift"
    assert "3 sessions with a drift alarm since 2016-01-04" in found.text
    assert str(third) in found.text


def test_coverage_counts_symbols_that_came_and_went():
    two_gone = SYMBOLS - {"S00", "S01"}
    assert kind(1, green_now=two_gone) is None
    found = cause(1, green_now=two_gone | {"NEW"})
    assert found.kind == "coverage"
    assert found.text == (
        "of 20 symbols GREEN at the training as of 2016-01-04 1 came (NEW), 2 left (S00, S01): "
        "15.0% changed (allowed 10.0%)"
    )
    assert kind(1, green_at_training=frozenset()) == "coverage"


def test_coverage_goes_unjudged_where_nothing_was_audited():
    assert kind(1, green_now=None) is None
    assert kind(1, green_at_training=None) is None
    assert kind(40, green_at_training=None, green_now=None) == "cadence"


def test_a_champion_worse_than_its_class_shares_is_underperforming():
    # ln(0.25 / 0.2) = 0.223 nats more.
    found = cause(15, outcomes=outcomes(range(1, 11)))
    assert found.kind == "underperformance"
    assert "log loss 1.6094 of the champion as of 2016-01-04 against 1.3863" in found.text
    assert "0.2231 more (allowed 0.05)" in found.text
    assert "20 outcomes of 10 decision sessions, 2016-01-05 to 2016-01-19" in found.text
    assert kind(15, outcomes=outcomes(range(1, 11), p_label=0.24)) is None
    assert kind(15, outcomes=outcomes(range(1, 11), p_label=0.6)) is None


def test_only_decisions_whose_every_outcome_is_known_are_judged():
    # Decisions 1 to 9 are resolved by session 14; of decision 10 only the quick half is known.
    assert kind(14, outcomes=outcomes(range(1, 11))) is None
    assert kind(15, outcomes=outcomes(range(1, 11))) == "underperformance"


def test_the_window_slides_over_older_decisions():
    bad_then_good = pl.concat([outcomes(range(1, 11)), outcomes(range(11, 21), p_label=0.5)])
    assert kind(15, outcomes=bad_then_good) == "underperformance"
    assert kind(25, outcomes=bad_then_good) is None


def test_a_champion_is_judged_on_its_whole_life_and_on_nothing_before_it():
    # Decisions 0 to 9 are resolved by session 14; the day it was trained as of counts.
    assert kind(13, outcomes=outcomes(range(-20, 31))) is None
    assert kind(14, outcomes=outcomes(range(-20, 31))) == "underperformance"


def test_a_refused_challenger_does_not_make_the_champion_any_younger():
    # Since the refused training of session 10 only one decision is resolved by session 15.
    config = CONFIG.model_copy(update={"cadence_sessions": 10})
    refused = {"last_trained": after(10), "last_refused": True, "outcomes": outcomes(range(100))}
    assert [kind(number, config, **refused) for number in range(10, 15)] == [None] * 5
    found = cause(15, config, **refused)
    assert found.kind == "underperformance"
    assert f"decision sessions, {after(1)} to {after(10)}" in found.text


WAITING = {
    "refused": {"last_refused": True},
    "refused as of the champion's own session": {"last_refused": True, "champion_as_of": TRAINED},
    "in shadow, withdrawn or rolled back": {"last_refused": False},
    "refused, and no champion": {"last_refused": True, "champion_as_of": None},
}


@pytest.mark.parametrize("why", WAITING)
@pytest.mark.parametrize("evidence", ["drift", "coverage"])
def test_while_the_last_model_did_not_take_over_evidence_waits_half_a_cadence(why, evidence):
    found = {
        "drift": {"drift_alarms": tuple(after(number) for number in range(1, 40))},
        "coverage": {"green_now": SYMBOLS | {"N1", "N2", "N3"}},
    }[evidence]
    assert kind(3, **found) == evidence
    waiting = {"champion_as_of": after(-9)} | WAITING[why] | found
    assert [kind(number, **waiting) for number in range(1, 20)] == [None] * 19
    assert kind(20, **waiting) == evidence


@pytest.mark.parametrize(("cadence", "due"), [(1, 1), (2, 1), (5, 2), (40, 20)])
def test_the_wait_is_half_the_cadence_rounded_down_and_cadence_itself_never_waits(cadence, due):
    config = CONFIG.model_copy(update={"cadence_sessions": cadence, "drift_alarm_sessions": 1})
    state = {"drift_alarms": (after(1),), "last_refused": True}
    found = [kind(number, config, **state) for number in range(1, due + 1)]
    assert found == [None] * (due - 1) + ["drift"]
    assert kind(cadence, config, last_refused=True) == "cadence"


@pytest.mark.parametrize("evidence", ["drift", "underperformance", "both"])
def test_a_gate_that_refuses_every_challenger_is_not_asked_every_night(evidence):
    found = {"outcomes": NO_OUTCOMES}
    if evidence != "drift":
        found = {"outcomes": outcomes(range(130))}
    if evidence != "underperformance":
        found["drift_alarms"] = tuple(after(number) for number in range(1, 130))
    trainings, state = [], {"last_trained": TRAINED, "last_refused": False}
    for night in range(1, 130):
        if kind(night, **state, **found):
            trainings.append(night)
            state = {"last_trained": after(night), "last_refused": True}
    first = 14 if evidence == "underperformance" else 3
    assert trainings == list(range(first, 130, 20))


def test_nothing_after_the_session_and_nothing_up_to_the_last_training_is_read():
    everything = {
        "outcomes": outcomes(range(1, 31)),
        "drift_alarms": (after(5), after(6), after(7)),
        "green_now": frozenset({"NEW"}),
    }
    assert cause(0, **everything) is None
    assert cause(-1, **everything) is None
    early = everything | {"green_now": SYMBOLS}
    assert cause(6, **early) is None


def test_without_a_champion_only_its_performance_goes_unjudged():
    bad = outcomes(range(1, 11))
    assert kind(25, outcomes=bad) == "underperformance"
    assert kind(25, champion_as_of=None, outcomes=bad) is None
    assert kind(40, champion_as_of=None, outcomes=bad) == "cadence"


def test_evidence_goes_before_routine():
    everything = {
        "outcomes": outcomes(range(1, 40)),
        "drift_alarms": (after(5), after(6), after(7)),
        "green_now": frozenset({"NEW"}),
    }
    assert kind(44, **everything) == "underperformance"
    everything["outcomes"] = NO_OUTCOMES
    assert kind(44, **everything) == "drift"
    everything["drift_alarms"] = ()
    assert kind(44, **everything) == "coverage"
    everything["green_now"] = SYMBOLS
    assert kind(44, **everything) == "cadence"
    assert kind(44, **everything, last_trained=None) == "first"


SCENARIOS = {
    "cadence_sessions": (25, {}),
    "drift_alarm_sessions": (9, {"drift_alarms": (after(1), after(2))}),
    "coverage_change": (9, {"green_now": SYMBOLS - {"S00"}}),
    "window_sessions": (14, {"outcomes": outcomes(range(1, 7))}),
    "maximum_log_loss_excess": (15, {"outcomes": outcomes(range(1, 11), p_label=0.24)}),
}


@pytest.mark.parametrize(("key", "value"), EFFECTS.items())
def test_each_key_decides_what_is_due(key, value):
    *sections, name = key.split(".")[1:]
    content = CONFIG.model_dump()
    inner = content[sections[0]] if sections else content
    inner[name] = value
    count, changes = SCENARIOS[name]
    assert cause(count, **changes) is None
    assert cause(count, TrainingOrchestratorConfig.model_validate(content), **changes) is not None


def test_records_that_cannot_be_read_are_refused():
    with pytest.raises(InputError, match="2016-01-09"):
        retraining_cause(STATE, CONFIG, session=dt.date(2016, 1, 9))
    with pytest.raises(InputError, match="no column share_buy"):
        cause(15, outcomes=outcomes(range(1, 11)).drop("share_buy"))
    with pytest.raises(InputError, match="do not sum to 1"):
        cause(15, outcomes=outcomes(range(1, 11)).with_columns(p_buy=pl.lit(0.9)))
