import datetime as dt
import multiprocessing
import os
import re
import signal
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import turbomode_assets
from turbomode_assets.contracts.errors import InputError, MissingDataError
from turbomode_assets.sessions import SessionSpan, offset_session, session_close
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.model_registry import (
    champion_or_none,
    record_model,
    trial_sharpes,
)
from turbomode_assets.stores.promotions import (
    ANY_CHAMPION,
    gate_decision,
    live_at,
    promote_by_hand,
    promotions,
    roll_back,
    withdraw,
)
from turbomode_assets_tests.stores.model_rows import NOW, challenger_at, performance, record_of

WEEK = SessionSpan(dt.date(2017, 11, 6), dt.date(2017, 11, 10)).sessions
MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = WEEK
NEXT_WEDNESDAY = dt.date(2017, 11, 15)
EFFECTS: dict[str, object] = {"model_promotion_gate.shadow_sessions": 3}


@pytest.fixture
def memory(tmp_path):
    return ModelMemory(tmp_path / "turbomode.duckdb", "alpha")


def after_close(session):
    return session_close(session) + dt.timedelta(hours=1)


def train(
    memory,
    version,
    as_of,
    *,
    passed=True,
    shadow=0,
    at=None,
    metrics=None,
    digest="c1",
    against=ANY_CHAMPION,
):
    decision = gate_decision(
        version,
        as_of,
        passed=passed,
        reason="all rules passed" if passed else "recall 0.02, asked at least 0.1",
        rules='[{"name": "recall"}]',
        shadow_sessions=shadow,
        at=at or after_close(as_of),
        judged_against=against,
    )
    changes = {"finished_at": decision.decided_at, "config_digest": digest}
    if metrics is not None:
        changes["metrics"] = metrics
    record_model(memory, record_of(version, as_of, **changes), performance(), decision=decision)


def by_hand(session):
    return {
        "reason": "wrong signals in energy",
        "by": "ada",
        "effective_session": session,
        "at": after_close(session),
    }


def champions(memory, sessions=WEEK):
    found = [champion_or_none(memory, session) for session in sessions]
    return [None if each is None else each.model_version for each in found]


def test_the_log_tells_what_was_decided_by_whom_and_what_it_replaced(memory):
    train(memory, "a", MONDAY)
    train(memory, "b", TUESDAY, passed=False)
    train(memory, "c", WEDNESDAY)
    promote_by_hand(memory, "b", **by_hand(THURSDAY))
    roll_back(memory, **by_hand(FRIDAY))
    log = promotions(memory)
    columns = ("sequence", "decision", "model_version", "effective_session", "replaced")
    assert log.select(columns).rows() == [
        (1, "promoted", "a", MONDAY, None),
        (2, "refused", "b", None, None),
        (3, "promoted", "c", WEDNESDAY, "a"),
        (4, "promoted_by_hand", "b", THURSDAY, "c"),
        (5, "rolled_back", "c", FRIDAY, "b"),
    ]
    assert log["decided_by"].to_list() == ["gate", "gate", "gate", "ada", "ada"]
    assert log["reason"][1] == "recall 0.02, asked at least 0.1"
    assert log["rules"].to_list() == ['[{"name": "recall"}]'] * 3 + ["[]"] * 2
    assert champions(memory) == ["a", "a", "c", "b", "c"]


# --- shadow ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", EFFECTS)
def test_each_key_of_the_gate_that_acts_here_changes_who_is_champion(tmp_path, key):
    outcomes = []
    for number, shadow in enumerate((0, EFFECTS[key])):
        memory = ModelMemory(tmp_path / f"{number}.duckdb", "alpha")
        train(memory, "a", MONDAY)
        train(memory, "b", TUESDAY, shadow=shadow)
        outcomes.append(champions(memory))
    assert outcomes == [["a", "b", "b", "b", "b"], ["a", "a", "a", "a", "b"]]


