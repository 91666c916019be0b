"""Runs that a command does in its own process: held while that lives, failed once it is dead.

Nobody else watches over such a process: Dagster's daemon has not launched it. What tells whether it
lives is a file lock, which the kernel frees however the process ends.
"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import MAX_RETRIES_TAG

from turbomode_assets.contracts.errors import InputError

STARTED_BY_TAG = "turbomode/started_by"
DEAD = "the command that ran it was killed, or its machine went down"


def command_tags() -> dict[str, str]:
    """Tags of a run that a command does: no daemon is to launch it again once it has failed."""
    return {STARTED_BY_TAG: _here(), MAX_RETRIES_TAG: "0"}


@contextlib.contextmanager
def held_task(instance: dg.DagsterInstance, task: str) -> Iterator[None]:
    """Hold a task for a command of this instance.

    Raises:
        InputError: another command holds it.
    """
    path = _lock_file(instance, task)
    with _lock(path) as is_free:
        if not is_free:
            raise InputError(
                f"another command is running {task}",
                where=str(path),
                fix="wait until it ends, or stop it",
            )
        yield


@contextlib.contextmanager
def held_run(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold a run from before it is created until after it has ended.

    The file of one that was broken off unfinished stays: it tells that nobody works on it.
    """
    path = _lock_file(instance, run_id)
    with _lock(path):
        try:
            yield
        finally:
            run = instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                path.unlink(missing_ok=True)


def fail_dead_runs(instance: dg.DagsterInstance) -> None:
    """Report failed what commands of this machine have left unfinished, so that it is retried."""
    wanted = dg.RunsFilter(tags={STARTED_BY_TAG: _here()}, statuses=list(NOT_FINISHED_STATUSES))
    for run in instance.get_runs(wanted):
        path = _lock_file(instance, run.run_id)
        # Without a file it is none of a command that this instance's folder knows: somebody
        # executed a command's run again in the UI, which copies its tags, and the daemon does it.
        if not path.exists():
            continue
        with _lock(path) as is_free:
            if not is_free:
                continue
            # It may have ended since it was read: its process lets go of it only after that.
            now = instance.get_run_by_id(run.run_id)
            if now is not None and not now.is_finished:
                instance.report_run_failed(now, DEAD)
            path.unlink(missing_ok=True)


def _here() -> str:
    """Name this machine's commands: their locks are not seen from any other."""
    return f"command@{socket.gethostname()}"


def _lock_file(instance: dg.DagsterInstance, name: str) -> Path:
    return Path(instance.root_directory) / "commands" / f"{name}.lock"


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Lock a file for the block if nobody else does, and tell whether that is so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(file)
