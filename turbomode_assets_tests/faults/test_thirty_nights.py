"""Thirty nights in a row, left alone: every task for every session exactly once.

The vendor and the clock are simulated; the definitions, the Dagster instance, the stores and the
sensors, asked as the daemon asks them, are real. In these nights the vendor is down twice, a worker
is killed, the market is stormy for a while, and a champion grows old.
"""

import datetime as dt
import json
from collections import Counter
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.storage.tags import PARTITION_NAME_TAG

from turbomode_assets.orchestration.automation.jobs import TASK_JOBS
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.signal_book import unsettled_signals
from turbomode_assets_tests.builders import QUICK_TRAINING, run_assets, write_configs
from turbomode_assets_tests.faults.nights import (
    TASKS,
    ZONE,
    Clock,
    Daemon,
    Weather,
    WeatheredVendor,
    looks_between,
)
from turbomode_assets_tests.faults.platforms import (
    FORKSERVER,
    LIBRARIES,
    Platform,
    be_dagster,
)
from turbomode_assets_tests.faults.platforms import (
    KILLED as KILLED_CODE,
)
from turbomode_assets_tests.market import AS_OF, DERIVED, HISTORY, INGESTION

WEEK_BEFORE = offset_session(AS_OF, -2)
NIGHTS = SessionSpan(offset_session(AS_OF, 1), offset_session(AS_OF, 30))
OUTAGE = SessionSpan(offset_session(AS_OF, 5), offset_session(AS_OF, 6))
KILLED = offset_session(AS_OF, 9)
STORM = SessionSpan(offset_session(AS_OF, 16), offset_session(AS_OF, 25))
CADENCE = 12
QUICK = {
    **QUICK_TRAINING,
    "training_orchestrator.cadence_sessions": CADENCE,
    "training_orchestrator.drift_alarm_sessions": 3,
    # Of so few rows some feature always tells more than chance, and some class may have none.
    "validation_strategy.maximum_feature_auc": 0.9,
    "validation_strategy.walk_forward.test_sessions": 60,
}


EVERY_SESSION = ("ingestion", "scanner", "backtest", "drift_monitor")


@pytest.fixture
def platform(tmp_path, monkeypatch):
    """A small market with a champion as of the session before the first night."""
    monkeypatch.setattr("turbomode_assets.vendors.building.SimulatedVendor", WeatheredVendor)
    monkeypatch.setattr(WeatheredVendor, "weather", Weather())
    platform = Platform(tmp_path)
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    write_configs(
        Path(str(platform.settings.config_dir)),
        training=QUICK,
        scheduler={f"tasks.{task}.enabled": True for task in TASKS},
        **{"simulated.stocks": 6, "simulated.crypto": 1, "fetch.retry_wait_seconds": 0.01},
    )
    run_assets(platform.settings, INGESTION + DERIVED, HISTORY)
    run_assets(platform.settings, ["ensemble"], SessionSpan(AS_OF, AS_OF))
    return platform


