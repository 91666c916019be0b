"""The UI as it is deployed: on loopback, with nginx, TLS and a password in front of it."""

import base64
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from turbomode_assets_tests.builders import REPOSITORY

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
HTPASSWD, OPENSSL = shutil.which("htpasswd"), shutil.which("openssl")
DEFINITIONS = Path(__file__).with_name("small_definitions.py")
PASSWORD = "anna:correct horse"
CERTIFICATE = ("-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
CERTIFICATE += ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
LOOPBACK = {"127.0.0.1", "::1"}
WHERE = {"repositoryLocationName": DEFINITIONS.name, "repositoryName": "__repository__"}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (NGINX and HTPASSWD and OPENSSL),
        reason="needs nginx, htpasswd, openssl: apt-get install nginx-light apache2-utils openssl",
    ),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_port(port, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"nothing listens on {port}")


@contextmanager
def running(command, port, **options):
    """A server that was started by `command`, with all that it starts itself."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet, **options)
    try:
        await_port(port, process)
        yield process
    finally:
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(timeout=60)
            for each in psutil.wait_procs(children, timeout=20)[1]:
                each.kill()


@pytest.fixture(scope="module")
def ui(tmp_path_factory):
    """`dagster dev` as `make ui` starts it, over a definitions file of its own: port, process."""
    home, port = tmp_path_factory.mktemp("dagster_home"), free_port()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    command = [sys.executable, "-m", "dagster", "dev", "-f", str(DEFINITIONS), "-p", str(port)]
    environment = os.environ | {"DAGSTER_HOME": str(home), "PYTHONWARNINGS": "ignore"}
    with running(command, port, env=environment, cwd=home) as process:
        yield port, process


def replaced(text, old, new):
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.fixture(scope="module")
def gate(ui, tmp_path_factory):
    """The shipped nginx.conf, its two ports replaced, as a process without privileges: its port."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    text = (REPOSITORY / "configs" / "nginx.conf").read_text(encoding="utf-8")
    text = replaced(text, "listen 8443 ssl;", f"listen 127.0.0.1:{port} ssl;")
    text = replaced(text, "http://127.0.0.1:3000;", f"http://127.0.0.1:{ui[0]};")
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    name, password = PASSWORD.split(":")
    subprocess.run(
        [HTPASSWD, "-B", "-b", "-c", "users", name, password],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [OPENSSL, "req", "-x509", *CERTIFICATE, "-keyout", "key.pem", "-out", "certificate.pem"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    # Started by root, its worker would be nobody, who may not read a test's folder.
    how = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    command = [NGINX, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log", "-g", how]
    with running(command, port):
        yield port, ssl.create_default_context(cafile=folder / "certificate.pem")


def authorization(password=PASSWORD):
    return {"Authorization": "Basic " + base64.b64encode(password.encode()).decode()}


def answer(gate, path, *, headers=None, body=None):
    """Status and text of an answer through nginx."""
    port, context = gate
    request = urllib.request.Request(
        f"https://localhost:{port}{path}",
        headers={"Content-Type": "application/json"} | (headers or {}),
        data=None if body is None else json.dumps(body).encode(),
    )
    try:
        with urllib.request.urlopen(request, context=context, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ask(gate, query, **variables):
    """Data that GraphQL answers through nginx, with the password."""
    body = {"query": query, "variables": variables}
    status, text = answer(gate, "/graphql", headers=authorization(), body=body)
    assert status == 200, text
    answered = json.loads(text)
    assert "errors" not in answered, answered
    return answered["data"]


def test_the_ui_listens_on_loopback_only_where_no_host_is_named(ui):
    port, process = ui
    listening = {
        (each.laddr.ip, each.laddr.port)
        for member in [process, *psutil.Process(process.pid).children(recursive=True)]
        for each in psutil.Process(member.pid).net_connections(kind="inet")
        if each.status == psutil.CONN_LISTEN
    }
    assert ("127.0.0.1", port) in listening
    assert {ip for ip, _ in listening} <= LOOPBACK
    outside = {
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    }
    for ip in {*outside, "127.0.0.2"}:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((ip, port), timeout=5).close()


def test_make_ui_names_no_host():
    lines = (REPOSITORY / "Makefile").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "dagster dev" in line] == ["\t$(BIN)/dagster dev"]


@pytest.mark.parametrize("path", ["/", "/server_info", "/graphql", "/runs"])
@pytest.mark.parametrize("headers", [{}, authorization("anna:wrong"), authorization("eve:x")])
def test_without_the_password_nothing_is_shown(gate, path, headers):
    status, text = answer(gate, path, headers=headers)
    assert status == 401
    assert "dagster" not in text.lower()


def test_with_the_password_the_page_and_graphql_answer(gate):
    status, text = answer(gate, "/", headers=authorization())
    assert status == 200
    assert "dagster" in text.lower()
    assert ask(gate, "{ version }")["version"].startswith("1.13")


def test_a_page_of_another_origin_is_refused_even_with_the_password(gate):
    body = {"query": "{ version }"}
    own = {"Origin": f"https://localhost:{gate[0]}"}
    assert answer(gate, "/graphql", headers=authorization() | own, body=body)[0] == 200
    for origin in ("https://evil.example", "null", f"http://localhost:{gate[0]}"):
        headers = authorization() | {"Origin": origin}
        assert answer(gate, "/graphql", headers=headers, body=body)[0] == 403


@pytest.mark.parametrize(
    "path", ["/graphql", "/graphql/", "/%67raphql", "//graphql", "/graphql%0a"]
)
def test_an_address_that_a_browser_loads_for_another_page_changes_nothing(gate, path):
    sensor = json.dumps({"sensor": WHERE | {"sensorName": "scanner"}})
    asked = urllib.parse.urlencode({"query": START, "variables": sensor})
    headers = authorization() | {"Accept": "image/*"}
    assert answer(gate, f"{path}?{asked}", headers=headers)[0] == 403
    assert task(gate)[0]["sensorState"]["status"] == "STOPPED"


def open_websocket(gate, headers):
    port, context = gate
    return connect(
        f"wss://localhost:{port}/graphql",
        ssl=context,
        subprotocols=["graphql-ws"],
        additional_headers=headers,
        open_timeout=60,
    )


def test_the_websocket_opens_with_the_password_and_not_without(gate):
    with pytest.raises(InvalidStatus) as refused:
        open_websocket(gate, {})
    assert refused.value.response.status_code == 401
    with open_websocket(gate, authorization()) as channel:
        channel.send(json.dumps({"type": "connection_init", "payload": {}}))
        assert json.loads(channel.recv(timeout=60))["type"] == "connection_ack"


SENSOR = """
query Task($sensor: SensorSelector!, $runs: RunsFilter!) {
  sensorOrError(sensorSelector: $sensor) {
    ... on Sensor {
      sensorState { id status ticks(limit: 1) { status skipReason error { message } } }
      nextTick { timestamp }
    }
  }
  runsOrError(filter: $runs, limit: 1) {
    ... on Runs {
      results { runId status startTime endTime tags { key value } }
    }
  }
}
"""
START = """
mutation Start($sensor: SensorSelector!) {
  startSensor(sensorSelector: $sensor) { ... on Sensor { sensorState { id status } } }
}
"""
STOP = """
mutation Stop($id: String!) {
  stopSensor(id: $id) { ... on StopSensorMutationResult { instigationState { status } } }
}
"""
RUN_NOW = """
mutation RunNow($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


def task(gate):
    """Sensor and newest run of the task, as its status shows them."""
    told = ask(
        gate,
        SENSOR,
        sensor=WHERE | {"sensorName": "scanner"},
        runs={"pipelineName": "scanner"},
    )
    return told["sensorOrError"], told["runsOrError"]["results"]


def eventually(found):
    """Wait for a truth that another process makes."""
    deadline = time.monotonic() + 120
    while not (result := found()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.5)
    return result


def test_a_task_is_started_stopped_run_and_its_status_told_over_graphql(gate):
    sensor, runs = task(gate)
    assert sensor["sensorState"]["status"] == "STOPPED"
    assert runs == []
    selector = WHERE | {"sensorName": "scanner"}
    started = ask(gate, START, sensor=selector)["startSensor"]["sensorState"]
    assert started["status"] == "RUNNING"
    sensor = eventually(lambda: next((each for each in [task(gate)[0]] if looked(each)), None))
    assert sensor["sensorState"]["ticks"][0]["skipReason"] == "2024-03-05 awaits ingestion"
    assert sensor["nextTick"]["timestamp"] > time.time() - 60
    stopped = ask(gate, STOP, id=started["id"])["stopSensor"]["instigationState"]
    assert stopped["status"] == "STOPPED"
    tags = [
        {"key": "dagster/partition", "value": "2024-03-04"},
        {"key": "turbomode/task", "value": "scanner"},
    ]
    params = {
        "selector": WHERE | {"pipelineName": "scanner"},
        "runConfigData": {},
        "executionMetadata": {"tags": tags},
    }
    launched = ask(gate, RUN_NOW, params=params)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    (run,) = eventually(lambda: [each for each in task(gate)[1] if each["endTime"]])
    assert run["runId"] == launched["run"]["runId"]
    assert run["status"] == "SUCCESS"
    assert {"key": "dagster/partition", "value": "2024-03-04"} in run["tags"]


def looked(sensor):
    return sensor["sensorState"]["ticks"] and sensor["sensorState"]["ticks"][0]["skipReason"]
