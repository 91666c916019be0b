"""Dagster's local run launcher, which also tells whether the worker of a run is still alive.

A code server reports the workers that die before it does. Where it died with them (the machine
went down, the service was killed with all its processes) nobody does: their runs stay started, and
keep their task waiting, until they exceed their time limit. Asked by the monitoring daemon, this
launcher says that such a worker is gone.
"""

import os
import re
import socket
import struct
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData

LAUNCHED_ON_TAG = "turbomode/launched_on"
"""The machine whose process ids a run's worker has; `UNKNOWN` where that is not certain."""
UNKNOWN = "a machine that is not known"

_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")


class WatchfulRunLauncher(DefaultRunLauncher):
    """Judges the workers of code servers that are processes of the launching machine or container.

    No other process can be seen from here: not that of another machine or container (one that
    replaced the launching one included), nor one that a command started. Their runs end at their
    time limit.
    """

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> Self:
        """Build this class."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch, after writing down where the worker's process will be."""
        # Before: a failure afterwards would fail a run that is under way.
        where = socket.gethostname() if is_beside_us(_code_server(context)) else UNKNOWN
        self._instance.add_run_tags(context.dagster_run.run_id, {LAUNCHED_ON_TAG: where})
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Say that the worker failed if its process is gone, that it runs if that is not known."""
        pid = self._worker_of(run)
        if pid is None or _is_alive(pid):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"the run's process {pid} is gone")

    def _worker_of(self, run: dg.DagsterRun) -> int | None:
        """Process id of the worker, if it is one of this machine and has told it."""
        if run.tags.get(LAUNCHED_ON_TAG) != socket.gethostname():
            return None
        entries = self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        messages = (entry.dagster_event.message or "" for entry in entries if entry.dagster_event)
        told = [found for message in messages if (found := _STARTED.match(message))]
        return int(told[-1].group(1)) if told else None


def is_beside_us(server: str | None) -> bool:
    """Tell whether the code server that listens at a socket file has process ids as we have.

    One in another container does not, though its socket may be reached through a shared folder.
    """
    if server is None or not hasattr(socket, "SO_PEERCRED"):  # only Linux tells
        return False
    try:
        with socket.socket(socket.AF_UNIX) as ours:
            ours.settimeout(5.0)
            ours.connect(server)
            told = ours.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, _, _ = struct.unpack("3i", told)
        return Path(f"/proc/{pid}/ns/pid").readlink() == Path("/proc/self/ns/pid").readlink()
    except OSError:  # nobody listens, or who does is not visible from here
        return False


def _code_server(context: LaunchRunContext) -> str | None:
    """Socket file of the code server that is to do a run; None if it has a port instead."""
    run, workspace = context.dagster_run, context.workspace
    if workspace is None or run.remote_job_origin is None:
        return None
    origin = run.remote_job_origin.repository_origin.code_location_origin
    location = workspace.get_code_location(origin.location_name)
    client = getattr(location, "client", None)
    path: str | None = getattr(client, "socket", None)
    return path


def _is_alive(pid: int) -> bool:
    """Tell whether a process exists and has not ended; one that only awaits its parent has."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except ProcessLookupError:
        return False
    except (PermissionError, FileNotFoundError):  # another user's; a system without /proc
        return True
    return not status.rpartition(")")[2].lstrip().startswith("Z")
