"""What the run storage says of the tasks: nights that are silent, pauses, sessions let go."""

import datetime as dt
from collections.abc import Collection, Iterator
from typing import Literal

import dagster as dg
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.tags import PARTITION_NAME_TAG

from turbomode_assets.alerts.conditions import Condition, Severity
from turbomode_assets.config.scheduler import SchedulerConfig, TaskConfig
from turbomode_assets.runs.run_coverage import (
    TasksWork,
    TaskWork,
    covers,
    makes_all,
    sessions_of_run,
)
from turbomode_assets.runs.task_switches import switches
from turbomode_assets.sessions import (
    SessionSpan,
    last_closed_session,
    session_close,
    sessions_between,
)
from turbomode_assets.sessions.timetable import due_sessions, due_time, newest_due_session

SILENCE, PAUSED, LET_GO = "silence", "paused", "let_go"
INGESTION = "ingestion"
AWAITED = (INGESTION, "scanner")
"""Tasks without which a night has not happened, each after the one before it."""
FORGOTTEN_AFTER = dt.timedelta(days=7)
"""Until then a pause of what the configuration leaves off is taken for meant."""

Standing = Literal["succeeded", "under way", "caught up", "silent"]
_STANDING_WORDS: dict[Standing, tuple[Severity, str]] = {
    "under way": ("warning", "it is still running"),
    "caught up": ("warning", "sessions before it are being caught up"),
    "silent": ("critical", "and nothing of it is running"),
}


def silent_nights(
    instance: dg.DagsterInstance, config: SchedulerConfig, tasks: TasksWork, now: dt.datetime
) -> Iterator[Condition]:
    """The first awaited task that has not succeeded for the newest session that was due long ago.

    Only sessions are ever due: on weekends and holidays the session before them is asked for.
    A task that was off when the session was due has as much time from when it was switched on;
    where that is not known (no daemon ever saw it) the time counts from when it was due.
    """
    patience = dt.timedelta(minutes=config.alerts.silence_after_minutes)
    for name, task, since in _awaited(instance, config):
        session = newest_due_session(task.cron, config.time_zone, now - patience)
        standing = standing_of(instance, tasks[name], session)
        if standing == "succeeded":
            continue
        if standing == "silent" and is_catching_up(instance, config, name, tasks, session, now):
            standing = "caught up"
        due = due_time(task.cron, session, config.time_zone)
        if since is None or now >= max(due, since) + patience:
            yield _silence(name, session, standing, due, config.alerts.silence_after_minutes)
        return  # the tasks after it wait for it


def is_catching_up(
    instance: dg.DagsterInstance,
    config: SchedulerConfig,
    name: str,
    tasks: TasksWork,
    session: dt.date,
    now: dt.datetime,
) -> bool:
    """Tell whether runs of a task work their way up to a session that has not succeeded yet.

    One that began at or before it has been running for less than the task may take, or has
    succeeded within `catch_up_minutes`.
    """
    work, task = tasks[name], config.tasks.by_name()[name]
    if standing_of(instance, work, session) == "succeeded":
        return False
    begun_after = (now - dt.timedelta(minutes=task.timeout_minutes)).timestamp()
    ended_after = (now - dt.timedelta(minutes=config.alerts.catch_up_minutes)).timestamp()
    since = dt.datetime.fromtimestamp(min(begun_after, ended_after), dt.UTC)
    running = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    for job in work.jobs:
        lately = dg.RunsFilter(
            job_name=job, statuses=[*running, dg.DagsterRunStatus.SUCCESS], updated_after=since
        )
        for record in instance.get_run_records(lately):
            run, span = record.dagster_run, sessions_of_run(record.dagster_run)
            if span is None or span.first > session:
                continue
            if not run.is_finished:
                began = record.start_time or record.create_timestamp.timestamp()
                is_moving = began >= begun_after
            else:
                ended = record.end_time or 0.0
                is_moving = ended_after <= ended <= now.timestamp() and makes_all(run, work.assets)
            if is_moving:
                return True
    return False


