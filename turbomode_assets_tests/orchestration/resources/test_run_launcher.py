"""The run launcher leans on what Dagster writes into a run: a release that moves it fails here."""

import os
import shutil
import socket
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.launcher.base import WorkerStatus

from turbomode_assets.orchestration.resources.run_launcher import (
    LAUNCHED_ON_TAG,
    UNKNOWN,
    WatchfulRunLauncher,
    is_beside_us,
)
from turbomode_assets_tests.builders import REPOSITORY

HERE = socket.gethostname()
LISTEN = """
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print(os.getpid(), flush=True)
sys.stdin.read()
"""
ANOTHER_CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


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


def health(instance, pid, machine):
    tags = {LAUNCHED_ON_TAG: machine} if machine else {}
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


@pytest.mark.parametrize("machine", ["elsewhere", UNKNOWN, None])
def test_what_cannot_be_seen_from_here_is_not_judged(instance, gone, machine):
    assert health(instance, gone, machine) == WorkerStatus.RUNNING


def test_a_worker_that_has_not_told_its_process_is_not_judged(instance):
    assert health(instance, None, HERE) == WorkerStatus.RUNNING


def test_a_code_server_that_cannot_be_reached_by_a_socket_is_not_beside_us(tmp_path):
    assert not is_beside_us(None)
    assert not is_beside_us(str(tmp_path / "nobody-listens"))


@pytest.mark.parametrize("container", [[], ANOTHER_CONTAINER], ids=["here", "another container"])
def test_a_code_server_with_process_ids_of_its_own_is_not_beside_us(container, tmp_path):
    if container and subprocess.run([*container, "true"], capture_output=True).returncode:
        pytest.skip("no process may be started with process ids of its own here")
    path = str(tmp_path / "code-server")
    command = [*container, sys.executable, "-c", LISTEN, path]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        pid = int(server.stdout.readline())
        assert is_beside_us(path) == (not container) == (pid == server.pid)
    finally:
        server.communicate()
