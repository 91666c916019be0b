"""`turbomode models`: what is printed, what is logged, and what is refused."""

import datetime as dt
import getpass
import re

import polars as pl
import pytest
from click.testing import CliRunner

from turbomode_assets.cli.models import models
from turbomode_assets.contracts.errors import InputError, MissingDataError, StoreError
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.sessions import offset_session, session_close
from turbomode_assets.stores import Artifacts, Lake, ModelMemory
from turbomode_assets.stores.artifacts import ENSEMBLE, INPUTS
from turbomode_assets.stores.model_registry import champion_or_none, record_model
from turbomode_assets.stores.promotions import gate_decision, promotions
from turbomode_assets_tests.market import AS_OF, HISTORY
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
    assert ["figure", "a", "b", "change"] in rows
    assert ["sharpe", "1.2500", "-", "-"] in rows
    assert ["gru", "log_loss", "1.0500", "1.0100", "-0.0400"] in rows


def test_promote_and_rollback_change_who_signals_tonight_and_log_who_did_it(two_models):
    promoted = run("promote", "b", "--reason", "the floor of [bull] is too strict")
    assert f"b is promoted from {TONIGHT} on" in promoted
    assert champion_or_none(two_models, TONIGHT).model_version == "b"
    live = run("live")
    by_hand = ["champion", "b", str(TONIGHT), "promoted_by_hand", getpass.getuser()]
    assert cells(live)[1] == by_hand
    assert "champion: the floor of [bull] is too strict" in live
    assert f"Rolled back: a signals from {TONIGHT} on" in run("rollback", "--reason", "no good")
    assert champion_or_none(two_models, TONIGHT).model_version == "a"
    log = promotions(two_models).tail(2)
    assert log["decision"].to_list() == ["promoted_by_hand", "rolled_back"]
    assert log["decided_by"].unique().to_list() == [getpass.getuser()]


def test_a_promotion_for_a_later_session_can_be_withdrawn(two_models):
    later = offset_session(TONIGHT, 3)
    run("promote", "b", "--reason", "next week", "--session", str(later))
    assert champion_or_none(two_models, TONIGHT).model_version == "a"
    run("withdraw", "b", "--reason", "not yet")
    assert champion_or_none(two_models, later).model_version == "a"


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


@pytest.fixture
def trained(market, monkeypatch):
    """The settings of a market whose champion the graph trained, and that champion."""
    for name, value in (
        ("DATA_ROOT", "data_root"),
        ("TENANT", "tenant"),
        ("CONFIG_DIR", "config_dir"),
    ):
        monkeypatch.setenv(f"TURBOMODE_{name}", getattr(market, value))
    monkeypatch.setenv("COLUMNS", "160")
    memory = ModelMemory(market.memory_path, market.tenant_name)
    return market, champion_or_none(memory, AS_OF).model_version


def folder_of(settings, version):
    return Artifacts(settings.artifacts_root).model_folder(version)


def refusal_of_reproduction(version):
    error = CliRunner().invoke(models, ["reproduce", version]).exception
    assert isinstance(error, StoreError)
    return error


def test_reproduce_finds_a_model_equal_although_its_labels_have_since_been_made_anew(trained):
    settings, version = trained
    lake = Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))
    before = lake.version("labels")
    labels = lake.read("labels", caller="test", span=HISTORY).rows
    turned = labels.with_columns(label=(2 - pl.col("label")).cast(pl.Int8))
    lake.replace("labels", turned, span=HISTORY, caller="test")
    assert lake.version("labels") > before
    output = run("reproduce", version)
    assert "rows learned from: equal" in output
    assert f"{version} was reproduced: models, stack and forecasts are equal" in output


def test_reproduce_refuses_recorded_inputs_that_give_rows_other_weights(trained):
    settings, version = trained
    learned = pl.read_parquet(folder_of(settings, version) / ENSEMBLE / "out_of_sample.parquet")
    replayed = folder_of(settings, version) / INPUTS / "error_replay.parquet"
    error = learned.head(1).select(
        "symbol",
        "decision_session",
        known_session=pl.col("session"),
        model_version=pl.lit("another"),
        predicted=((pl.col("label") + 1) % 3).cast(pl.Int8),
        label=pl.col("label"),
        confidence=pl.lit(0.9),
    )
    pl.concat([pl.read_parquet(replayed), error]).write_parquet(replayed)
    refusal = refusal_of_reproduction(version)
    assert "the rows learned from differ from those of the record" in str(refusal)
    assert version in str(refusal)
    assert "turbomode_assets" in refusal.fix


def test_reproduce_refuses_a_model_whose_files_were_altered_before_it_trains(trained):
    settings, version = trained
    booster = folder_of(settings, version) / ENSEMBLE / "lightgbm_gbdt" / "model.txt"
    booster.write_bytes(booster.read_bytes().replace(b"leaf_value=", b"leaf_value=1", 1))
    refusal = refusal_of_reproduction(version)
    assert "lightgbm_gbdt/model.txt" in str(refusal)
    assert "backup" in refusal.fix


def test_reproduce_tells_which_library_is_another_than_then(trained):
    settings, version = trained
    with ModelMemory(settings.memory_path, settings.tenant_name).transaction() as connection:
        connection.execute(
            "UPDATE training_runs SET environment = json_merge_patch(environment, ?)",
            ['{"torch": "0.1"}'],
        )
    (folder_of(settings, version) / ENSEMBLE / "manifest.json").unlink()
    result = CliRunner().invoke(models, ["reproduce", version])
    assert "torch was 0.1 then and is" in result.output


def test_reproduce_of_a_model_that_nobody_trained_says_how_to_list_them(trained):
    result = CliRunner().invoke(models, ["reproduce", "nobody"])
    assert isinstance(result.exception, MissingDataError)
    assert "turbomode models list" in result.exception.fix
