import datetime as dt
import json

import pytest

from turbomode_assets.contracts.errors import ConfigurationError, InputError, MissingDataError
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.model_registry import (
    audit_configuration,
    challengers_over,
    champion_or_none,
    champions_over,
    record_model,
)
from turbomode_assets.stores.promotions import gate_decision, promotions, roll_back
from turbomode_assets_tests.stores.model_rows import (
    FRIDAY,
    MONDAY,
    NOW,
    THURSDAY,
    challenger_at,
    performance,
    record_of,
)

WEEK = SessionSpan(dt.date(2017, 11, 6), MONDAY)


@pytest.fixture
def memory(tmp_path):
    return ModelMemory(tmp_path / "turbomode.duckdb", "alpha")


def train(memory, version, as_of, *, passed=True, reason="judged", shadow=0):
    decision = gate_decision(
        version, as_of, passed=passed, reason=reason, rules="[]", shadow_sessions=shadow, at=NOW
    )
    record_model(memory, record_of(version, as_of), performance(), decision=decision)


def test_the_champion_of_a_session_is_the_one_promoted_last_by_then(memory):
    train(memory, "old", THURSDAY)
    train(memory, "new", MONDAY)
    assert champion_or_none(memory, THURSDAY).model_version == "old"
    assert champion_or_none(memory, FRIDAY).model_version == "old"
    assert champion_or_none(memory, MONDAY).model_version == "new"
    reigns = champions_over(memory, SessionSpan(THURSDAY, MONDAY))
    assert [(c.model_version, str(s)) for c, s in reigns] == [
        ("old", "2017-11-09...2017-11-10"),
        ("new", "2017-11-13"),
    ]


def test_an_older_model_promoted_later_does_not_displace_a_newer_one(memory):
    train(memory, "new", FRIDAY)
    train(memory, "old", THURSDAY)
    assert champion_or_none(memory, THURSDAY).model_version == "old"
    assert champion_or_none(memory, FRIDAY).model_version == "new"


def test_a_refused_model_is_never_champion(memory):
    train(memory, "old", THURSDAY)
    train(memory, "new", FRIDAY, passed=False, reason="sharpe 0.1, asked at least 0.5")
    assert champion_or_none(memory, MONDAY).model_version == "old"


def test_without_any_model_the_error_says_how_to_train(memory):
    train(memory, "new", MONDAY)
    with pytest.raises(MissingDataError, match="--select ensemble --partition 2017-11-10") as error:
        champions_over(memory, SessionSpan(FRIDAY, FRIDAY))
    assert error.value.what == "no ensemble was trained as of 2017-11-10 or earlier"
    assert champion_or_none(memory, FRIDAY) is None


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ({"passed": False, "reason": "recall 0.01"}, "was refused: recall 0.01"),
        ({"shadow": 20}, "takes effect on 2017-12-11 only"),
    ],
)
def test_without_a_champion_the_error_names_the_newest_model_and_the_two_remedies(
    memory, last, told
):
    train(memory, "older", THURSDAY, passed=False)
    train(memory, "newest", FRIDAY, **last)
    with pytest.raises(MissingDataError) as error:
        champions_over(memory, SessionSpan(MONDAY, MONDAY))
    assert error.value.what == (f"no champion at 2017-11-13; the newest model then, newest, {told}")
    assert "--select ensemble --partition 2017-11-13" in error.value.fix
    assert "turbomode models promote newest --session 2017-11-13 --reason" in error.value.fix


def test_a_model_without_a_decision_was_never_judged(memory):
    record_model(memory, record_of("m1", FRIDAY), performance())
    with pytest.raises(MissingDataError, match="m1, was never judged"):
        champions_over(memory, SessionSpan(FRIDAY, FRIDAY))


def test_a_range_that_begins_before_the_first_champion_is_refused(memory):
    train(memory, "m1", FRIDAY)
    with pytest.raises(MissingDataError, match="as of 2017-11-09 or earlier"):
        champions_over(memory, SessionSpan(THURSDAY, MONDAY))


def test_a_promotion_in_shadow_is_the_challenger_until_it_takes_effect(memory):
    train(memory, "old", WEEK.first)
    train(memory, "new", THURSDAY, shadow=2)
    whole = WEEK.sessions
    assert [champion_or_none(memory, s).model_version for s in whole] == ["old"] * 5 + ["new"]
    shadows = challengers_over(memory, WEEK)
    assert [(c.model_version, str(s)) for c, s in shadows] == [("new", "2017-11-09...2017-11-10")]
    assert challenger_at(memory, WEEK.first) is None
    assert challenger_at(memory, THURSDAY).as_of_session == THURSDAY
    assert challenger_at(memory, MONDAY) is None


