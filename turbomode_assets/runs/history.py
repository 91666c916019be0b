"""The questions that are asked of what ran, and what is made of the answers for a task.

Each question is bounded by time, by a session or by a job: none reads all that ever ran.
"""

import datetime as dt
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from turbomode_assets.config.scheduler import SchedulerConfig
from turbomode_assets.runs.due import TaskRun, TaskRuns
from turbomode_assets.runs.records import RunFailure, RunRecord, RunStatus, done_spans
from turbomode_assets.runs.switches import SensorFailure, Switch
from turbomode_assets.runs.tasks import TasksWork, TaskWork
from turbomode_assets.sessions import session_close
from turbomode_assets.sessions.timetable import due_sessions


class RunHistory(Protocol):
    """What ran, for who asks. Jobs are named as they are today, whatever the runs hold."""

    def created_since(
        self, since: dt.datetime, statuses: Collection[RunStatus] = ()
    ) -> Sequence[RunRecord]:
        """Runs that were created after a time, of these statuses if any are given."""

    def updated_since(self, since: dt.datetime) -> Sequence[RunRecord]:
        """Runs of which something was recorded after a time."""

    def of_session(self, session: dt.date) -> Sequence[RunRecord]:
        """Runs of one session alone; those of ranges around it are not among them."""

    def unfinished(self, job: str) -> Sequence[RunRecord]:
        """Runs of a job that wait or are under way."""

    def oldest(self, job: str) -> RunRecord | None:
        """The first run of a job that is still stored."""

    def newest_first(self, job: str) -> Iterator[RunRecord]:
        """Runs of a job from the newest on, read as they are asked for."""

    def failure_of(self, run_id: str) -> RunFailure:
        """What made a run fail."""


@dataclass(frozen=True)
class RunSources:
    """All that is known of runs: their history, the work of tasks, switches, failing sensors."""

    history: RunHistory
    work: TasksWork
    read_switches: Callable[[SchedulerConfig], Mapping[str, Switch]]
    read_failing_sensors: Callable[[dt.datetime], Sequence[SensorFailure]]
    """Sensors whose last tick failed after a time."""


def oldest_relevant(config: SchedulerConfig, now: dt.datetime) -> dt.datetime:
    """Return a time before which no run began that did a session still in any task's grace."""
    closes = [now]
    for task in config.tasks.by_name().values():
        grace = dt.timedelta(minutes=task.misfire_grace_minutes)
        due = due_sessions(task.cron, config.time_zone, now, grace)
        closes += [session_close(due[0])] if due else []
    return min(closes)


def runs_of(history: RunHistory, work: TaskWork, recent: Sequence[RunRecord]) -> TaskRuns:
    """Read what ran of a task: recent runs, those still under way, and the oldest one's session.

    `recent` are runs of any job since a time before which none can matter.
    """
    records = {run.run_id: run for run in recent}
    for job in work.jobs:
        oldest = history.oldest(job)
        records |= {run.run_id: run for run in history.unfinished(job)}
        records |= {oldest.run_id: oldest} if oldest else {}
    own = [run for run in records.values() if run.job in work.jobs and run.sessions]
    runs = tuple(
        TaskRun(run.sessions, run.outcome, run.asked_at, run.attempt)
        for run in own
        if run.sessions and counts(run, work)
    )
    first = min((run.sessions.first for run in own if run.sessions), default=None)
    return TaskRuns(runs, first, tuple(done_spans(records.values(), work.assets)))


def counts(run: RunRecord, work: TaskWork) -> bool:
    """Tell whether a run is one of a task: of all of it, or one that keeps it waiting still."""
    is_own = run.job in work.jobs and (not run.is_finished or run.assets >= work.assets)
    return is_own or (run.status is RunStatus.SUCCESS and run.assets >= work.assets)


def newest_of(history: RunHistory, work: TaskWork) -> RunRecord | None:
    """Read the latest run of a task; None if there is none."""
    found: list[RunRecord] = []
    for job in work.jobs:
        own = (run for run in history.newest_first(job) if counts(run, work))
        found += itertools.islice(own, 1)
    newest = max(found, key=lambda run: run.number, default=None)
    if newest is None:
        return None
    since = history.created_since(newest.created_at, [RunStatus.SUCCESS])
    later = [run for run in since if run.number > newest.number and counts(run, work)]
    return max([newest, *later], key=lambda run: run.number)
