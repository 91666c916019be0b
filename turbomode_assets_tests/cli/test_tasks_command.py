"""`turbomode run`, `pause`, `resume` and the tasks of `status`, over a real instance."""

import datetime as dt
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from turbomode_assets.cli import main
from turbomode_assets.orchestration.automation.command_runs import (
    DEAD,
    command_tags,
    held_run,
    held_task,
)
from turbomode_assets.orchestration.automation.switches import are_on
from turbomode_assets.orchestration.automation.tasks import (
    TaskPolicy,
    board_at,
    build_task_sensors,
)
from turbomode_assets.runs.last_look import TaskLook, keep_look
from turbomode_assets.sessions import last_closed_session, offset_session
from turbomode_assets.stores.operations import utc_now
from turbomode_assets_tests.builders import REPOSITORY, small_settings
from turbomode_assets_tests.runs.nights import SHIPPED, day


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A platform on which nothing ever ran, for the environment to find."""
    settings = small_settings(tmp_path)
    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("DAGSTER_HOME", home),
        ("TURBOMODE_DAGSTER_STORAGE", home),
        ("TURBOMODE_DATA_ROOT", settings.root),
        ("TURBOMODE_CONFIG_DIR", settings.configs),
        ("TURBOMODE_TENANT", settings.tenant),
        ("COLUMNS", "100"),
    ):
        monkeypatch.setenv(name, str(value))
    return settings


def turbomode(*arguments, code=0):
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def on(settings):
    with dg.DagsterInstance.get() as instance:
        said = are_on(instance, settings.scheduler())
        return [name for name, is_on in said.items() if is_on]


@pytest.mark.usefixtures("settings")
def test_status_as_json_names_the_tasks_and_says_that_nothing_was_audited():
    told = json.loads(turbomode("status", "--json"))
    assert [task["name"] for task in told["tasks"]] == list(SHIPPED)
    assert {task["last"] for task in told["tasks"]} == {None}
    assert told["completeness"] is None


def test_status_of_a_platform_on_which_nothing_ever_ran_shows_the_six_tasks(settings):
    shown = turbomode("status")
    for name in SHIPPED:
        assert re.search(rf"^  {name} +off - +never ran$", shown, re.MULTILINE), shown
    assert "Nothing was audited yet." in shown
    assert "make demo" in shown


def test_status_without_a_dagster_home_says_what_is_missing(settings, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME")
    shown = turbomode("status")
    assert "DAGSTER_HOME is not set" in shown
    assert "Nothing was audited yet." in shown


def test_tasks_are_resumed_and_paused_by_name_or_all_at_once(settings):
    assert on(settings) == []
    assert turbomode("resume", "scanner") == "scanner is on now\n"
    assert turbomode("resume", "scanner") == "scanner is on already\n"
    assert on(settings) == ["scanner"]
    assert turbomode("resume").count(" is on now") == 5
    assert on(settings) == list(SHIPPED)
    assert turbomode("pause", "backtest", "maintenance").count("is off now") == 2
    assert on(settings) == ["ingestion", "training", "scanner", "drift_monitor"]
    turbomode("pause")
    assert on(settings) == []


def test_a_switch_by_hand_goes_before_the_configuration(settings):
    path = settings.configs / "scheduler_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["tasks"]["scanner"]["enabled"] = True
    path.write_text(json.dumps(content), encoding="utf-8")
    assert on(settings) == ["scanner"]
    turbomode("pause", "scanner")
    assert on(settings) == []


def test_a_stranger_is_no_task(settings):
    for command in ("run", "pause", "resume"):
        assert "'nightly' is not one of 'ingestion'" in turbomode(command, "nightly", code=2)


def test_status_says_what_a_task_that_is_on_would_do_and_what_it_awaits(settings):
    turbomode("resume", "ingestion", "backtest")
    shown = turbomode("status")
    assert re.search(r"\d{4}-\d\d-\d\d starts at the next look of the daemon", shown)
    assert re.search(r"\d{4}-\d\d-\d\d awaits scanner, which", shown)


def test_status_tells_what_the_daemon_saw_less_than_a_minute_ago_without_asking_dagster(settings):
    turbomode("resume", "ingestion")
    with dg.DagsterInstance.get() as instance:
        sensors = build_task_sensors(settings.scheduler(), settings)
        (ingestion,) = (sensor for sensor in sensors if sensor.name == "ingestion")
        with dg.build_sensor_context(instance) as context:
            ingestion(context)
    command = "from turbomode_assets.cli import main; main(['status', '--json'], standalone_mode=0)"
    code = f"import sys; {command}; print('dagster' in sys.modules, file=sys.stderr)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stderr.strip() == "False"
    seen = json.loads(told.stdout)
    asked = json.loads(turbomode("status", "--json"))
    assert asked == seen
    turbomode("pause", "ingestion")
    now = json.loads(turbomode("status", "--json"))
    assert now["tasks_seen_at"] > seen["tasks_seen_at"]
    assert [row["is_on"] for row in (seen["tasks"][0], now["tasks"][0])] == [True, False]


@pytest.mark.usefixtures("settings")
def test_status_does_not_tell_what_was_seen_long_ago():
    long_ago = utc_now() - dt.timedelta(seconds=61)
    keep_look(Path(os.environ["DAGSTER_HOME"]), TaskLook(long_ago, []))
    assert len(json.loads(turbomode("status", "--json"))["tasks"]) == 6


def test_a_run_by_hand_is_the_tasks_own_for_status_and_for_the_sensors(settings):
    shown = turbomode("run", "ingestion", "--session", "2015-12-01")
    assert re.search(r"labels +\d+\.\d s", shown)
    status = turbomode("status")
    assert re.search(r"ingestion +off - +2015-12-01 succeeded", status)
    assert "Completeness as of 2015-12-01" in status
    failed = turbomode("run", "scanner", "--session", "2015-12-01", code=1)
    assert "\nno ensemble was trained" in failed  # not the name of an error's class before it
    status = turbomode("status")
    assert re.search(r"scanner +off - +2015-12-01 failed", status)
    assert "    no ensemble was trained as of 2015-12-01 or earlier" in status
    with dg.DagsterInstance.get() as instance:
        newest, first = instance.get_runs(limit=2)
        assert newest.tags["turbomode/task"] == "scanner"
        assert newest.tags["turbomode/attempt"] == "1"
        assert first.tags["turbomode/session"] == "2015-12-01"
        policy = TaskPolicy(settings, utc_now)
        board = board_at(instance, settings.scheduler(), policy, utc_now())
        assert board.runs_of("ingestion").first == day("2015-12-01")
        assert board.runs_of("ingestion").has_succeeded(day("2015-12-01"))
        assert not board.runs_of("scanner").has_succeeded(day("2015-12-01"))
    turbomode("resume", "scanner")
    waiting = [line for line in turbomode("status").splitlines() if "awaits ingestion" in line]
    assert len(waiting) == 1  # all the sessions that wait for the same, in one line
    assert re.search(r"^    (\d{4}-\d\d-\d\d)\.\.\.(?!\1)\S+ \(\d+ sessions\) ", waiting[0])


def test_a_session_that_is_running_is_not_run_a_second_time(settings):
    with dg.DagsterInstance.get() as instance:
        run = instance.add_run(
            dg.DagsterRun(
                job_name="nightly",
                status=dg.DagsterRunStatus.STARTED,
                tags={"dagster/partition": "2017-11-10"},
            )
        )
    refused = turbomode("run", "scanner", "--session", "2017-11-10", code=1)
    assert "2017-11-10 of scanner is running" in refused
    assert f"where: run {run.run_id} of job nightly" in refused
    assert "fix:   wait until it ends" in refused


def test_a_command_is_refused_while_another_has_its_task(settings):
    with dg.DagsterInstance.get() as instance, held_task(instance, "scanner"):
        refused = turbomode("run", "scanner", "--session", "2017-11-10", code=1)
    assert "another command is running scanner" in refused
    assert "fix:   wait until it ends" in refused


@pytest.mark.parametrize("command", [["status"], ["run", "scanner", "--session", "2017-11-10"]])
def test_what_a_dead_command_left_behind_has_failed_and_keeps_nobody_waiting(settings, command):
    with dg.DagsterInstance.get() as instance:
        tags = {"dagster/partition": "2017-11-10", **command_tags()}
        left = dg.DagsterRun(job_name="scanner", status=dg.DagsterRunStatus.STARTED, tags=tags)
        instance.add_run(left)
        with held_run(instance, left.run_id):
            assert "is running" in turbomode("run", "scanner", "--session", "2017-11-10", code=1)
        turbomode(*command, code=int(command[0] == "run"))
        assert instance.get_run_by_id(left.run_id).status == dg.DagsterRunStatus.FAILURE
        assert instance.get_runs_count(dg.RunsFilter(job_name="scanner")) == len(command[:2])
    if command == ["status"]:
        assert f"    {DEAD}" in turbomode("status")


def test_a_task_is_not_run_beside_a_run_of_its_own_for_another_session(settings):
    with dg.DagsterInstance.get() as instance:
        run = instance.add_run(
            dg.DagsterRun(
                job_name="ingestion",
                status=dg.DagsterRunStatus.STARTED,
                tags={"dagster/partition": "2017-11-10"},
            )
        )
    refused = turbomode("run", "ingestion", "--session", "2015-12-01", code=1)
    assert "2017-11-10 of ingestion is running" in refused
    assert f"where: run {run.run_id} of job ingestion" in refused


def test_a_session_that_has_not_closed_or_is_none_is_refused(settings):
    newest = last_closed_session(utc_now())
    coming = offset_session(newest, 2)
    refused = turbomode("run", "scanner", "--session", str(coming), code=1)
    assert f"session {coming} has not closed yet" in refused
    assert "is not an XNYS session" in turbomode(
        "run", "scanner", "--session", "2017-11-11", code=1
    )