def test_of_two_in_shadow_the_next_to_take_effect_is_the_challenger(memory):
    train(memory, "champion", WEEK.first)
    train(memory, "second", WEEK.first, shadow=4)
    train(memory, "first", THURSDAY, shadow=1)
    tuesday = offset_session(WEEK.first, 1)
    assert challenger_at(memory, tuesday).model_version == "second"
    # Both take effect on Friday; the one decided last will be champion.
    assert challenger_at(memory, THURSDAY).model_version == "first"
    assert champion_or_none(memory, FRIDAY).model_version == "first"


def test_without_shadow_sessions_there_is_no_challenger(memory):
    train(memory, "old", WEEK.first)
    train(memory, "new", THURSDAY)
    assert challengers_over(memory, WEEK) == []


def test_training_the_same_model_again_replaces_its_rows(memory):
    for value in (1.05, 1.01):
        record_model(memory, record_of("m1", FRIDAY), performance(value))
    assert memory.query("SELECT count(*) AS n FROM model_metadata").item() == 1
    assert memory.query("SELECT count(*) AS n FROM training_runs").item() == 1
    assert memory.query("SELECT value FROM model_performance").item() == 1.01
    assert memory.query("SELECT feature_names FROM feature_store").item() == '["kmid", "klen"]'


def test_a_record_holds_what_training_it_again_takes(memory):
    record = record_of(
        "m1",
        FRIDAY,
        cause="drift",
        configuration={"version": "2.0.0", "triple_barrier": {"horizon_sessions": 14}},
        environment={"torch": "2.13.0"},
    )
    record_model(memory, record, performance())
    run = memory.query("SELECT * FROM training_runs").row(0, named=True)
    assert run["cause"] == "drift"
    assert json.loads(run["configuration"]) == record.configuration
    assert json.loads(run["environment"]) == record.environment
    assert json.loads(run["store_versions"]) == record.store_versions


def test_a_decision_that_is_refused_takes_the_record_with_it(memory):
    early = gate_decision(
        "m1", THURSDAY, passed=True, reason="r", rules="[]", shadow_sessions=0, at=NOW
    )
    with pytest.raises(InputError, match="trained as of 2017-11-10 cannot signal from 2017-11-09"):
        record_model(memory, record_of("m1", FRIDAY), performance(), decision=early)
    for table in ("model_metadata", "training_runs", "model_performance", "promotions"):
        assert memory.query(f"SELECT count(*) FROM {table}").item() == 0, table


def test_training_a_rolled_back_model_again_does_not_bring_it_back(memory):
    train(memory, "m0", WEEK.first)
    train(memory, "m1", THURSDAY)
    roll_back(memory, reason="r", by="ada", effective_session=FRIDAY, at=NOW)
    train(memory, "m1", THURSDAY)
    assert promotions(memory)["decision"].to_list() == ["promoted", "promoted", "rolled_back"]
    assert champion_or_none(memory, MONDAY).model_version == "m0"


def test_a_second_training_that_is_refused_is_logged_and_unseats_nobody(memory):
    train(memory, "m1", THURSDAY)
    train(memory, "m1", THURSDAY, passed=False)
    assert promotions(memory)["decision"].to_list() == ["promoted", "refused"]
    assert champion_or_none(memory, FRIDAY).model_version == "m1"


def test_an_override_is_kept_with_the_champion(memory):
    reason = "vendor outage of the week before last"
    decision = gate_decision(
        "m1", THURSDAY, passed=True, reason="r", rules="[]", shadow_sessions=0, at=NOW
    )
    record = record_of("m1", THURSDAY, gate_override=reason)
    record_model(memory, record, performance(), decision=decision)
    assert champion_or_none(memory, FRIDAY).gate_override == reason


def test_new_rules_under_an_old_version_are_refused(memory):
    def load(version, digest):
        audit_configuration(
            memory, file="t.json", version=version, digest=digest, purpose="test", loaded_at=NOW
        )

    load("1.0.0", "aaa")
    load("1.0.0", "aaa")
    load("1.1.0", "bbb")
    with pytest.raises(ConfigurationError, match=r"version 1.0.0 was loaded on 2017-11-13"):
        load("1.0.0", "bbb")
    assert memory.query("SELECT count(*) AS n FROM config_audit_log").item() == 3
