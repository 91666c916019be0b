"""The run launcher leans on what Dagster writes into a run: a release that moves it fails here."""

import json
import os
import shutil
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from turbomode_assets.resources.run_launcher import WatchfulRunLauncher
from turbomode_assets_tests.builders import REPOSITORY

HERE = {"host": "localhost", "socket": "/tmp/of-a-code-server"}
ELSEWHERE = {"host": "code.example", "port": 4000}


@pytest.fixture
def instance(tmp_path, monkeypatch):
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    monkeypatch.setenv("TURBOMODE_DAGSTER_STORAGE", str(tmp_path))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def gone():
    """Process id of a process that has ended and was waited for."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def health(instance, pid, server):
    tags = {GRPC_INFO_TAG: json.dumps(server)} if server else {}
    run = instance.add_run(dg.DagsterRun("scanner", status=dg.DagsterRunStatus.STARTED, tags=tags))
    if pid is not None:
        instance.report_engine_event(f"Started process for run (pid: {pid}).", run)
    instance.report_engine_event("Executing steps in process (pid: 1)", run)
    return instance.run_launcher.check_run_worker_health(run).status


def test_the_shipped_dagster_yaml_asks_for_the_health_of_workers(instance):
    assert isinstance(instance.run_launcher, WatchfulRunLauncher)
    assert instance.run_launcher.supports_check_run_worker_health
    assert instance.run_monitoring_max_resume_run_attempts == 0


def test_a_worker_whose_process_is_gone_has_failed(instance, gone):
    assert health(instance, gone, HERE) == WorkerStatus.FAILED


def test_a_worker_that_awaits_its_parent_only_has_failed(instance):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert health(instance, ended.pid, HERE) == WorkerStatus.FAILED
    ended.wait()


def test_a_worker_that_lives_is_running(instance):
    assert health(instance, os.getpid(), HERE) == WorkerStatus.RUNNING


@pytest.mark.parametrize("server", [ELSEWHERE, None], ids=["another machine", "a command"])
def test_what_cannot_be_seen_from_here_is_not_judged(instance, gone, server):
    assert health(instance, gone, server) == WorkerStatus.RUNNING


def test_a_worker_that_has_not_told_its_process_is_not_judged(instance):
    assert health(instance, None, HERE) == WorkerStatus.RUNNING
