"""How a night stands: what is silent, is being caught up, is complete, or was let go."""

import datetime as dt
from collections.abc import Collection
from typing import Literal

from turbomode_assets.config.scheduler import SchedulerConfig, TaskConfig
from turbomode_assets.runs.history import RunHistory
from turbomode_assets.runs.records import AT_WORK, RunStatus, done_spans, is_done
from turbomode_assets.runs.tasks import TaskWork
from turbomode_assets.sessions import (
    SessionSpan,
    offset_session,
    session_close,
    session_index,
    sessions_between,
)
from turbomode_assets.sessions.timetable import due_sessions

Standing = Literal["succeeded", "under way", "caught up", "silent"]
"""How a session of a task stands: one that is `silent` has not come and nothing brings it."""


def standing_of(history: RunHistory, work: TaskWork, session: dt.date) -> Standing:
    """Tell how a session of a task stands by runs of it alone, or of a range around it.

    A run restricted to a part of the task has not done it, but while it runs the task waits.
    """
    known = {run.run_id: run for run in history.of_session(session)}
    if is_done(known.values(), work.assets, session):
        return "succeeded"
    # A range that reaches up to a session was launched after its close: there are few such runs.
    known |= {run.run_id: run for run in history.created_since(session_close(session))}
    if is_done(known.values(), work.assets, session):
        return "succeeded"
    is_under_way = any(
        not run.is_finished and run.job in work.jobs and run.covers(session)
        for run in known.values()
    )
    return "under way" if is_under_way else "silent"


def is_catching_up(
    history: RunHistory,
    config: SchedulerConfig,
    name: str,
    work: TaskWork,
    session: dt.date,
    now: dt.datetime,
) -> bool:
    """Tell whether runs of a task work their way up to a session that has not succeeded yet.

    One that began at or before it has been running for less than the task may take, or has
    succeeded within `catch_up_minutes`.
    """
    if standing_of(history, work, session) == "succeeded":
        return False
    task = config.tasks.by_name()[name]
    begun_after = now - dt.timedelta(minutes=task.timeout_minutes)
    ended_after = now - dt.timedelta(minutes=config.alerts.catch_up_minutes)
    for run in history.updated_since(min(begun_after, ended_after)):
        if run.sessions is None or run.sessions.first > session:
            continue
        if run.status in AT_WORK:
            is_moving = run.job in work.jobs and (run.started_at or run.created_at) >= begun_after
        else:
            is_moving = (
                run.status is RunStatus.SUCCESS
                and run.assets >= work.assets
                and run.ended_at is not None
                and ended_after <= run.ended_at <= now
            )
        if is_moving:
            return True
    return False


def has_done_nothing_since(history: RunHistory, work: TaskWork, since: dt.date) -> bool:
    """Tell whether a task ran before, and no session from `since` on has succeeded."""
    if first_session(history, work) is None:
        return False
    return not any(span.last >= since for span in _done_from(history, work, since))


def sessions_let_go(
    history: RunHistory,
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
    first = first_session(history, work) if due else None
    if first is None or first > due[-1]:
        return frozenset()
    done = _sessions_in(_done_from(history, work, due[0]))
    missed = {session for session in due if session >= first} - done
    if missed:
        missed |= _missed_before(history, work, first, min(missed))
    return frozenset(missed)


def first_session(history: RunHistory, work: TaskWork) -> dt.date | None:
    """First session of the oldest runs of a task, whatever became of them; None if none ran."""
    oldest = [history.oldest(job) for job in work.jobs]
    return min((run.sessions.first for run in oldest if run and run.sessions), default=None)


def _missed_before(
    history: RunHistory, work: TaskWork, first: dt.date, missed: dt.date
) -> set[dt.date]:
    """Sessions right before a missed one that were missed too, back to `first` at most.

    Looked for in steps that double, so that no more is read than twice what was missed.
    """
    reach = 1
    while True:
        reach *= 2
        steps = min(reach, session_index(missed) - session_index(first))
        begin = offset_session(missed, -steps)
        done = _sessions_in(_done_from(history, work, begin))
        found: set[dt.date] = set()
        for session in reversed(sessions_between(begin, missed)):
            if session in done:
                return found
            found.add(session)
        if begin <= first:
            return found


def _done_from(history: RunHistory, work: TaskWork, session: dt.date) -> list[SessionSpan]:
    """Stretches done by runs that can have done a session or a later one."""
    runs = history.created_since(session_close(session), [RunStatus.SUCCESS])
    return done_spans(runs, work.assets)


def _sessions_in(spans: Collection[SessionSpan]) -> set[dt.date]:
    return {session for span in spans for session in span.sessions}
