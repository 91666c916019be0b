"""Training runs at an MLflow tracking server, for teams that keep one.

The record is sent by a child process with a deadline: whatever a server, a network or the client
does, training neither fails nor waits longer than that.
"""

import importlib
import importlib.util
import json
import logging
import os
import posixpath
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from turbomode_assets.contracts.errors import ConfigurationError, first_few

logger = logging.getLogger(__name__)

TRACKING_URI_VARIABLE = "MLFLOW_TRACKING_URI"
CLIENT_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    # The client otherwise reports its use to its makers.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Settings of the client for which the environment names no others; its own wait for minutes."""

MOST_PARAMETERS_AT_ONCE = 100
MOST_METRICS_AT_ONCE = 1000
LONGEST_NAME = 250
LONGEST_PARAMETER = 500
LONGEST_TAG = 5000
"""Limits of MLflow's protocol; servers before 3 refuse longer parameters."""
PARAMETERS_FILE = "parameters.json"
_CUT = "..."
_PARTS = ("run", "parameters", "metrics", "tags", "artefacts")
_REPORTED = "tracked "


class ExperimentTrackingResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # no value type of its own
    """Sends training runs to the MLflow server of MLFLOW_TRACKING_URI; without it does nothing."""

    deadline_seconds: float = 120.0

    def log_run(
        self,
        *,
        experiment: str,
        run_name: str,
        parameters: Mapping[str, object],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artefacts: Path | None,
    ) -> str | None:
        """Record a run, and return MLflow's number of it; None where there is no server.

        Nested parameters become dotted ones. What MLflow would find too long is cut, and stands in
        full in the artefact `parameters.json`. `artefacts` is a folder or a file. A record that
        fails, or is not complete by the deadline, is a warning that names what is missing; its run
        is marked FAILED, or keeps RUNNING where the server could not be told.

        Raises:
            ConfigurationError: MLFLOW_TRACKING_URI is set, but MLflow is not installed.
        """
        uri = os.environ.get(TRACKING_URI_VARIABLE)
        if not uri:
            return None
        _require_client()
        names = _Names()
        record = {
            "experiment": experiment,
            "run_name": run_name,
            "parameters": names.of(flattened(parameters)),
            "full_parameters": json.loads(json.dumps(parameters, default=str)),
            "metrics": names.of({name: float(value) for name, value in metrics.items()}),
            "tags": names.of(tags),
            "artefacts": None if artefacts is None else str(artefacts.resolve()),
        }
        told, failure = _send(record, self.deadline_seconds)
        wanted = [part for part in _PARTS if part != "artefacts" or artefacts is not None]
        missing = [part for part in wanted if part not in told]
        missing += [f"{name} (two names become one)" for name in names.doubled]
        if missing:
            logger.warning(
                "MLflow run %r of experiment %r is not complete; not tracked: %s%s",
                run_name,
                experiment,
                first_few(missing, limit=len(_PARTS)),
                _without_passwords(failure),
            )
        return told.get("run")


def flattened(nested: Mapping[str, object]) -> dict[str, str]:
    """Turn nested sections into dotted names and text; what is not text is written as JSON."""
    return dict(_leaves(nested, ""))


