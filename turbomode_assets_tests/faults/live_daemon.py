"""The real `dagster-daemon` and web server on a platform of their own, which can be killed."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from turbomode_assets_tests.builders import REPOSITORY

LOCATION = {"repositoryLocationName": "turbomode_assets", "repositoryName": "__repository__"}
WORKSPACE = """
load_from:
  - python_module:
      module_name: turbomode_assets_tests.faults.live_location
      location_name: turbomode_assets
"""
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
HANGS_AFTER_SECONDS = 1_800
Found = TypeVar("Found")


class LivePlatform:
    """Processes over one Dagster home; `environment` tells them where everything is."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.log = home / "output.txt"
        self._environment = environment
        home.mkdir()
        shutil.copy(REPOSITORY / "dagster.yaml", home)
        (home / "workspace.yaml").write_text(WORKSPACE, encoding="utf-8")

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of Dagster's commands over the workspace."""
        known = os.environ | self._environment | {"PYTHONPATH": str(REPOSITORY)}
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments, "-w", "workspace.yaml"],
                cwd=self.home,
                env=known | {"PYTHONWARNINGS": "ignore"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_daemon(self) -> subprocess.Popen[bytes]:
        """Start `dagster-daemon run`."""
        return self.start("dagster._daemon", "run")

    def processes(self) -> list[psutil.Process]:
        """Every process whose Dagster home this is: daemon, web server, code servers, workers."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("DAGSTER_HOME") == str(self.home):
                    found.append(process)
        return [process for process in found if process.pid != os.getpid()]

    def cut_the_power(self) -> None:
        """Kill every process, and whatever these start meanwhile."""
        while alive := self.processes():
            for process in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(alive, timeout=10)

    @contextlib.contextmanager
    def web_server(self) -> Iterator[str]:
        """Serve the UI; the address of its GraphQL."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = self.start("dagster_webserver", "-p", str(port))
        address = f"http://127.0.0.1:{port}/graphql"
        try:
            eventually(lambda: _answers(address), "the web server answers", meanwhile=server)
            yield address
        finally:
            children = psutil.Process(server.pid).children(recursive=True)
            server.terminate()
            server.wait(timeout=60)
            for each in psutil.wait_procs(children, timeout=20)[1]:
                each.kill()


def launch_by_hand(address: str, job: str, tags: Mapping[str, str]) -> str:
    """Launch a run as the UI's launchpad does; its id."""
    params = {
        "selector": LOCATION | {"pipelineName": job},
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": key, "value": tags[key]} for key in tags]},
    }
    told = _ask(address, LAUNCH, {"params": params})["launchRun"]
    assert told["__typename"] == "LaunchRunSuccess", told
    return told["run"]["runId"]


def eventually(
    look: Callable[[], Found],
    wanted: str,
    *,
    meanwhile: subprocess.Popen[bytes] | None = None,
    every: float = 0.5,
) -> Found:
    """Look until something is found, and return it; what hangs fails."""
    deadline = time.monotonic() + HANGS_AFTER_SECONDS
    while not (found := look()):
        if meanwhile is not None and meanwhile.poll() is not None:
            pytest.fail(f"a process ended before this came true: {wanted}")
        if time.monotonic() > deadline:
            pytest.fail(f"this never came true: {wanted}")
        time.sleep(every)
    return found


def table(rows: Sequence[Sequence[object]]) -> str:
    """Lay out rows in columns."""
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{value!s:<{width}}" for value, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _answers(address: str) -> bool:
    try:
        return bool(_ask(address, "{ version }", {}))
    except (urllib.error.URLError, ConnectionError):
        return False


def _ask(address: str, query: str, variables: Mapping[str, object]) -> dict[str, object]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        address, data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answered = json.load(response)
    assert "errors" not in answered, answered
    return answered["data"]
