"""The sensor that tells, asked as the daemon asks it."""

import datetime as dt

import dagster as dg
import pytest

from turbomode_assets.config.loader import load_scheduler_config
from turbomode_assets.orchestration.automation.alerts import COMPLAIN_AFTER, alerts_sensor
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.runs.tasks import work_of_tasks
from turbomode_assets.sessions import session_close
from turbomode_assets.stores import ModelMemory
from turbomode_assets_tests.alerts.receivers import http_receiver
from turbomode_assets_tests.builders import REPOSITORY, small_settings
from turbomode_assets_tests.market import AS_OF

NOW = session_close(AS_OF) + dt.timedelta(hours=2)
RULES = load_scheduler_config(REPOSITORY / "configs").alerts


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def receiver(monkeypatch):
    with http_receiver() as receiver:
        monkeypatch.setenv("TURBOMODE_ALERT_URLS", receiver.address)
        yield receiver


def ask(settings, instance, now=NOW, cursor=None):
    sensor = alerts_sensor(RULES, lambda: now)
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"settings": settings}
    )
    with context:
        return sensor(context)


def test_the_graph_has_the_sensor_on_or_off_and_as_often_as_configured(tmp_path):
    sensor = build(small_settings(tmp_path)).get_sensor_def("alerts")
    assert sensor.minimum_interval_seconds == RULES.interval_seconds
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
    on = alerts_sensor(RULES.model_copy(update={"enabled": True}), lambda: NOW)
    assert on.default_status == dg.DefaultSensorStatus.RUNNING


def test_a_night_as_a_whole_counts_for_its_tasks():
    for ingests in (True, False):
        work = work_of_tasks(ingests=ingests)
        assert work["ingestion"].jobs == ("ingestion", "nightly")
        assert work["scanner"].jobs == ("scanner", "nightly")
        assert work["training"].jobs == ("train",)


def test_a_look_tells_and_its_tick_says_what_became_of_it(tmp_path, instance, receiver):
    settings = small_settings(tmp_path)
    tags = {"dagster/partition": str(AS_OF)}
    instance.add_run(dg.DagsterRun("scanner", status=dg.DagsterRunStatus.FAILURE, tags=tags))
    assert ask(settings, instance).skip_reason.skip_message == "1 conditions hold; 1 told"
    assert ask(settings, instance).skip_reason.skip_message == "1 conditions hold; 0 told"
    assert len(receiver.messages) == 1


def test_where_nothing_can_be_judged_it_complains_once_a_day(tmp_path, instance, receiver):
    settings = small_settings(tmp_path)
    ModelMemory(settings.memory_path, "somebody else").query("SELECT 1")
    first = ask(settings, instance)
    assert "model memory belongs to tenant" in first.skip_reason.skip_message
    soon = NOW + COMPLAIN_AFTER - dt.timedelta(minutes=1)
    again = ask(settings, instance, soon, cursor=first.cursor)
    assert len(receiver.messages) == 1
    assert again.cursor == first.cursor
    ask(settings, instance, NOW + COMPLAIN_AFTER, cursor=first.cursor)
    assert len(receiver.messages) == 2
