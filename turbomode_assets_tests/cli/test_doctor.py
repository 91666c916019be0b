"""`turbomode doctor` on sound and on broken installations."""

import contextlib
import datetime as dt
import importlib.metadata
import json
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from click.testing import CliRunner
from dagster._daemon.types import DaemonHeartbeat

from turbomode_assets.cli import main
from turbomode_assets.stores.memory import ModelMemory
from turbomode_assets_tests.builders import REPOSITORY, write_configs

NOBODY = 65534


@pytest.fixture
def installation(tmp_path, monkeypatch):
    """A data root, a home and configuration; nothing was ever ingested."""
    root, home = tmp_path / "data", tmp_path / "home"
    for folder in (root, home):
        folder.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    configs = write_configs(tmp_path / "configs")
    for name, value in (
        ("DAGSTER_HOME", home),
        ("TURBOMODE_DAGSTER_STORAGE", home),
        ("TURBOMODE_DATA_ROOT", root),
        ("TURBOMODE_CONFIG_DIR", configs),
        ("TURBOMODE_TENANT", "default"),
        ("TURBOMODE_INGESTS", "yes"),
    ):
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def findings(*, code):
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == code, result.output
    return {each["subject"]: each for each in json.loads(result.stdout)}


def test_a_fresh_installation_is_sound_but_empty(installation):
    found = findings(code=0)
    assert found["data root"]["verdict"] == "ok"
    assert found["vendors.json"]["verdict"] == "ok"
    assert found["vendor simulated"]["detail"] == "needs no connection"
    assert found["model memory"]["verdict"] == "warn"
    assert found["daemon"]["verdict"] == "warn"
    assert "dagster-daemon run" in found["daemon"]["remedy"]
    assert not list((installation / "data").iterdir())


def test_without_a_data_root_the_rest_is_still_looked_at(installation, monkeypatch):
    monkeypatch.delenv("TURBOMODE_DATA_ROOT")
    found = findings(code=1)
    assert "the data root is not set" in found["data root"]["detail"]
    assert found["Python"]["verdict"] == "ok"
    assert found["scheduler_config.json"]["verdict"] == "ok"


def test_a_broken_file_of_configuration_is_named_with_its_remedy(installation):
    path = installation / "configs" / "backtest_config.json"
    path.write_text(path.read_text().replace('"version"', '"verson"'))
    found = findings(code=1)
    assert found["backtest_config.json"]["verdict"] == "fail"
    assert "verson" in found["backtest_config.json"]["detail"]
    assert found["vendors.json"]["verdict"] == "ok"


def test_a_home_without_its_file_fails(installation):
    (installation / "home" / "dagster.yaml").unlink()
    found = findings(code=1)
    assert "holds no dagster.yaml" in found["Dagster home"]["detail"]


def test_a_gateway_that_answers_and_one_that_does_not(installation):
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        port = gateway.getsockname()[1]
        vendors = {"precedence": ["ibkr"], "ibkr.host": "127.0.0.1", "ibkr.port": port}
        write_configs(installation / "configs", **vendors)
        assert _ibkr()["detail"] == f"127.0.0.1:{port} answers"
    assert _ibkr()["verdict"] == "fail"
    assert "start the IB Gateway" in _ibkr()["remedy"]


def _ibkr():
    result = CliRunner().invoke(main, ["doctor", "--json"])
    return {each["subject"]: each for each in json.loads(result.stdout)}["vendor ibkr"]


def test_people_read_one_line_for_each_finding(installation):
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert any(line.startswith("ok   data root") for line in lines)
    assert any(line.startswith("warn daemon") for line in lines)


