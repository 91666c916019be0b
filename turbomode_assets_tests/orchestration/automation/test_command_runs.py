"""A real command, killed while it runs: what it held is free, and what it ran has failed."""

import subprocess
import sys

import dagster as dg
import pytest

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.orchestration.automation.command_runs import (
    DEAD,
    command_tags,
    fail_dead_runs,
    held_run,
    held_task,
)
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.run_records import DagsterRunHistory
from turbomode_assets.runs.history import runs_of
from turbomode_assets.runs.records import Outcome
from turbomode_assets.runs.tasks import work_of_tasks
from turbomode_assets_tests.builders import small_settings
from turbomode_assets_tests.runs.nights import at, day

SESSION = "2017-11-10"


@pytest.fixture
def instance(tmp_path, monkeypatch):
    home = tmp_path / "dagster"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        yield instance


def test_a_killed_command_frees_its_task_and_a_sensors_look_fails_its_run(instance, tmp_path):
    look = build(small_settings(tmp_path)).get_sensor_def("scanner")
    command = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "turbomode_assets_tests.orchestration.automation.sleeping_command",
            SESSION,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert command.stdout.readline() == "running\n"
        fail_dead_runs(instance)
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.STARTED
        with pytest.raises(InputError, match="another command is running scanner"):
            held_task(instance, "scanner").__enter__()
    finally:
        command.kill()
        command.communicate()
    with dg.build_sensor_context(instance=instance) as context:
        look(context)
    (run,) = instance.get_runs()
    assert run.status == dg.DagsterRunStatus.FAILURE
    history = DagsterRunHistory(instance, ingests=True)
    assert history.failure_of(run.run_id).line == DEAD
    recent = history.created_since(at("2017-11-10 20:00"))
    known = runs_of(history, work_of_tasks(ingests=True)["scanner"], recent)
    assert [each.outcome for each in known.covering(day(SESSION))] == [Outcome.FAILED]
    with held_task(instance, "scanner"):
        pass


def test_runs_of_other_machines_and_of_the_daemon_are_left_alone(instance):
    for tags in ({"turbomode/started_by": "command@elsewhere"}, {}):
        instance.add_run(dg.DagsterRun("scanner", status=dg.DagsterRunStatus.STARTED, tags=tags))
    fail_dead_runs(instance)
    assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.STARTED}


def test_a_commands_run_that_the_ui_executes_again_is_the_daemons(instance):
    again = dg.DagsterRun("scanner", status=dg.DagsterRunStatus.STARTED, tags=command_tags())
    instance.add_run(again)  # re-execution copies the tags of the run that failed
    fail_dead_runs(instance)
    assert instance.get_run_by_id(again.run_id).status == dg.DagsterRunStatus.STARTED


def test_a_run_that_was_broken_off_unfinished_has_failed(instance, tmp_path):
    run = dg.DagsterRun("scanner", status=dg.DagsterRunStatus.STARTED, tags=command_tags())
    with held_run(instance, run.run_id):
        instance.add_run(run)
    fail_dead_runs(instance)
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert list((tmp_path / "dagster").rglob("*.lock")) == []


def test_a_run_leaves_no_lock_behind(instance, tmp_path):
    with held_run(instance, "some-run"):
        assert len(list((tmp_path / "dagster").rglob("some-run.lock"))) == 1
    assert list((tmp_path / "dagster").rglob("some-run.lock")) == []
