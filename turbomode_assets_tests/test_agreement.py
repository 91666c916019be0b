"""Page, alerts, status and sensors, asked of the same runs: they say one and the same thing."""

import datetime as dt

import dagster as dg
import pytest

from turbomode_assets.alerts.runs import failed_runs
from turbomode_assets.alerts.tasks import silent_nights
from turbomode_assets.nightly.runs import gather_runs
from turbomode_assets.orchestration.automation.tasks import (
    TaskPolicy,
    board_at,
    build_task_sensors,
)
from turbomode_assets.orchestration.run_sources import run_sources
from turbomode_assets.reports.tasks import task_lines
from turbomode_assets.runs.task_status import task_rows
from turbomode_assets.runs.tasks import work_of_tasks
from turbomode_assets.sessions import NEW_YORK
from turbomode_assets_tests.builders import small_settings
from turbomode_assets_tests.runs import run_storage
from turbomode_assets_tests.runs.nights import at, day
from turbomode_assets_tests.runs.run_storage import only

OK, BAD = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
THURSDAY, FRIDAY = day("2017-11-09"), day("2017-11-10")
MONDAY = day("2017-11-06")
MORNING = "2017-11-11 09:00"
"""Saturday, before the next session: Friday is the newest that is due."""


@pytest.fixture
def instance():
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def ask(tmp_path, instance):
    return Surfaces(small_settings(tmp_path), instance)


class Surfaces:
    """The four that tell people and the daemon what ran, over one instance."""

    def __init__(self, settings, instance):
        self.settings, self.instance = settings, instance
        self.runs = run_sources(instance, ingests=True)
        self.config = settings.scheduler()

    def page(self):
        """Runs that the page tells as failed and not repaired, with what is left."""
        rows = gather_runs(self.runs.history, FRIDAY, dt.datetime.now(dt.UTC)).rows
        return {row.job: row.left_undone for row in rows if row.left_undone}

    def alerts(self):
        """Failures that are alerts, by name, with their words."""
        found = failed_runs(self.runs, self.config, dt.datetime.now(dt.UTC))
        return {each.fingerprint: each.detail for each in found}

    def status(self, task):
        """Outcome of the task's last run, and what stands under it."""
        policy = TaskPolicy(self.settings, lambda: at(MORNING))
        board = board_at(self.instance, self.config, policy, at(MORNING))
        rows = task_rows(self.runs.history, self.runs.work, board)
        (row,) = (each for each in rows if each.name == task)
        lines = task_lines([row], seen_at=board.now, zone=NEW_YORK)
        return row.last.outcome, [line.plain.strip() for line in lines[3:]]

    def sensor(self, task):
        """Sessions that the task's sensor asks for; none where it skips."""
        sensors = build_task_sensors(self.config, self.settings, lambda: at(MORNING))
        (sensor,) = (each for each in sensors if each.name == task)
        with dg.build_sensor_context(self.instance) as context:
            answer = sensor(context)
        if isinstance(answer, dg.SkipReason):
            return []
        return [request.partition_key for request in answer.run_requests]

    def silence(self):
        """Fingerprints of silent nights while ingestion and scanner are on."""
        tasks = {
            name: task.model_copy(update={"enabled": name in ("ingestion", "scanner")})
            for name, task in self.config.tasks.by_name().items()
        }
        on = self.config.model_copy(update={"tasks": self.config.tasks.model_copy(update=tasks)})
        return [each.fingerprint for each in silent_nights(self.runs, on, at(MORNING))]


def add(instance, *what, asked="2017-11-10 23:30", **how):
    """A run that was asked for on Friday night, if nothing else is said."""
    return run_storage.add(instance, *what, asked_at=at(asked), **how)


def before(instance, *tasks):
    """Thursday's night, so that the tasks are in use and Friday is owed."""
    add(instance, "nightly", THURSDAY, asked="2017-11-09 23:30")
    for task in tasks:
        add(instance, task, FRIDAY)


def test_a_scanner_that_fails_is_repaired_by_a_nightly_of_its_session(ask, instance):
    before(instance, "ingestion")
    add(instance, "scanner", FRIDAY, status=BAD)
    assert ask.page() == {"scanner": "all of it"}
    assert list(ask.alerts()) == ["run:scanner:2017-11-10"]
    assert ask.status("scanner")[0] == "failed"
    assert ask.sensor("scanner") == ["2017-11-10"]
    assert ask.silence() == ["silence:scanner"]
    add(instance, "nightly", FRIDAY)
    assert (ask.page(), ask.alerts(), ask.silence()) == ({}, {}, [])
    assert ask.status("scanner") == ("succeeded", [])
    assert ask.sensor("scanner") == []