def pretend_installed(folder, name, version, *headers):
    """Lay out what pip notes of an installed package, where it is found first."""
    notes = folder / f"{name}-{version}.dist-info"
    notes.mkdir()
    lines = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *headers)
    (notes / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_library_older_than_asked_for_is_named_with_what_installs_it(
    installation, monkeypatch, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("packages")
    pretend_installed(folder, "polars", "1.9.0")
    monkeypatch.syspath_prepend(folder)
    assert importlib.metadata.version("polars") == "1.9.0"
    found = findings(code=1)
    assert found["library polars"]["detail"] == "1.9.0, but >=2.1 is needed"
    assert found["library polars"]["remedy"] == "pip install 'polars>=2.1'"
    assert "libraries" not in found


def test_a_library_that_is_missing_and_a_python_that_is_too_old(
    installation, monkeypatch, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("packages")
    asked = ("Requires-Python: >=4.2", "Requires-Dist: no_such_library>=3")
    pretend_installed(folder, "turbomode_assets", "9.9", *asked)
    monkeypatch.syspath_prepend(folder)
    found = findings(code=1)
    assert found["Python"]["detail"].endswith(", but >=4.2 is needed")
    assert found["library no_such_library"]["detail"] == "is not installed"


@contextlib.contextmanager
def without_rights():
    """Run as nobody where this is root, whom no permission keeps from writing."""
    is_root = os.geteuid() == 0
    if is_root:
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        if is_root:
            os.setresuid(0, 0, 0)


def test_folders_that_this_account_may_not_write_fail(installation, monkeypatch):
    findings(code=0)  # loads what nobody may not be able to read
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "installation"
        shutil.copytree(installation, place)
        for each in ("lake/default", "master"):
            (place / "data" / each).mkdir(parents=True)
        for name, each in (
            ("DAGSTER_HOME", "home"),
            ("TURBOMODE_DAGSTER_STORAGE", "home"),
            ("TURBOMODE_DATA_ROOT", "data"),
            ("TURBOMODE_CONFIG_DIR", "configs"),
        ):
            monkeypatch.setenv(name, str(place / each))
        paths = [Path(folder), place, *place.rglob("*")]
        for each in paths:
            each.chmod(0o555 if each.is_dir() else 0o444)
        monkeypatch.chdir(place)
        with without_rights():
            found = findings(code=1)
        for each in paths:
            each.chmod(0o755 if each.is_dir() else 0o644)
        monkeypatch.chdir(installation)
    for subject in ("data root", "lake", "master", "Dagster home"):
        assert found[subject]["verdict"] == "fail", subject
        assert "cannot be written by this account" in found[subject]["detail"]
    assert found["clock"]["verdict"] == "warn"


def test_a_master_that_a_follower_could_write_is_a_warning(installation, monkeypatch):
    monkeypatch.setenv("TURBOMODE_INGESTS", "no")
    (installation / "data" / "master").mkdir()
    found = findings(code=0)
    assert found["master"]["verdict"] == "warn"
    assert "could be written" in found["master"]["detail"]
    assert "vendor simulated" not in found


def test_yahoo_is_reached_through_the_proxy_and_its_password_is_not_shown(
    installation, monkeypatch
):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        port = proxy.getsockname()[1]
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{port}")
        write_configs(installation / "configs", precedence=["yahoo"])
        found = findings(code=0)
        assert found["vendor yahoo"]["detail"] == (
            f"127.0.0.1:{port}, the proxy on the way, answers"
        )
        assert "secret" not in json.dumps(found)
    assert "cannot be reached" in findings(code=1)["vendor yahoo"]["detail"]


def test_an_archive_without_its_folder_leaves_other_vendors_to_be_looked_at(installation):
    write_configs(installation / "configs", precedence=["archive", "ibkr"])
    found = findings(code=1)
    assert "the archive folder does not exist" in found["vendor archive"]["detail"]
    assert "vendor ibkr" in found


def memory_file(installation):
    path = installation / "data" / "memory" / "default" / "turbomode.duckdb"
    assert ModelMemory(path, "default").query("SELECT 1").height == 1
    return path


def test_a_memory_of_an_earlier_version_is_read_and_stays_as_it_is(installation):
    path = memory_file(installation)
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE memory_schema SET version = 6")
    found = findings(code=0)
    assert found["model memory"]["detail"].endswith("0 models")
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT version FROM memory_schema").fetchone() == (6,)


def test_a_damaged_memory_fails(installation):
    memory_file(installation).write_bytes(b"no database" * 1000)
    found = findings(code=1)
    assert "cannot be read" in found["model memory"]["detail"]
    assert "restore the file from a backup" in found["model memory"]["remedy"]


def test_a_clock_behind_what_was_written_fails(installation):
    path, tomorrow = memory_file(installation), time.time() + 86_400
    os.utime(path, (tomorrow, tomorrow))
    assert "after now" in findings(code=1)["clock of the past"]["detail"]


@pytest.mark.parametrize(
    ("age_seconds", "code", "verdict"), [(10, 0, "ok"), (3_600, 1, "fail")], ids=["alive", "dead"]
)
def test_a_daemon_that_stopped_fails_and_one_that_lives_does_not(
    installation, age_seconds, code, verdict
):
    last = dt.datetime.now(dt.UTC).timestamp() - age_seconds
    with dg.DagsterInstance.get() as instance:
        for kind in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(last, kind, "this one", []))
    found = findings(code=code)
    assert found["daemon"]["verdict"] == verdict
    if verdict == "fail":
        assert (
            f"{dt.datetime.fromtimestamp(last, dt.UTC):%Y-%m-%d %H:%M}"
            in (found["daemon"]["detail"])
        )


def test_a_home_that_is_no_yaml_fails_and_is_to_be_written_anew(installation):
    with (installation / "home" / "dagster.yaml").open("a") as written:
        written.write("\n storage: [: broken\n")
    found = findings(code=1)
    assert "cannot be opened" in found["daemon"]["detail"]
    assert "make instance" in found["daemon"]["remedy"]


def test_a_home_without_its_file_is_left_empty(installation):
    (installation / "home" / "dagster.yaml").unlink()
    findings(code=1)
    assert not list((installation / "home").iterdir())
