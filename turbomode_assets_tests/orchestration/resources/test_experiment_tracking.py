"""Runs at an MLflow server: complete records, and servers that fail or never answer."""

import importlib.util
import json
import socket
import sys
from pathlib import Path

import pytest

from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets.orchestration.resources.experiment_tracking import (
    LONGEST_PARAMETER,
    PARAMETERS_FILE,
    TRACKING_URI_VARIABLE,
    ExperimentTrackingResource,
    flattened,
)

needs_client = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None,
    reason="the MLflow client is not installed (pip install -e '.[tracking]')",
)


def log_run(tracking: ExperimentTrackingResource | None = None, **changed: object) -> str | None:
    record: dict[str, object] = {
        "experiment": "turbomode",
        "run_name": "ensemble-1",
        "parameters": {"mlp": {"epochs": 3}, "symbols": ["A", "B"]},
        "metrics": {"log_loss": 1.05},
        "tags": {"tenant": "default"},
        "artefacts": None,
    }
    return (tracking or ExperimentTrackingResource()).log_run(**(record | changed))


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, client: str) -> None:
    """Put a package `mlflow` whose client behaves as given before whatever is installed."""
    package = folder / "mlflow"
    package.mkdir()
    (package / "__init__.py").write_text(f"class MlflowClient:\n{client}")
    (package / "entities.py").write_text("Metric = Param = lambda *given: given\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv(TRACKING_URI_VARIABLE, "http://tracking.invalid")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("uri", [None, ""])
def test_without_a_server_nothing_happens(monkeypatch, caplog, uri):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    if uri is None:
        monkeypatch.delenv(TRACKING_URI_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(TRACKING_URI_VARIABLE, uri)
    assert log_run() is None
    assert not caplog.records


def test_a_server_without_the_client_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setenv(TRACKING_URI_VARIABLE, "sqlite:///nowhere.db")
    with pytest.raises(ConfigurationError, match=r"pip install -e .\.\[tracking\]"):
        log_run()


def test_nested_sections_become_dotted_names():
    nested = {
        "version": "2.0.0",
        "models": {"mlp": {"epochs": 3, "dropout": 0.5}, "none": {}},
        "benchmark": None,
        "symbols": ["A", {"b": 1}],
        "shuffled": True,
        "folder": Path("models"),
    }
    assert flattened(nested) == {
        "version": "2.0.0",
        "models.mlp.epochs": "3",
        "models.mlp.dropout": "0.5",
        "models.none": "{}",
        "benchmark": "null",
        "symbols": '["A", {"b": 1}]',
        "shuffled": "true",
        "folder": '"models"',
    }


def test_a_client_that_never_answers_is_left_at_the_deadline(tmp_path, monkeypatch, caplog):
    stand_in(
        tmp_path,
        monkeypatch,
        "    def __init__(self):\n        import time\n        time.sleep(3600)\n",
    )
    assert log_run(ExperimentTrackingResource(deadline_seconds=1.0)) is None
    assert warnings(caplog) == [
        "MLflow run 'ensemble-1' of experiment 'turbomode' is not complete; not tracked: run, "
        "parameters, metrics, tags; the server took longer than 1 s"
    ]


def test_what_a_failing_server_did_not_take_is_named_and_its_password_is_not(
    tmp_path, monkeypatch, caplog
):
    stand_in(
        tmp_path,
        monkeypatch,
        """
    def get_experiment_by_name(self, name):
        from types import SimpleNamespace
        return SimpleNamespace(experiment_id="1")

    def create_run(self, *given, **named):
        from types import SimpleNamespace
        return SimpleNamespace(info=SimpleNamespace(run_id="abc"))

    def log_batch(self, number, metrics=(), params=()):
        if params:
            raise OSError("no answer from https://user:se@cret@host/api")

    def set_terminated(self, number, status):
        assert status == "FAILED"
""",
    )
    assert log_run(artefacts=tmp_path) == "abc"
    assert warnings(caplog) == [
        "MLflow run 'ensemble-1' of experiment 'turbomode' is not complete; not tracked: "
        "parameters, artefacts; OSError: no answer from https://***@host/api"
    ]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of an MLflow store in a file; making one takes seconds."""
    import mlflow

    folder = tmp_path_factory.mktemp("mlflow")
    return mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def store(client, tmp_path_factory, monkeypatch):
    """The client, with runs going to its store."""
    monkeypatch.setenv(TRACKING_URI_VARIABLE, client.tracking_uri)
    # Artefacts go under the working directory of whoever makes the experiment.
    monkeypatch.chdir(tmp_path_factory.getbasetemp())
    return client


@needs_client
def test_a_run_is_recorded_with_everything_it_came_with(store, tmp_path, caplog):
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "curve.png").write_bytes(b"png")
    number = log_run(artefacts=folder, metrics={"log_loss": 1.05, "sharpe": float("nan")})
    run = store.get_run(number)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "ensemble-1"
    assert store.get_experiment(run.info.experiment_id).name == "turbomode"
    assert run.data.params == {"mlp.epochs": "3", "symbols": '["A", "B"]'}
    assert run.data.metrics["log_loss"] == 1.05
    assert run.data.metrics["sharpe"] != run.data.metrics["sharpe"]
    assert run.data.tags["tenant"] == "default"
    found = {file.path for file in store.list_artifacts(number)}
    assert found == {"deep", PARAMETERS_FILE}
    assert [file.path for file in store.list_artifacts(number, "deep")] == ["deep/curve.png"]
    assert not warnings(caplog)


@needs_client
def test_runs_of_one_name_share_their_experiment_and_stay_apart(store):
    first, second = log_run(), log_run()
    assert first != second
    experiments = {store.get_run(number).info.experiment_id for number in (first, second)}
    assert len(experiments) == 1


@needs_client
def test_many_long_and_oddly_named_values_are_taken(store, tmp_path, caplog):
    parameters = {f"p{at}": at for at in range(250)}
    long = "x" * 20_000
    metrics = {f"m{at}": float(at) for at in range(2100)} | {"bull=up": 1.0, "/a/../b": 2.0}
    number = log_run(
        parameters={"many": parameters, "long": long, "empty": ""},
        metrics=metrics,
        tags={"reason": long},
    )
    run = store.get_run(number)
    assert len(run.data.params) == 252
    assert run.data.params["many.p249"] == "249"
    assert run.data.params["long"] == "x" * (LONGEST_PARAMETER - 3) + "..."
    assert run.data.tags["reason"].startswith("xxx")
    assert len(run.data.metrics) == 2102
    assert (run.data.metrics["bull_up"], run.data.metrics["_a_.._b"]) == (1.0, 2.0)
    full = json.loads(Path(store.download_artifacts(number, PARAMETERS_FILE)).read_text())
    assert full == {"many": parameters, "long": long, "empty": ""}
    assert not warnings(caplog)


@needs_client
def test_two_names_that_become_one_are_not_dropped_in_silence(store, caplog):
    number = log_run(metrics={"a=b": 1.0, "a_b": 2.0})
    assert store.get_run(number).data.metrics == {"a_b": 1.0}
    assert warnings(caplog) == [
        "MLflow run 'ensemble-1' of experiment 'turbomode' is not complete; not tracked: "
        "a_b (two names become one)"
    ]


@needs_client
def test_artefacts_that_are_not_there_leave_a_run_marked_as_failed(store, tmp_path, caplog):
    number = log_run(artefacts=tmp_path / "gone")
    assert store.get_run(number).info.status == "FAILED"
    assert store.get_run(number).data.metrics == {"log_loss": 1.05}
    assert "not tracked: artefacts; FileNotFoundError: no such folder" in warnings(caplog)[0]


@needs_client
def test_a_server_that_is_down_is_a_warning(monkeypatch, caplog):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv(TRACKING_URI_VARIABLE, f"http://me:secret@127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert log_run() is None
    (warning,) = warnings(caplog)
    assert "not tracked: run, parameters, metrics, tags; mlflow.exceptions." in warning
    assert "secret" not in warning


@needs_client
def test_a_server_that_accepts_and_never_answers_is_left_at_the_deadline(monkeypatch, caplog):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv(TRACKING_URI_VARIABLE, f"http://127.0.0.1:{port}")
        assert log_run(ExperimentTrackingResource(deadline_seconds=5.0)) is None
    assert "not tracked: run" in warnings(caplog)[0]
    assert "longer than 5 s" in warnings(caplog)[0]