def test_a_withdrawn_promotion_never_takes_effect_and_leaves_the_shadow_it_had(memory):
    train(memory, "a", MONDAY)
    train(memory, "b", TUESDAY, shadow=3)
    withdraw(memory, "b", **by_hand(THURSDAY))
    assert champions(memory, [*WEEK, NEXT_WEDNESDAY]) == ["a"] * 6
    shadows = [challenger_at(memory, session) is not None for session in WEEK]
    assert shadows == [False, True, True, False, False]


def test_a_promotion_in_effect_cannot_be_withdrawn(memory):
    train(memory, "a", MONDAY)
    with pytest.raises(InputError, match="models rollback --reason"):
        withdraw(memory, "a", **by_hand(MONDAY))
    train(memory, "b", TUESDAY, shadow=1)
    with pytest.raises(InputError, match="no promotion of b is still to take effect"):
        withdraw(memory, "b", **by_hand(WEDNESDAY))
    withdraw(memory, "b", **by_hand(TUESDAY))
    with pytest.raises(InputError, match="no promotion of b is still to take effect"):
        withdraw(memory, "b", **by_hand(TUESDAY))


def test_a_withdrawn_model_can_be_promoted_by_hand_later(memory):
    train(memory, "a", MONDAY)
    train(memory, "b", TUESDAY, shadow=3)
    withdraw(memory, "b", **by_hand(WEDNESDAY))
    promote_by_hand(memory, "b", **by_hand(THURSDAY))
    assert champions(memory) == ["a", "a", "a", "b", "b"]


def test_a_challenger_that_is_promoted_by_hand_is_champion_and_not_its_own_challenger(memory):
    train(memory, "a", MONDAY)
    train(memory, "b", TUESDAY, shadow=3)
    promote_by_hand(memory, "b", **by_hand(WEDNESDAY))
    assert champion_or_none(memory, WEDNESDAY).model_version == "b"
    assert challenger_at(memory, WEDNESDAY) is None


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "what", "remedy"),
    [
        ({"reason": "  "}, "needs a reason", "--reason"),
        ({"effective_session": MONDAY}, "cannot signal from 2017-11-06", "2017-11-07 or later"),
        ({"effective_session": dt.date(2017, 11, 11)}, "2017-11-11", "session"),
    ],
)
def test_a_promotion_that_cannot_be_is_refused_and_leaves_no_row(memory, changes, what, remedy):
    train(memory, "b", TUESDAY, passed=False)
    with pytest.raises(InputError, match=re.escape(what)) as error:
        promote_by_hand(memory, "b", **(by_hand(WEDNESDAY) | changes))
    assert remedy in error.value.fix
    assert promotions(memory).height == 1


def test_an_unknown_model_is_neither_promoted_nor_withdrawn(memory):
    train(memory, "a", MONDAY)
    for act in (promote_by_hand, withdraw):
        with pytest.raises(MissingDataError, match="turbomode models list"):
            act(memory, "nobody", **by_hand(TUESDAY))


def test_the_champion_is_not_promoted_twice(memory):
    train(memory, "a", MONDAY)
    with pytest.raises(InputError, match="a is the champion of 2017-11-07 already") as error:
        promote_by_hand(memory, "a", **by_hand(TUESDAY))
    assert "turbomode models live" in error.value.fix


# --- rollback -------------------------------------------------------------------------------------


def test_each_rollback_goes_one_champion_further_back_until_there_is_none(memory):
    for version, session in zip("abc", WEEK[:3], strict=True):
        train(memory, version, session)
    assert roll_back(memory, **by_hand(THURSDAY)) == "b"
    assert roll_back(memory, **by_hand(FRIDAY)) == "a"
    assert champions(memory) == ["a", "b", "c", "b", "a"]
    with pytest.raises(InputError, match="a is the first champion") as error:
        roll_back(memory, **by_hand(FRIDAY))
    assert "turbomode models promote VERSION" in error.value.fix


