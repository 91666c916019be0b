"""Dagster's local run launcher, which also tells whether the worker of a run is still alive.

A code server reports the workers that die before it does. Where it died with them (the machine
went down, the service was killed with all its processes) nobody does: their runs stay started, and
keep their task waiting, until they exceed their time limit. Asked by the monitoring daemon, this
launcher says that such a worker is gone.
"""

import json
import os
import re
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._serdes import ConfigurableClassData

_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")


class WatchfulRunLauncher(DefaultRunLauncher):
    """Judges the workers of code servers that are reached by a socket file: those of this machine.

    The process of another machine cannot be seen from here, nor one that a command started; their
    runs end at their time limit.
    """

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> Self:
        """Build this class."""
        return cls(inst_data=inst_data, **config_value)

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
        server = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
        if "socket" not in server:
            return None
        entries = self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        messages = (entry.dagster_event.message or "" for entry in entries if entry.dagster_event)
        told = [found for message in messages if (found := _STARTED.match(message))]
        return int(told[-1].group(1)) if told else None


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
