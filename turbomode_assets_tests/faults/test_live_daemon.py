"""Two nights by the real daemon: sensors, run queue, run launcher, monitoring and alerts at work.

The vendor is simulated and the clock runs fast; nothing else is made for the test. In the first
night somebody launches a run by hand. In the second the daemon is killed by itself, and later with
all that it started, as in a power cut; each time it is started again.
"""

import datetime as dt
import itertools
import json
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.tags import PARTITION_NAME_TAG, SENSOR_NAME_TAG

from turbomode_assets.nightly.pages import NightlyPages
from turbomode_assets.orchestration.automation.jobs import TASK_JOBS, page
from turbomode_assets.orchestration.run_records import ATTEMPT_TAG, DagsterRunHistory
from turbomode_assets.runs.tasks import TASK_TAG
from turbomode_assets.sessions import NEW_YORK, offset_session
from turbomode_assets.stores import MasterReader, ModelMemory
from turbomode_assets.stores.artifacts import Artifacts
from turbomode_assets_tests.alerts.receivers import http_receiver
from turbomode_assets_tests.builders import QUICK_TRAINING, write_configs
from turbomode_assets_tests.faults.live_daemon import (
    LivePlatform,
    eventually,
    launch_by_hand,
    table,
)
from turbomode_assets_tests.faults.live_location import CLOCK_VARIABLE, ClockFile
from turbomode_assets_tests.market import AS_OF

FIRST, SECOND = offset_session(AS_OF, 1), offset_session(AS_OF, 2)
NIGHTLY = ("ingestion", "scanner", "backtest", "drift_monitor")
"""Tasks of every session, each after the one before it."""
SWITCHED_ON = (*NIGHTLY, "training")
"""Not maintenance: it would take one of the two places, and the tag limit would not be seen."""
SPEED = 240
"""The three hours from the first task's time to the last one's take less than a minute."""
Status = dg.DagsterRunStatus
AT_WORK = (Status.STARTING, Status.STARTED)
HEARTBEAT = "/night"


def error_of(instance: dg.DagsterInstance, run_id: str) -> str:
    return DagsterRunHistory(instance, ingests=True).failure_of(run_id).line


class LiveNights:
    """The processes over a market, their clock, and what the run storage says of them."""

    def __init__(self, live: LivePlatform, clock: ClockFile, instance: dg.DagsterInstance) -> None:
        self.processes = live
        self.instance = instance
        self._clock = clock

    def let_it_be_evening(self, session: dt.date) -> None:
        """Let the night of a session pass; the clock waits at noon of the next day."""
        after = offset_session(session, 1)
        self._clock.set(new_york(session, "22:46"), stops=new_york(after, "12:00"), speed=SPEED)

    def runs(self, job: str, session: dt.date, *statuses: Status) -> Sequence[dg.RunRecord]:
        """Runs of a job for a session, the oldest first; of all statuses, if none is named."""
        wanted = dg.RunsFilter(
            job_name=job,
            tags={PARTITION_NAME_TAG: str(session)},
            statuses=list(statuses) or None,
        )
        return self.instance.get_run_records(wanted, ascending=True)

    def of_task(self, task: str, session: dt.date, *statuses: Status) -> Sequence[dg.RunRecord]:
        """Runs that the daemon launched for a session of a task."""
        found = self.runs(TASK_JOBS[task].name, session, *statuses)
        return [each for each in found if each.dagster_run.tags.get(SENSOR_NAME_TAG) == task]

    def await_run(self, task: str, session: dt.date, *statuses: Status) -> dg.RunRecord:
        """Wait until a run of a task stands as wanted."""
        (found,) = eventually(
            lambda: self.of_task(task, session, *statuses),
            f"{task} of {session} is {' or '.join(each.value for each in statuses)}",
        )
        return found

    def await_rest(self) -> None:
        """Wait until no run is left, and each task has looked since and asked for none."""
        eventually(self._is_at_rest, "every task is at rest")

    def _is_at_rest(self) -> bool:
        ended = [each.end_time for each in self.instance.get_run_records()]
        if None in ended:
            return False
        states = self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        ticks = {
            state.instigator_name: self.instance.get_ticks(
                state.instigator_origin_id, state.selector_id, after=max(ended), limit=1
            )
            for state in states
        }
        looks = [ticks.get(task, ()) for task in SWITCHED_ON]
        return all(look and look[0].status == TickStatus.SKIPPED for look in looks)

    def table(self) -> str:
        """Every run in a line; times in seconds since the first was asked for."""
        records = self.instance.get_run_records(ascending=True)
        zero = min((each.create_timestamp.timestamp() for each in records), default=0.0)
        rows = [("job", "session", "launched by", "queued", "started", "ended", "status", "")]
        for each in records:
            run = each.dagster_run
            times = (each.create_timestamp.timestamp(), each.start_time, each.end_time)
            rows.append(
                (
                    run.job_name,
                    run.tags[PARTITION_NAME_TAG],
                    run.tags.get(SENSOR_NAME_TAG, "hand")
                    + (f" ({run.tags[ATTEMPT_TAG]})" if ATTEMPT_TAG in run.tags else ""),
                    *("-" if time is None else f"{time - zero:.0f}" for time in times),
                    run.status.value,
                    error_of(self.instance, run.run_id) if run.is_failure else "",
                )
            )
        return table(rows)