class _Names:
    """Names as MLflow takes them: letters, digits and `_-. /`, of bounded length."""

    def __init__(self) -> None:
        self.doubled: list[str] = []

    def of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Rename; of two names that become one the first is kept, the other noted."""
        renamed: dict[str, Any] = {}
        for name, value in values.items():
            written = re.sub(r"[^\w.\- /]", "_", name)[:LONGEST_NAME]
            if posixpath.normpath(written) != written or written.startswith(("/", "..")):
                written = written.replace("/", "_")
            if written in renamed:
                self.doubled.append(name)
            else:
                renamed[written] = value
        return renamed


def _leaves(nested: Mapping[str, object], above: str) -> Iterator[tuple[str, str]]:
    for key, value in nested.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value if isinstance(value, str) else json.dumps(value, default=str)


def _require_client() -> None:
    if importlib.util.find_spec("mlflow") is None:
        raise ConfigurationError(
            "runs are to be tracked, but the MLflow client is not installed",
            where=f"environment variable {TRACKING_URI_VARIABLE}",
            fix="pip install -e '.[tracking]', or unset the variable",
        )


def _send(record: Mapping[str, Any], deadline_seconds: float) -> tuple[dict[str, str], str]:
    """Let a child process send the record; return what it says is tracked, and what stopped it."""
    paths = [str(Path(path or ".").resolve()) for path in sys.path]
    environment = {**CLIENT_DEFAULTS, **os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps(record).encode(),
            capture_output=True,
            timeout=deadline_seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        told = _read_reports(late.stdout or b"")
        return told, f"; the server took longer than {deadline_seconds:g} s"
    except OSError as error:
        return {}, f"; the client could not be started: {error}"
    failed = done.returncode != 0
    failure = f"; {_last_error(done.stderr.decode(errors='replace'))}" if failed else ""
    return _read_reports(done.stdout), failure


def _read_reports(written: bytes) -> dict[str, str]:
    """Parts that the child reported, each with its note (for `run` the run's number)."""
    lines = written.decode(errors="replace").splitlines()
    reports = [line.removeprefix(_REPORTED) for line in lines if line.startswith(_REPORTED)]
    return {part: note for part, _, note in (report.partition(" ") for report in reports)}


def _last_error(written: str) -> str:
    """Find the error in what a Python process wrote before it ended."""
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]+: ", line)]
    return (named or lines or ["the client gave no reason"])[-1][:500]


def _without_passwords(text: str) -> str:
    return re.sub(r"://\S*@", "://***@", text)


def _record(record: Mapping[str, Any]) -> None:
    """Send one record with MLflow's client, and report each part once it is there."""
    client = importlib.import_module("mlflow").MlflowClient()
    run = client.create_run(
        _experiment_id(client, record["experiment"]),
        tags=_bounded(record["tags"], LONGEST_TAG),
        run_name=record["run_name"],
    )
    number = run.info.run_id
    _report("run", number)
    _report("tags")
    status = "FAILED"
    try:
        _log_values(client, number, record)
        client.log_dict(number, record["full_parameters"], PARAMETERS_FILE)
        _report("parameters")
        if record["artefacts"] is not None:
            _log_files(client, number, Path(record["artefacts"]))
            _report("artefacts")
        status = "FINISHED"
    finally:
        client.set_terminated(number, status=status)


def _experiment_id(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    exceptions = importlib.import_module("mlflow.exceptions")
    try:
        return str(client.create_experiment(name))
    except exceptions.MlflowException:
        # Another run may have made it in between; otherwise the error is the server's.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def _log_values(client: Any, number: str, record: Mapping[str, Any]) -> None:
    entities = importlib.import_module("mlflow.entities")
    now = int(1000 * time.time())
    metrics = [entities.Metric(name, value, now, 0) for name, value in record["metrics"].items()]
    for some in _batches(metrics, MOST_METRICS_AT_ONCE):
        client.log_batch(number, metrics=some)
    _report("metrics")
    bounded = _bounded(record["parameters"], LONGEST_PARAMETER)
    parameters = [entities.Param(name, value) for name, value in bounded.items()]
    for some in _batches(parameters, MOST_PARAMETERS_AT_ONCE):
        client.log_batch(number, params=some)


def _log_files(client: Any, number: str, source: Path) -> None:
    if source.is_dir():
        client.log_artifacts(number, str(source))
    elif source.is_file():
        client.log_artifact(number, str(source))
    else:
        raise FileNotFoundError(f"no such folder or file: {source}")


def _bounded(values: Mapping[str, str], longest: int) -> dict[str, str]:
    return {
        name: value if len(value) <= longest else value[: longest - len(_CUT)] + _CUT
        for name, value in values.items()
    }


def _batches(items: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]


def _report(part: str, note: str = "") -> None:
    sys.stdout.write(f"{_REPORTED}{part} {note}".rstrip() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _record(json.load(sys.stdin))