def completed_night(
    instance: dg.DagsterInstance, config: SchedulerConfig, tasks: TasksWork, now: dt.datetime
) -> dt.date | None:
    """Return the session closed last if all that is awaited of its night, and on, succeeded."""
    session = last_closed_session(now)
    awaited = _awaited(instance, config)
    done = [standing_of(instance, tasks[name], session) == "succeeded" for name, *_ in awaited]
    return session if done and all(done) else None


def paused_tasks(
    instance: dg.DagsterInstance, config: SchedulerConfig, tasks: TasksWork, now: dt.datetime
) -> Iterator[Condition]:
    """Tasks that somebody turned off: at once those that the configuration turns on.

    To turn off what the configuration leaves off is a decision. It is told only of the first
    awaited task that has run before and has done nothing for a week: that may be forgotten.
    """
    is_told = False
    for name, switch in switches(instance, config).items():
        task = config.tasks.by_name()[name]
        if switch.is_on:
            continue
        if task.enabled:
            yield _pause(name, "scheduler_config.json turns it on, but it was turned off since")
        elif switch.by_hand and name in AWAITED and not is_told:
            week_ago = newest_due_session(task.cron, config.time_zone, now - FORGOTTEN_AFTER)
            if is_told := _has_done_nothing_since(instance, tasks[name], week_ago):
                yield _pause(
                    name,
                    f"it was turned off by hand, and nothing from {week_ago} on was done; what "
                    f"is not done {_days(task)} days after it was due is let go",
                )


def let_go(
    instance: dg.DagsterInstance, config: SchedulerConfig, tasks: TasksWork, now: dt.datetime
) -> Iterator[Condition]:
    """Tasks that are on, and sessions of theirs that will not come by themselves any more.

    Told for `failure_days` after the newest of them fell out of its grace. Not told are sessions
    that lack what the task depends on: those are told of that task.
    """
    missed = {
        name: _let_go(instance, config, task, tasks[name], now)
        for name, task in config.tasks.by_name().items()
    }
    for name, switch in switches(instance, config).items():
        task = config.tasks.by_name()[name]
        sessions = sorted(missed[name].difference(*(missed[other] for other in task.depends_on)))
        if switch.is_on and sessions:
            yield _left_behind(name, task, sessions, tasks[name])


def standing_of(instance: dg.DagsterInstance, work: TaskWork, session: dt.date) -> Standing:
    """Tell how a session of a task stands by runs of it alone, or of a range around it.

    A run restricted to a part of the task has not done it, but while it runs the task waits.
    """
    tags = {PARTITION_NAME_TAG: str(session)}
    alone = [dg.RunsFilter(job_name=job, tags=tags) for job in work.jobs]
    # A range that reaches up to a session was launched after its close: there are few such runs.
    around = [
        dg.RunsFilter(job_name=job, created_after=session_close(session)) for job in work.jobs
    ]
    standing: Standing = "silent"
    for question in (*alone, *around):
        for record in instance.get_run_records(question):
            run = record.dagster_run
            if not covers(run, session):
                continue
            if run.is_success and makes_all(run, work.assets):
                return "succeeded"
            if not run.is_finished:
                standing = "under way"
    return standing


def _awaited(
    instance: dg.DagsterInstance, config: SchedulerConfig
) -> list[tuple[str, TaskConfig, dt.datetime | None]]:
    """Awaited tasks that are on, and since when each is."""
    known, tasks = switches(instance, config), config.tasks.by_name()
    return [(name, tasks[name], known[name].since) for name in AWAITED if known[name].is_on]


def _has_done_nothing_since(instance: dg.DagsterInstance, work: TaskWork, since: dt.date) -> bool:
    """Tell whether a task ran before, and no session from `since` on has succeeded."""
    if _oldest_session(instance, work) is None:
        return False
    spans = _successes(instance, work, since)
    return not any(span.last >= since for span in spans)