def new_york(session: dt.date, time: str) -> dt.datetime:
    """Return a time of day in New York."""
    at = dt.datetime.combine(session, dt.time.fromisoformat(time), tzinfo=ZoneInfo(NEW_YORK))
    return at.astimezone(dt.UTC)


@pytest.fixture
def receiver():
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def nights(market, receiver, tmp_path, monkeypatch):
    """The evening of the first session; afterwards no process of it is left."""
    write_configs(
        market.configs,
        training=QUICK_TRAINING,
        scheduler={
            **{f"tasks.{task}.enabled": True for task in SWITCHED_ON},
            "task_interval_seconds": 5,
            "alerts.enabled": True,
            "alerts.interval_seconds": 5,
        },
        **{"simulated.stocks": 6, "simulated.crypto": 1},
    )
    home, clock = tmp_path / "dagster", tmp_path / "clock.json"
    environment = {
        "DAGSTER_HOME": str(home),
        "TURBOMODE_DAGSTER_STORAGE": str(home),
        "TURBOMODE_DATA_ROOT": str(market.root),
        "TURBOMODE_CONFIG_DIR": str(market.configs),
        "TURBOMODE_ALERT_URLS": receiver.address,
        "TURBOMODE_HEARTBEAT_URL": f"{receiver.url}{HEARTBEAT}",
        CLOCK_VARIABLE: str(clock),
    }
    live = LivePlatform(home, environment)
    monkeypatch.setenv("TURBOMODE_DAGSTER_STORAGE", str(home))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        nights = LiveNights(live, ClockFile(clock), instance)
        nights.let_it_be_evening(FIRST)
        try:
            yield nights
        finally:
            live.cut_the_power()
            print(f"\n{nights.table()}")


