import pytest

from turbomode_assets.config.loader import SCHEDULER_FILE, load_scheduler_config
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets_tests.config.builders import CONFIGS, changed

TASKS = ["ingestion", "training", "scanner", "backtest", "drift_monitor", "maintenance"]


def refused(folder, task, **changes):
    path = changed(folder, SCHEDULER_FILE, lambda c: c["tasks"][task].update(changes))
    with pytest.raises(ConfigurationError) as caught:
        load_scheduler_config(path)
    assert caught.value.fix
    return caught.value.what


def test_the_six_tasks_stand_in_the_order_of_a_night_with_the_promised_times():
    config = load_scheduler_config(CONFIGS)
    assert {name: task.cron for name, task in config.tasks.by_name().items()} == {
        "ingestion": "45 22 * * 1-5",
        "training": "0 23 * * 1-5",
        "scanner": "30 23 * * 1-5",
        "backtest": "0 0 * * 2-6",
        "drift_monitor": "30 0 * * 2-6",
        "maintenance": "0 2 * * 0",
    }
    assert list(config.tasks.by_name()) == TASKS
    assert config.time_zone == "America/New_York"
    assert not any(task.enabled for task in config.tasks.by_name().values())


@pytest.mark.parametrize(
    "cron", ["22:45", "45 22 * *", "61 22 * * *", "0 0 30 2 *", "", "a b c d e"]
)
def test_a_cron_expression_that_names_no_time_is_refused_with_an_example(tmp_path, cron):
    what = refused(tmp_path, "scanner", cron=cron)
    assert what.startswith("tasks.scanner.cron: is no cron expression of five fields, as `45 22")


def test_seconds_are_no_field_of_a_cron_expression(tmp_path):
    assert "five fields" in refused(tmp_path, "scanner", cron="0 45 22 * * 1-5")


def test_a_task_that_waits_for_a_stranger_is_refused(tmp_path):
    what = refused(tmp_path, "scanner", depends_on=["ingest"])
    assert "scanner waits for ingest, which is no task" in what


@pytest.mark.parametrize("key", ["depends_on", "waits_for"])
def test_tasks_that_wait_for_each_other_are_refused(tmp_path, key):
    what = refused(tmp_path, "ingestion", **{key: ["drift_monitor"]})
    assert "these tasks wait for each other" in what
    assert all(name in what for name in ("ingestion", "scanner", "drift_monitor"))


def test_a_task_cannot_wait_for_itself(tmp_path):
    assert "wait for each other: maintenance" in refused(
        tmp_path, "maintenance", waits_for=["maintenance"]
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout_minutes", 0),
        ("retries", -1),
        ("retry_delay_minutes", -1),
        ("misfire_grace_minutes", 0),
        ("maximum_running", 0),
        ("colour", "red"),
    ],
)
def test_a_value_out_of_bounds_or_an_unknown_key_is_refused_by_name(tmp_path, key, value):
    assert f"tasks.backtest.{key}" in refused(tmp_path, "backtest", **{key: value})


def test_a_time_zone_that_is_none_is_refused(tmp_path):
    path = changed(tmp_path, SCHEDULER_FILE, lambda c: c.update(time_zone="New York"))
    with pytest.raises(ConfigurationError, match="no time zone of the IANA database"):
        load_scheduler_config(path)