@pytest.mark.slow
def test_thirty_nights_run_by_themselves(platform):
    weather, killed = WeatheredVendor.weather, []

    def kill_once(job: str, session: str | None, tags: dict[str, str]) -> bool:
        if killed or (job, session) != ("scanner", str(KILLED)):
            return False
        killed.append(session)
        die_in(platform, job, tags | {PARTITION_NAME_TAG: session})
        return True

    clock = Clock(dt.datetime.combine(NIGHTS.first, dt.time(20), tzinfo=ZONE))
    daemon = Daemon(platform.settings, platform.home, clock, instead=kill_once)
    weather.storm = STORM
    for clock.at in looks_between(NIGHTS.first, NIGHTS.last):
        weather.is_down = OUTAGE.first <= clock.at.astimezone(ZONE).date() <= OUTAGE.last
        daemon.look()
        bury_the_dead(daemon.instance)
    succeeded, failed = runs_of(daemon.instance)
    print_runs(succeeded, failed, platform)

    for task in EVERY_SESSION:
        assert succeeded[task] == {str(session): 1 for session in NIGHTS.sessions}, task
    weeks = {last_of_week(session) for session in (WEEK_BEFORE, *NIGHTS.sessions)}
    ended = sorted(weeks - {last_of_week(NIGHTS.last)})
    assert succeeded["maintenance"] == {str(session): 1 for session in ended}
    # The outage's second session waits for the first, which is tried again and again.
    assert set(failed["ingestion"]) == {str(OUTAGE.first)}
    assert in_order(daemon.instance, "ingestion")
    assert killed == [str(KILLED)]
    assert failed["scanner"] == {str(KILLED): 1}
    assert not any(failed[task] for task in ("backtest", "drift_monitor", "training"))

    causes = platform.memory("training_runs").sort("as_of_session")["cause"].to_list()
    assert any(str(cause).startswith("cadence") for cause in causes)
    assert any(str(cause).startswith("drift") for cause in causes)
    assert sum(succeeded["training"].values()) == len(causes) - 1

    signals = platform.memory("signal_history")
    assert set(signals["session"]) == set(NIGHTS.sessions)
    memory = ModelMemory(platform.settings.memory_path, platform.settings.tenant_name)
    waiting = unsettled_signals(memory, NIGHTS.last)
    assert waiting.filter(pl.col("session") < offset_session(NIGHTS.last, -15)).is_empty()
    assert platform.memory("signal_outcomes").height > 0
    ledger = platform.reader_of("partition_status").read("partition_status", caller="test").rows
    assert set(ledger.filter(pl.col("session").is_in(NIGHTS.sessions))["verdict"]) == {"GREEN"}


def die_in(platform: Platform, job: str, tags: dict[str, str]) -> None:
    """Run a job in a process of its own that is killed as it writes its first table."""
    FORKSERVER.set_forkserver_preload(LIBRARIES)
    arguments = ["job", "execute", "-m", "turbomode_assets", "-j", job, "--tags", json.dumps(tags)]
    line = r"write lake/default/predictions "
    process = FORKSERVER.Process(
        target=be_dagster, args=(arguments, platform.environment, platform.root, line), daemon=True
    )
    process.start()
    assert platform.finish(process) == KILLED_CODE


def bury_the_dead(instance: dg.DagsterInstance) -> None:
    """Fail the runs that no process works on any more, as the monitoring daemon does."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        instance.report_run_failed(run, "the run's process is gone")


def runs_of(
    instance: dg.DagsterInstance,
) -> tuple[dict[str, Counter[str]], dict[str, Counter[str]]]:
    """How often each task succeeded, and failed, for each session."""
    succeeded: dict[str, Counter[str]] = {task: Counter() for task in TASKS}
    failed: dict[str, Counter[str]] = {task: Counter() for task in TASKS}
    for task in TASKS:
        for run in instance.get_runs(dg.RunsFilter(job_name=TASK_JOBS[task].name)):
            counts = succeeded if run.is_success else failed
            counts[task][run.tags[PARTITION_NAME_TAG]] += 1
    return succeeded, failed


def print_runs(
    succeeded: dict[str, Counter[str]], failed: dict[str, Counter[str]], platform: Platform
) -> None:
    for task in TASKS:
        print(f"{task:<14} {sum(succeeded[task].values())} runs, failed: {dict(failed[task])}")
    for row in platform.memory("training_runs").sort("as_of_session").iter_rows(named=True):
        print(f"trained as of {row['as_of_session']}: {row['cause']}")
    outcomes = platform.memory("signal_outcomes")["outcome"].value_counts()
    print(f"outcomes: {dict(outcomes.iter_rows())}")


def in_order(instance: dg.DagsterInstance, job: str) -> bool:
    """Tell whether the sessions of a job succeeded one after the other."""
    successes = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS])
    runs = instance.get_runs(successes, ascending=True)
    sessions = [run.tags[PARTITION_NAME_TAG] for run in runs]
    return sessions == sorted(sessions)


def last_of_week(session: dt.date) -> dt.date:
    """Return the last session of a session's week."""
    week = session.isocalendar()[:2]
    later = (offset_session(session, number) for number in range(5))
    return max(day for day in later if day.isocalendar()[:2] == week)