def test_an_ingestion_that_fails_is_repaired_by_a_range_around_it(ask, instance):
    before(instance)
    add(instance, "ingestion", FRIDAY, status=BAD)
    assert ask.page() == {"ingestion": "all of it"}
    assert list(ask.alerts()) == ["run:ingestion:2017-11-10"]
    assert ask.status("ingestion")[0] == "failed"
    assert ask.sensor("ingestion") == ["2017-11-10"]
    assert ask.silence() == ["silence:ingestion"]
    add(instance, "ingestion", MONDAY, FRIDAY)
    assert (ask.page(), ask.alerts(), ask.silence()) == ({}, {}, ["silence:scanner"])
    assert ask.status("ingestion") == ("succeeded", [])
    assert ask.sensor("ingestion") == []


def test_of_a_nightly_that_fails_what_a_run_of_bars_repaired_is_not_told(ask, instance):
    before(instance)
    add(instance, "nightly", FRIDAY, status=BAD)
    assert ask.page() == {"nightly": "all of it"}
    add(instance, "nightly", FRIDAY, **only("bars"))
    left = (
        "audit, backtest, drift_metrics, features, labels, ... (9 in all) of 2017-11-10; "
        "completeness, db_metadata, dividends, fundamentals, sector_mappings, ... (7 in all)"
    )
    assert ask.page() == {"nightly": left}
    (detail,) = ask.alerts().values()
    assert detail.endswith(f"; left undone: {left}")
    outcome, remarks = ask.status("scanner")
    assert (outcome, remarks[1:]) == ("failed", [])  # nothing of the scanner was repaired
    outcome, remarks = ask.status("ingestion")
    assert outcome == "failed"
    assert remarks[1] == (
        "left undone: audit, features, labels, raw_candles of 2017-11-10; completeness, "
        "db_metadata, dividends, fundamentals, sector_mappings, ... (7 in all)"
    )
    assert ask.sensor("ingestion") == ["2017-11-10"]
    assert ask.silence() == ["silence:ingestion"]


def test_a_nightly_that_fails_is_repaired_by_the_tasks_one_after_the_other(ask, instance):
    before(instance)
    add(instance, "nightly", FRIDAY, status=BAD)
    add(instance, "ingestion", FRIDAY)
    left = "backtest, drift_metrics, nightly_page, outcomes, signals of 2017-11-10"
    assert ask.page() == {"nightly": left}
    assert [detail.partition("; ")[2] for detail in ask.alerts().values()] == [
        f"left undone: {left}"
    ]
    assert ask.status("ingestion") == ("succeeded", [])
    assert ask.status("scanner")[0] == "failed"
    assert (ask.sensor("ingestion"), ask.sensor("scanner")) == ([], ["2017-11-10"])
    assert ask.silence() == ["silence:scanner"]
    for job in ("scanner", "backtest_generator", "drift_monitor"):
        add(instance, job, FRIDAY)
    assert (ask.page(), ask.alerts(), ask.silence()) == ({}, {}, [])
    assert (ask.sensor("ingestion"), ask.sensor("scanner")) == ([], [])


def test_assets_materialized_by_hand_one_after_the_other_repair_an_ingestion(ask, instance):
    before(instance)
    add(instance, "ingestion", FRIDAY, status=BAD)
    assets = sorted(work_of_tasks(ingests=True)["ingestion"].assets)
    for asset in assets[:-1]:
        add(instance, "__ASSET_JOB", FRIDAY, **only(asset))
    assert ask.page() == {"ingestion": "symbol_metadata"}
    assert ask.alerts()["run:ingestion:2017-11-10"].endswith("; left undone: symbol_metadata")
    assert ask.status("ingestion")[1][1] == "left undone: symbol_metadata"
    assert ask.sensor("ingestion") == ["2017-11-10"]
    add(instance, "__ASSET_JOB", **only("symbol_metadata"))  # it has no partitions
    assert (ask.page(), ask.alerts(), ask.silence()) == ({}, {}, ["silence:scanner"])
    assert ask.status("ingestion") == ("repaired", [])
    assert ask.sensor("ingestion") == []


def test_of_a_range_that_fails_the_sessions_that_are_missing_still_are_named(ask, instance):
    before(instance)
    add(instance, "rederive", MONDAY, FRIDAY, status=BAD)
    add(instance, "__ASSET_JOB", day("2017-11-07"), day("2017-11-08"), **only("bars", "labels"))
    left = (
        "bars, labels of 2017-11-06, 2017-11-09...2017-11-10; features of 2017-11-06...2017-11-10"
    )
    # Thursday's nightly came before the range and repairs nothing of it.
    assert ask.page() == {"rederive": left}
    assert ask.alerts()["run:rederive:2017-11-06...2017-11-10"].endswith(f"left undone: {left}")


def test_an_earlier_success_repairs_no_later_failure(ask, instance):
    before(instance, "ingestion")
    add(instance, "scanner", FRIDAY)
    add(instance, "scanner", FRIDAY, status=BAD)
    assert ask.page() == {"scanner": "all of it"}
    assert list(ask.alerts()) == ["run:scanner:2017-11-10"]
    assert ask.status("scanner")[0] == "failed"
    assert ask.sensor("scanner") == []  # what succeeded once is not asked for again