def _let_go(
    instance: dg.DagsterInstance,
    config: SchedulerConfig,
    task: TaskConfig,
    work: TaskWork,
    now: dt.datetime,
) -> frozenset[dt.date]:
    """Sessions since the task first ran that fell out of its grace without a success.

    Of them, those that did lately, and those that follow on one another before these. Where
    sessions coalesce none is let go: a later one stands for them.
    """
    if task.coalesce:
        return frozenset()
    grace = dt.timedelta(minutes=task.misfire_grace_minutes)
    lately = dt.timedelta(days=config.alerts.failure_days)
    due = due_sessions(task.cron, config.time_zone, now - grace, lately)
    first = _oldest_session(instance, work) if due else None
    if first is None or first > due[-1]:
        return frozenset()
    done = _sessions_in(_successes(instance, work, due[0]))
    missed = {session for session in due if session >= first} - done
    if not missed:
        return frozenset()
    done = _sessions_in(_successes(instance, work, None))
    for session in reversed(sessions_between(first, min(missed))):
        if session in done:
            break
        missed.add(session)
    return frozenset(missed)


def _oldest_session(instance: dg.DagsterInstance, work: TaskWork) -> dt.date | None:
    """First session of the oldest runs of a task, whatever became of them; None if none ran."""
    oldest = [
        sessions_of_run(record.dagster_run)
        for job in work.jobs
        for record in instance.get_run_records(dg.RunsFilter(job_name=job), limit=1, ascending=True)
    ]
    return min((span.first for span in oldest if span is not None), default=None)


def _successes(
    instance: dg.DagsterInstance, work: TaskWork, session: dt.date | None
) -> list[SessionSpan]:
    """Sessions of the runs that did all of a task; those that can have done it for a session."""
    since = None if session is None else session_close(session)
    records: list[RunRecord] = []
    for job in work.jobs:
        wanted = dg.RunsFilter(
            job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS], created_after=since
        )
        records += instance.get_run_records(wanted)
    runs = [record.dagster_run for record in records]
    spans = [sessions_of_run(run) for run in runs if makes_all(run, work.assets)]
    return [span for span in spans if span is not None]


def _sessions_in(spans: Collection[SessionSpan]) -> set[dt.date]:
    return {session for span in set(spans) for session in span.sessions}


def _silence(
    name: str, session: dt.date, standing: Standing, due: dt.datetime, minutes: int
) -> Condition:
    severity, words = _STANDING_WORDS[standing]
    return Condition(
        f"{SILENCE}:{name}",
        SILENCE,
        severity,
        f"{name} has not succeeded for {session}, {words}",
        f"it was due {due:%Y-%m-%d %H:%M} UTC, more than {minutes} minutes ago",
        "see that the Dagster daemon is alive (turbomode status); by hand: "
        f"turbomode run {name} --session {session}",
    )


def _pause(name: str, detail: str) -> Condition:
    return Condition(
        f"{PAUSED}:{name}",
        PAUSED,
        "warning",
        f"Task {name} is paused",
        detail,
        f"turbomode resume {name}; if it is meant, turbomode alerts ack {PAUSED}:{name}",
    )


def _left_behind(name: str, task: TaskConfig, sessions: list[dt.date], work: TaskWork) -> Condition:
    first, last, count = sessions[0], sessions[-1], len(sessions)
    which = f"{count} sessions, {first} to {last}" if count > 1 else f"{first}"
    more = f"; or job {work.jobs[0]} in the UI for {first}...{last}" if count > 1 else ""
    return Condition(
        f"{LET_GO}:{name}",
        LET_GO,
        "warning",
        f"{name} has let go {which}",
        f"they did not succeed within {_days(task)} days after they were due, and nobody "
        "starts them any more",
        f"turbomode run {name} --session {first}" + (", and so on" if count > 1 else "") + more,
    )


def _days(task: TaskConfig) -> str:
    return f"{task.misfire_grace_minutes / (24 * 60):g}"
