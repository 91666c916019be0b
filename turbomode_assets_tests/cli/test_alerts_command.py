"""`turbomode alerts`: what is shown, sent, acknowledged and refused."""

import getpass
import json

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.scheduler.instigation import InstigatorStatus

from turbomode_assets.cli.alerts import alerts
from turbomode_assets.contracts.errors import ConfigurationError, InputError
from turbomode_assets.orchestration.automation.command_runs import command_tags, held_run
from turbomode_assets_tests.alerts.receivers import TOKEN, http_receiver
from turbomode_assets_tests.runs.sensor_states import turn


@pytest.fixture
def instance(tmp_path, monkeypatch):
    """A data root, and the Dagster instance that DAGSTER_HOME names."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("TURBOMODE_DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("TURBOMODE_TENANT", "alpha")
    monkeypatch.delenv("TURBOMODE_ALERT_URLS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "home"), set_dagster_home=True) as instance:
        yield instance


@pytest.fixture
def receiver(monkeypatch):
    with http_receiver() as receiver:
        monkeypatch.setenv("TURBOMODE_ALERT_URLS", receiver.address)
        yield receiver


def run(*arguments, exits_with=0):
    result = CliRunner().invoke(alerts, arguments, catch_exceptions=False)
    assert result.exit_code == exits_with, result.output
    assert TOKEN not in result.output
    return result.output


def test_before_any_look_nothing_is_open(instance):
    output = run("list")
    assert "No alert is open." in output
    assert "nobody is told: TURBOMODE_ALERT_URLS is not set" in output


def test_without_a_daemon_a_silent_night_is_told_and_the_command_fails(instance, receiver):
    assert "0 conditions hold" in run("send")
    turn(instance, "ingestion", InstigatorStatus.RUNNING)
    output = run("send", exits_with=1)
    assert "CRITICAL silence:ingestion" in output
    assert "CRITICAL: ingestion has not succeeded for" in receiver.messages[0][1]
    assert "0 told" in run("send", exits_with=1)
    assert len(receiver.messages) == 1
    told = json.loads(run("list", "--json"))
    assert [alert["fingerprint"] for alert in told["open"]] == ["silence:ingestion"]
    assert (told["ended"], told["is_told"]) == ([], True)


def test_without_a_daemon_what_a_killed_command_left_unfinished_has_failed(instance, receiver):
    left = dg.DagsterRun("page", status=dg.DagsterRunStatus.STARTED, tags=command_tags())
    with held_run(instance, left.run_id):
        instance.add_run(left)
        assert "0 conditions hold" in run("send")
    assert "WARNING  run:page" in run("send")
    assert instance.get_run_by_id(left.run_id).is_failure


def test_what_somebody_takes_care_of_is_shown_with_who_does(instance, receiver):
    turn(instance, "ingestion", InstigatorStatus.RUNNING)
    run("send", exits_with=1)
    assert run("ack", "silence:ingestion") == (
        f"silence:ingestion is acknowledged by {getpass.getuser()}.\n"
    )
    assert f"acknowledged by {getpass.getuser()}" in run("list")
    run("ack", "silence:ingestion", "--by", "the night watch")
    assert "acknowledged by the night watch" in run("list")


def test_what_is_not_open_cannot_be_acknowledged(instance):
    with pytest.raises(InputError, match="no open alert is called late:2017-11-10"):
        run("ack", "late:2017-11-10")


def test_what_is_over_is_in_the_archive(instance, receiver):
    job = dg.GraphDefinition(name="wrong", node_defs=[failing]).to_job()
    job.execute_in_process(instance=instance, raise_on_error=False)
    assert "WARNING  run:wrong" in run("send")
    instance.wipe()
    assert "WARNING  run:wrong" in run("send")  # it may come back within ten minutes
    assert "Ended, the latest 3:" in run("list", "--ended", "3")


@dg.op
def failing():
    raise ValueError("wrong")


def test_a_test_says_which_receiver_took_it(instance, receiver, monkeypatch):
    assert run("test") == "receiver 1 (JSON): took it\n"
    assert receiver.messages[0][1] == "INFO: this is a test; all is well."
    monkeypatch.setenv("TURBOMODE_ALERT_URLS", f"{receiver.address} nonsense://{TOKEN}")
    output = run("test", exits_with=1)
    assert output == "receiver 1 (JSON): took it\nreceiver 2: did NOT take it\n"
    monkeypatch.delenv("TURBOMODE_ALERT_URLS")
    with pytest.raises(ConfigurationError, match="nobody is told"):
        run("test")