def test_a_champion_that_came_back_is_rolled_back_to_the_one_between(memory):
    train(memory, "a", MONDAY)
    train(memory, "b", TUESDAY)
    promote_by_hand(memory, "a", **by_hand(WEDNESDAY))
    assert roll_back(memory, **by_hand(THURSDAY)) == "b"
    assert roll_back(memory, **by_hand(FRIDAY)) == "a"


def test_a_rollback_without_any_champion_says_how_to_make_one(memory):
    train(memory, "a", MONDAY, passed=False)
    with pytest.raises(InputError, match="there is no champion") as error:
        roll_back(memory, **by_hand(MONDAY))
    assert "turbomode models promote" in error.value.fix


def test_a_rollback_withdraws_what_the_model_still_had_pending(memory):
    train(memory, "a", MONDAY)
    train(memory, "b", TUESDAY, shadow=3)
    promote_by_hand(memory, "b", **by_hand(WEDNESDAY))
    roll_back(memory, **by_hand(THURSDAY))
    assert promotions(memory)["decision"].to_list()[-2:] == ["rolled_back", "withdrawn"]
    assert champions(memory) == ["a", "a", "b", "a", "a"]
    assert challenger_at(memory, THURSDAY) is None


def test_a_rollback_leaves_another_challenger_in_shadow(memory):
    train(memory, "a", MONDAY)
    train(memory, "b", TUESDAY)
    train(memory, "c", WEDNESDAY, shadow=2)
    roll_back(memory, **by_hand(THURSDAY))
    assert champions(memory) == ["a", "b", "b", "a", "c"]
    assert challenger_at(memory, THURSDAY).model_version == "c"


# --- the log as history ---------------------------------------------------------------------------


def test_what_was_live_at_a_time_knows_nothing_that_was_decided_later(memory):
    train(memory, "a", MONDAY)
    train(memory, "b", TUESDAY, shadow=3)
    promote_by_hand(memory, "b", **(by_hand(WEDNESDAY) | {"at": after_close(FRIDAY)}))
    columns = ("role", "model_version", "decision")

    def live(moment):
        return live_at(memory, moment).select(columns).rows()

    assert live(after_close(MONDAY) - dt.timedelta(minutes=30)) == []
    assert live(after_close(MONDAY)) == [("champion", "a", "promoted")]
    both = [("challenger", "b", "promoted"), ("champion", "a", "promoted")]
    assert live(after_close(WEDNESDAY)) == sorted(both)
    # Friday's session has closed, but the decision that moved Wednesday was made an hour later.
    assert live(session_close(FRIDAY)) == [("champion", "b", "promoted")]
    assert live(after_close(FRIDAY)) == [("champion", "b", "promoted")]
    assert champion_or_none(memory, WEDNESDAY).model_version == "b"


def test_a_session_that_has_not_closed_has_no_say_in_what_is_live(memory):
    train(memory, "a", MONDAY)
    train(memory, "b", TUESDAY, at=after_close(MONDAY))
    before = session_close(TUESDAY) - dt.timedelta(seconds=1)
    assert live_at(memory, before)["model_version"].to_list() == ["a"]
    assert live_at(memory, session_close(TUESDAY))["model_version"].to_list() == ["b"]


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["gate", "refuse", "hand", "back", "withdraw"]),
        st.integers(0, 3),
        st.integers(0, 4),
    ),
    max_size=7,
)


@settings(max_examples=8)
@given(ACTS)
def test_rows_are_only_ever_appended_whatever_is_done(tmp_path_factory, acts):
    memory = ModelMemory(tmp_path_factory.mktemp("log") / "turbomode.duckdb", "alpha")
    earlier = promotions(memory)
    for act, model, day in acts:
        version, session = "abcd"[model], WEEK[day]
        try:
            if act in ("gate", "refuse"):
                train(memory, version, WEEK[model], passed=act == "gate", shadow=day)
            elif act == "hand":
                promote_by_hand(memory, version, **by_hand(session))
            elif act == "back":
                roll_back(memory, **by_hand(session))
            else:
                withdraw(memory, version, **by_hand(session))
        except (InputError, MissingDataError):
            assert promotions(memory).equals(earlier)
        now = promotions(memory)
        assert now.head(earlier.height).equals(earlier)
        assert now["sequence"].to_list() == list(range(1, now.height + 1))
        earlier = now


