"""What ran of each task, as the run storage knows it."""

import datetime as dt
from collections.abc import Sequence

import dagster as dg
from dagster._core.events import DagsterEventType
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster_shared.error import SerializableErrorInfo

from turbomode_assets.config.scheduler import SchedulerConfig
from turbomode_assets.runs.due import Outcome, TaskRun, TaskRuns
from turbomode_assets.runs.run_coverage import TasksWork, TaskWork, makes_all
from turbomode_assets.runs.run_coverage import sessions_of_run as sessions_of_run
from turbomode_assets.runs.tasks import (
    FOLLOWED_ASSETS,
    JOB_OF_TASK,
    NIGHTLY_JOB,
    NIGHTLY_TASKS,
    TASK_ASSETS,
)
from turbomode_assets.sessions import SessionSpan, session_close
from turbomode_assets.sessions.timetable import due_sessions

SESSION_TAG = "turbomode/session"
REQUESTED_TAG = "turbomode/requested_at"
"""When a run was asked for, by the clock that asked; a simulated one differs from the storage's."""
ATTEMPT_TAG = "turbomode/attempt"
CANCELED = DagsterEventType.RUN_CANCELED


def jobs_of(task: str) -> list[str]:
    """Jobs whose runs do a task's work."""
    return [JOB_OF_TASK[task], *([NIGHTLY_JOB] if task in NIGHTLY_TASKS else [])]


def work_of_tasks(*, ingests: bool) -> TasksWork:
    """What does the work of each task, and what it makes, for a tenant that ingests or follows."""
    made = TASK_ASSETS if ingests else FOLLOWED_ASSETS
    return {task: TaskWork(tuple(jobs_of(task)), made[task]) for task in JOB_OF_TASK}


def oldest_relevant(config: SchedulerConfig, now: dt.datetime) -> dt.datetime:
    """Return a time before which no run began that did a session still in any task's grace."""
    closes = [now]
    for task in config.tasks.by_name().values():
        grace = dt.timedelta(minutes=task.misfire_grace_minutes)
        due = due_sessions(task.cron, config.time_zone, now, grace)
        closes += [session_close(due[0])] if due else []
    return min(closes)


def runs_of(instance: dg.DagsterInstance, work: TaskWork, since: dt.datetime) -> TaskRuns:
    """Read the runs of a task since a time, those still under way, and the oldest one's session."""
    records: dict[str, dg.RunRecord] = {}
    for job in work.jobs:
        for found in (
            instance.get_run_records(dg.RunsFilter(job_name=job, created_after=since)),
            unfinished(instance, job),
            instance.get_run_records(dg.RunsFilter(job_name=job), limit=1, ascending=True),
        ):
            records |= {record.dagster_run.run_id: record for record in found}
    covered = [
        (record, span)
        for record in records.values()
        if (span := sessions_of_run(record.dagster_run)) is not None
    ]
    runs = [_task_run(record, span) for record, span in covered if _counts(record, work)]
    return TaskRuns(tuple(runs), min((span.first for _, span in covered), default=None))


def unfinished(instance: dg.DagsterInstance, job: str) -> Sequence[dg.RunRecord]:
    """Read the runs of a job that wait or are under way."""
    wanted = dg.RunsFilter(job_name=job, statuses=list(NOT_FINISHED_STATUSES))
    return instance.get_run_records(wanted)


def newest(instance: dg.DagsterInstance, task: str) -> dg.RunRecord | None:
    """Read the latest run of a task; None if there is none."""
    found = [
        record
        for job in jobs_of(task)
        for record in instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)
    ]
    return max(found, key=lambda record: record.create_timestamp, default=None)


def error_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """First line of what made a run fail: of its first failed step, or of the run's own end."""
    kinds = {DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE, CANCELED}
    for entry in instance.all_logs(run_id, of_type=kinds):
        event = entry.dagster_event
        if event is None:
            continue
        error = event.step_failure_data.error if event.is_step_failure else None
        if error is not None:
            return _first_line(reason_of(error))
        if event.message:
            return _first_line(_without_class(event.message))
    return "no reason was recorded"


def reason_of(error: SerializableErrorInfo) -> str:
    """Say what made a step fail, whole."""
    return _without_class((error.cause or error).message)


def outcome_of(run: dg.DagsterRun) -> Outcome:
    """Say what became of a run; one that was canceled failed."""
    if not run.is_finished:
        return Outcome.UNDER_WAY
    return Outcome.SUCCEEDED if run.is_success else Outcome.FAILED


def requested_at(record: dg.RunRecord) -> dt.datetime:
    """When a run was asked for: as its tag says, or when it was created."""
    said = record.dagster_run.tags.get(REQUESTED_TAG)
    return dt.datetime.fromisoformat(said) if said else record.create_timestamp


def _counts(record: dg.RunRecord, work: TaskWork) -> bool:
    """Tell whether a run does all of a task, or still keeps others of the task waiting."""
    run = record.dagster_run
    return not run.is_finished or makes_all(run, work.assets)


def _task_run(record: dg.RunRecord, sessions: SessionSpan) -> TaskRun:
    run = record.dagster_run
    attempt = int(run.tags.get(ATTEMPT_TAG, 1))
    return TaskRun(sessions, outcome_of(run), requested_at(record), attempt)


def _without_class(message: str) -> str:
    """Leave out the name of an error's class and the module before it."""
    head, colon, rest = message.strip().partition(": ")
    return rest if colon and "." in head and " " not in head else message.strip()


def _first_line(message: str) -> str:
    return next(iter(message.strip().splitlines()), "")