@pytest.mark.slow
def test_two_nights_by_a_daemon_that_is_killed_twice(nights, market, receiver):
    with nights.processes.web_server() as address:
        daemon = nights.processes.start_daemon()
        first = nights.await_run("ingestion", FIRST, *AT_WORK)
        by_hand = launch_by_hand(address, "ingestion", {PARTITION_NAME_TAG: str(FIRST)})
    nights.await_run("drift_monitor", FIRST, Status.SUCCESS)
    nights.await_rest()
    check_that_it_waited(nights.instance, by_hand, first.dagster_run.run_id)
    eventually(lambda: len(heartbeats(receiver)) == 1, "the first night's heartbeat")

    nights.let_it_be_evening(SECOND)
    nights.await_run("ingestion", SECOND, Status.STARTED)
    daemon.kill()
    daemon.wait()
    assert nights.of_task("ingestion", SECOND, Status.STARTED), "it was over before the kill"
    nights.processes.start_daemon()
    nights.await_run("scanner", SECOND, Status.STARTED)
    nights.processes.cut_the_power()
    assert nights.of_task("scanner", SECOND, Status.STARTED), "it was over before the kill"
    nights.processes.start_daemon()
    nights.await_run("drift_monitor", SECOND, Status.SUCCESS)
    eventually(lambda: len(heartbeats(receiver)) == 2, "the second night's heartbeat")
    nights.await_rest()

    assert tally(nights) == {
        **{(task, str(session)): (1, 0) for task in NIGHTLY for session in (FIRST, SECOND)},
        ("scanner", str(SECOND)): (1, 1),
    }
    (dead,) = nights.of_task("scanner", SECOND, Status.FAILURE)
    assert "is gone" in error_of(nights.instance, dead.dagster_run.run_id)
    for session in (FIRST, SECOND):
        ends = [nights.of_task(task, session, Status.SUCCESS)[0] for task in NIGHTLY]
        for before, after in itertools.pairwise(ends):
            assert before.end_time <= after.create_timestamp.timestamp(), session
    check_that_none_ran_twice_at_once(nights.instance)

    memory = ModelMemory(market.memory_path, market.tenant_name)
    signals = memory.query("SELECT session, symbol FROM signal_history")
    assert set(signals["session"]) == {FIRST, SECOND}
    assert signals.is_unique().all()
    candles = MasterReader(market.master_root).read("candles", caller="test").rows
    assert {FIRST, SECOND} <= set(candles["session"])
    assert candles.select("symbol", "timeframe", "ts").is_unique().all()
    assert NightlyPages(Artifacts(market.artifacts_root)).sessions() == [FIRST, SECOND]
    (told,) = nights.runs(page.name, SECOND)
    assert told.dagster_run.is_success
    assert any(f"scanner of {SECOND} failed" in each for each in messages(receiver))


def check_that_it_waited(instance: dg.DagsterInstance, run_id: str, other: str) -> None:
    """See that a run was queued while another of its task was at work, and launched after it."""
    waited, before = instance.get_run_record_by_id(run_id), instance.get_run_record_by_id(other)
    assert waited.dagster_run.is_success
    assert waited.dagster_run.tags[TASK_TAG] == before.dagster_run.tags[TASK_TAG]
    assert waited.create_timestamp.timestamp() < before.end_time
    launched = instance.get_run_stats(run_id).launch_time
    assert before.end_time <= launched


def check_that_none_ran_twice_at_once(instance: dg.DagsterInstance) -> None:
    """See that of all runs of a task, by hand or not, each was launched after the one before."""
    for task in TASK_JOBS:
        wanted = dg.RunsFilter(tags={TASK_TAG: task})
        records = instance.get_run_records(wanted)
        spans = sorted(
            (instance.get_run_stats(each.dagster_run.run_id).launch_time, each.end_time)
            for each in records
        )
        for before, after in itertools.pairwise(spans):
            assert before[1] <= after[0], task


def tally(nights: LiveNights) -> dict[tuple[str, str], tuple[int, int]]:
    """How many runs of each session of each task by the daemon succeeded, and how many failed."""
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for task, job in TASK_JOBS.items():
        wanted = dg.RunsFilter(job_name=job.name, tags={SENSOR_NAME_TAG: task})
        for run in nights.instance.get_runs(wanted):
            key = task, run.tags[PARTITION_NAME_TAG]
            good, bad = counts.get(key, (0, 0))
            counts[key] = (good + run.is_success, bad + (not run.is_success))
    return counts


def heartbeats(receiver) -> list[str]:
    return [path for path, _ in receiver.came if path == HEARTBEAT]


def messages(receiver) -> list[str]:
    return [json.loads(text)["message"] for path, text in receiver.came if path != HEARTBEAT]