def test_no_statement_of_the_package_changes_or_removes_a_row_of_the_log():
    root = Path(turbomode_assets.__file__).parent
    change = re.compile(
        r"(update|delete\s+from|insert\s+or\s+\w+\s+into|truncate(\s+table)?|drop\s+table|"
        r"alter\s+table)\s+promotions\b",
        re.IGNORECASE,
    )
    texts = {path: path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    assert [path for path, text in texts.items() if change.search(text)] == []
    inserting = [path.name for path, text in texts.items() if "INTO promotions" in text]
    assert inserting == ["promotions.py"]


def test_a_sequence_number_cannot_be_taken_twice(memory):
    train(memory, "a", MONDAY)
    with pytest.raises(duckdb.ConstraintException), memory.transaction() as connection:
        connection.execute("INSERT INTO promotions SELECT * FROM promotions")


# --- faults ---------------------------------------------------------------------------------------


def die_before_the_commit(path):
    """Record a champion and its decision, and be killed just before the transaction commits."""
    from turbomode_assets.stores import model_registry

    append = model_registry.append_decision

    def append_and_die(connection, decision):
        append(connection, decision)
        os.kill(os.getpid(), signal.SIGKILL)

    model_registry.append_decision = append_and_die
    train(ModelMemory(path, "alpha"), "b", TUESDAY)


def test_a_kill_before_the_commit_leaves_neither_model_nor_decision(memory):
    train(memory, "a", MONDAY)
    process = multiprocessing.get_context("spawn").Process(
        target=die_before_the_commit, args=(memory.path,)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert promotions(memory)["model_version"].to_list() == ["a"]
    assert memory.query("SELECT model_version FROM model_metadata").rows() == [("a",)]
    train(memory, "b", TUESDAY)
    assert champions(memory) == ["a", "b", "b", "b", "b"]


# --- trials ---------------------------------------------------------------------------------------


def test_trials_are_the_distinct_configurations_with_the_latest_figure_of_each(memory):
    def metrics(sharpe, digest):
        return {"figures": {"sharpe_per_session": sharpe}, "trial_digest": digest}

    train(memory, "a", MONDAY, metrics=metrics(0.05, "one"))
    train(memory, "b", TUESDAY, metrics=metrics(0.07, "one"), passed=False)
    train(memory, "c", WEDNESDAY, metrics=metrics(-0.02, "two"), passed=False)
    train(memory, "d", THURSDAY, metrics=metrics(None, "two"), passed=False)
    train(memory, "e", FRIDAY, metrics={"ensemble": {}})
    assert trial_sharpes(memory, FRIDAY) == {"one": 0.07, "two": -0.02}
    # What was tried later was not known of an earlier session.
    assert trial_sharpes(memory, MONDAY) == {"one": 0.05}


def test_without_models_there_are_no_trials(memory):
    assert trial_sharpes(memory, FRIDAY) == {}


def test_of_two_models_judged_against_the_same_champion_only_the_first_replaces_it(memory):
    train(memory, "a", MONDAY)
    for version in ("b", "c"):
        train(memory, version, TUESDAY, against="a")
    log = promotions(memory)
    assert log["decision"].to_list() == ["promoted", "promoted", "refused"]
    assert "b became champion while this was judged against a" in log["reason"][2]
    assert champions(memory) == ["a", "b", "b", "b", "b"]


def test_a_shadow_period_counts_sessions_and_not_days():
    friday, at = dt.date(2017, 11, 10), NOW
    decision = gate_decision(
        "a", friday, passed=True, reason="r", rules="[]", shadow_sessions=2, at=at
    )
    assert decision.effective_session == offset_session(friday, 2) == dt.date(2017, 11, 14)
