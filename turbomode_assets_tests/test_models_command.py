"""`turbomode models`: what is printed, what is logged, and what is refused."""

import datetime as dt
import getpass
import re

import polars as pl
import pytest
from click.testing import CliRunner

from turbomode_assets.cli.models import models
from turbomode_assets.contracts.errors import InputError, MissingDataError
from turbomode_assets.sessions import offset_session, session_close
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.model_registry import champion_at, record_model
from turbomode_assets.stores.promotions import gate_decision, promotions
from turbomode_assets_tests.stores.model_rows import record_of

NOW = dt.datetime(2017, 11, 13, 23, tzinfo=dt.UTC)
TONIGHT = dt.date(2017, 11, 13)
EARLIER = offset_session(TONIGHT, -10)
RULES = (
    '[{"name": "regime_log_loss_gain[bull]", "figure": -0.03, "threshold": -0.02,'
    ' "bound": "at least", "passed": false}]'
)


@pytest.fixture
def memory(tmp_path, monkeypatch):
    monkeypatch.setenv("TURBOMODE_DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("TURBOMODE_TENANT", "alpha")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("turbomode_assets.cli.models._now", lambda: NOW)
    monkeypatch.chdir(tmp_path)
    return ModelMemory(tmp_path / "memory" / "alpha" / "turbomode.duckdb", "alpha")


@pytest.fixture
def two_models(memory):
    """Model a is champion since ten sessions, model b was refused five sessions ago."""
    train(memory, "a", EARLIER, log_loss=1.05, sharpe=1.25)
    train(memory, "b", offset_session(TONIGHT, -5), log_loss=1.01, sharpe=None, passed=False)
    return memory


def train(memory, version, as_of, *, log_loss, sharpe, passed=True):
    at = session_close(as_of) + dt.timedelta(hours=1)
    decision = gate_decision(
        version,
        as_of,
        passed=passed,
        reason="all 10 rules passed" if passed else "1 of 10 rules failed",
        rules="[]" if passed else RULES,
        shadow_sessions=0,
        at=at,
    )
    record = record_of(
        version, as_of, finished_at=at, cause="drift", metrics={"figures": {"sharpe": sharpe}}
    )
    scores = pl.DataFrame({"model": ["gru"], "metric": ["log_loss"], "value": [log_loss]})
    record_model(memory, record, scores, decision=decision)


def run(*arguments):
    result = CliRunner().invoke(models, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def cells(output):
    """Cells of every printed row, without the frames."""
    rows = [re.split(r"\s*[│┃]\s*", line.strip(" │┃")) for line in output.splitlines()]
    return [row for row in rows if len(row) > 1]


def test_list_shows_every_model_with_its_role_cause_and_last_decision(two_models):
    assert cells(run("list")) == [
        ["model", "role", "cause", "decision", "from"],
        ["b", "", "drift", "refused", "-"],
        ["a", "champion", "drift", "promoted", str(EARLIER)],
    ]


def test_show_tells_the_run_the_scores_and_each_rule_of_the_gate(two_models):
    output = run("show", "b")
    assert ["cause", "drift"] in cells(output)
    assert ["gru", "log_loss", "1.0100"] in cells(output)
    assert "refused by gate: 1 of 10 rules failed" in output
    rule = ["regime_log_loss_gain[bull]", "-0.0300", "at least", "-0.0200", "no"]
    assert rule in cells(output)


def test_compare_sets_figures_and_scores_side_by_side(two_models):
    rows = cells(run("compare", "a", "b"))
    assert ["figure", "a", "b", "difference"] in rows
    assert ["sharpe", "1.2500", "-", "-"] in rows
    assert ["gru", "log_loss", "1.0500", "1.0100", "-0.0400"] in rows


def test_promote_and_rollback_change_who_signals_tonight_and_log_who_did_it(two_models):
    promoted = run("promote", "b", "--reason", "the floor of [bull] is too strict")
    assert f"b is promoted from {TONIGHT} on" in promoted
    assert champion_at(two_models, TONIGHT).model_version == "b"
    live = run("live")
    by_hand = ["champion", "b", str(TONIGHT), "promoted_by_hand", getpass.getuser()]
    assert cells(live)[1] == by_hand
    assert "champion: the floor of [bull] is too strict" in live
    assert f"Rolled back: a signals from {TONIGHT} on" in run("rollback", "--reason", "no good")
    assert champion_at(two_models, TONIGHT).model_version == "a"
    log = promotions(two_models).tail(2)
    assert log["decision"].to_list() == ["promoted_by_hand", "rolled_back"]
    assert log["decided_by"].unique().to_list() == [getpass.getuser()]


def test_a_promotion_for_a_later_session_can_be_withdrawn(two_models):
    later = offset_session(TONIGHT, 3)
    run("promote", "b", "--reason", "next week", "--session", str(later))
    assert champion_at(two_models, TONIGHT).model_version == "a"
    run("withdraw", "b", "--reason", "not yet")
    assert champion_at(two_models, later).model_version == "a"


def test_live_at_a_time_knows_nothing_that_was_decided_later(two_models):
    run("promote", "b", "--reason", "r", "--session", str(offset_session(TONIGHT, -2)))
    at = session_close(offset_session(TONIGHT, -2)) + dt.timedelta(hours=1)
    assert cells(run("live", "--at", f"{at:%Y-%m-%dT%H:%M}"))[1][:2] == ["champion", "a"]
    assert cells(run("live"))[1][:2] == ["champion", "b"]
    before = session_close(EARLIER) - dt.timedelta(days=1)
    assert "Nobody signalled at" in run("live", "--at", f"{before:%Y-%m-%d}")


@pytest.mark.parametrize(
    ("arguments", "error", "remedy"),
    [
        (("show", "nobody"), MissingDataError, "turbomode models list"),
        (("compare", "a", "nobody"), MissingDataError, "turbomode models list"),
        (("promote", "nobody", "--reason", "r"), MissingDataError, "turbomode models list"),
        (("promote", "a", "--reason", "r"), InputError, "turbomode models live"),
        (("promote", "b", "--reason", " "), InputError, "--reason"),
        (("withdraw", "a", "--reason", "r"), InputError, "turbomode models rollback"),
        (("rollback", "--reason", "r"), InputError, "turbomode models promote VERSION"),
    ],
)
def test_a_refusal_names_the_remedy_and_logs_nothing(two_models, arguments, error, remedy):
    before = promotions(two_models)
    result = CliRunner().invoke(models, arguments)
    assert isinstance(result.exception, error)
    assert remedy in result.exception.fix
    assert promotions(two_models).equals(before)


@pytest.mark.parametrize("command", ["promote", "withdraw", "rollback"])
def test_a_decision_without_a_reason_is_refused(two_models, command):
    version = [] if command == "rollback" else ["b"]
    result = CliRunner().invoke(models, [command, *version])
    assert result.exit_code == 2
    assert "--reason" in result.output


@pytest.mark.parametrize("command", [("list",), ("live",), ("rollback", "--reason", "r")])
def test_before_anything_was_trained_it_says_so_and_makes_no_file(memory, command):
    result = CliRunner().invoke(models, command)
    assert isinstance(result.exception, MissingDataError)
    assert "make demo" in result.exception.fix
    assert not memory.path.exists()
