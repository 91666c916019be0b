"""`turbomode doctor` on sound and on broken installations."""

import json
import shutil
import socket

import pytest
from click.testing import CliRunner

from turbomode_assets.cli import main
from turbomode_assets_tests.builders import REPOSITORY, write_configs


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
        vendors = {"precedence": ["ibkr", "yahoo"], "ibkr.host": "127.0.0.1", "ibkr.port": port}
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
