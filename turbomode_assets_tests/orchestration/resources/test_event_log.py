"""The event log leans on private names of Dagster: a release that moves them fails here."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import dagster as dg
import pytest

from turbomode_assets.orchestration.resources.event_log import (
    OPEN_DATABASES,
    QuickSqliteEventLogStorage,
)
from turbomode_assets_tests.builders import REPOSITORY


@pytest.fixture
def home(tmp_path, monkeypatch):
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path / "dagster.yaml")
    monkeypatch.setenv("TURBOMODE_DAGSTER_STORAGE", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


@dg.asset
def number() -> int:
    return 1


@dg.job
def empty_job():
    pass


def test_the_shipped_dagster_yaml_uses_the_quick_event_log(home):
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert isinstance(instance.event_log_storage, QuickSqliteEventLogStorage)
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled


def test_events_of_a_run_are_there_for_another_process_to_read(home):
    with dg.DagsterInstance.from_config(str(home)) as instance:
        result = dg.materialize([number], instance=instance)
        with dg.DagsterInstance.from_config(str(home)) as other:
            records = other.all_logs(result.run_id)
            assert any(r.dagster_event and r.dagster_event.is_step_materialization for r in records)
            assert other.get_latest_materialization_event(dg.AssetKey("number")) is not None


def test_connections_stay_open_and_sync_at_checkpoints_only(home):
    with dg.DagsterInstance.from_config(str(home)) as instance:
        storage = instance.event_log_storage
        run_id = dg.materialize([number], instance=instance).run_id
        with storage._connect(run_id) as connection:
            synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
            journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        assert (synchronous, journal) == (1, "wal")
        assert storage._engines[run_id] is storage._engines[run_id]


def test_the_least_recently_used_databases_are_closed(home):
    with dg.DagsterInstance.from_config(str(home)) as instance:
        storage = instance.event_log_storage
        for position in range(OPEN_DATABASES + 3):
            with storage._connect(f"run-{position}"):
                pass
        assert len(storage._engines) == OPEN_DATABASES
        assert "run-0" not in storage._engines


def test_the_live_log_hears_of_events_as_they_happen(home):
    heard = []
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = instance.create_run_for_job(empty_job)
        instance.watch_event_logs(run.run_id, None, lambda event, cursor: heard.append(cursor))
        for position in range(3):
            instance.report_engine_event(f"event {position}", run, run_id=run.run_id)
            deadline = time.monotonic() + 30
            while len(heard) < position + 1 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert len(heard) > position
        instance.end_watch_event_logs(run.run_id, None)


CRASHING_RUN = """
import os, sys
import dagster as dg

@dg.asset
def first() -> int:
    return 1

@dg.asset
def killed(first: int) -> int:
    print("about to die", flush=True)
    os.kill(os.getpid(), 9)
    return 2

with dg.DagsterInstance.get() as instance:
    dg.materialize([first, killed], instance=instance)
"""


def test_a_killed_run_keeps_the_events_it_had_written(home):
    died = subprocess.run(
        [sys.executable, "-c", CRASHING_RUN],
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey("first")) is not None
        assert instance.get_latest_materialization_event(dg.AssetKey("killed")) is None
    for database in home.glob("*.db"):
        with sqlite3.connect(database) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
