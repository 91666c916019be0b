"""What is wrong with the tasks: nights that are silent, pauses, sessions let go."""

import datetime as dt
from collections.abc import Iterator

from turbomode_assets.alerts.conditions import Condition, Severity
from turbomode_assets.config.scheduler import SchedulerConfig, TaskConfig
from turbomode_assets.runs.history import RunSources
from turbomode_assets.runs.nights import (
    Standing,
    has_done_nothing_since,
    is_catching_up,
    sessions_let_go,
    standing_of,
)
from turbomode_assets.runs.tasks import TaskWork
from turbomode_assets.sessions import last_closed_session
from turbomode_assets.sessions.timetable import due_time, newest_due_session

SILENCE, PAUSED, LET_GO = "silence", "paused", "let_go"
INGESTION = "ingestion"
AWAITED = (INGESTION, "scanner")
"""Tasks without which a night has not happened, each after the one before it."""
FORGOTTEN_AFTER = dt.timedelta(days=7)
"""Until then a pause of what the configuration leaves off is taken for meant."""

_STANDING_WORDS: dict[Standing, tuple[Severity, str]] = {
    "under way": ("warning", "it is still running"),
    "caught up": ("warning", "sessions before it are being caught up"),
    "silent": ("critical", "and nothing of it is running"),
}


def silent_nights(
    sources: RunSources, config: SchedulerConfig, now: dt.datetime
) -> Iterator[Condition]:
    """The first awaited task that has not succeeded for the newest session that was due long ago.

    Only sessions are ever due: on weekends and holidays the session before them is asked for.
    A task that was off when the session was due has as much time from when it was switched on;
    where that is not known (no daemon ever saw it) the time counts from when it was due.
    """
    history = sources.history
    patience = dt.timedelta(minutes=config.alerts.silence_after_minutes)
    for name, task, since in _awaited(sources, config):
        session = newest_due_session(task.cron, config.time_zone, now - patience)
        work = sources.work[name]
        standing = standing_of(history, work, session)
        if standing == "succeeded":
            continue
        if standing == "silent" and is_catching_up(history, config, name, work, session, now):
            standing = "caught up"
        due = due_time(task.cron, session, config.time_zone)
        if since is None or now >= max(due, since) + patience:
            yield _silence(name, session, standing, due, config.alerts.silence_after_minutes)
        return  # the tasks after it wait for it


def completed_night(
    sources: RunSources, config: SchedulerConfig, now: dt.datetime
) -> dt.date | None:
    """Return the session closed last if all that is awaited of its night, and on, succeeded."""
    session = last_closed_session(now)
    done = [
        standing_of(sources.history, sources.work[name], session) == "succeeded"
        for name, *_ in _awaited(sources, config)
    ]
    return session if done and all(done) else None


def paused_tasks(
    sources: RunSources, config: SchedulerConfig, now: dt.datetime
) -> Iterator[Condition]:
    """Tasks that somebody turned off: at once those that the configuration turns on.

    To turn off what the configuration leaves off is a decision. It is told only of the first
    awaited task that has run before and has done nothing for a week: that may be forgotten.
    """
    is_told = False
    for name, switch in sources.read_switches(config).items():
        task = config.tasks.by_name()[name]
        if switch.is_on:
            continue
        if task.enabled:
            yield _pause(name, "scheduler_config.json turns it on, but it was turned off since")
        elif switch.by_hand and name in AWAITED and not is_told:
            week_ago = newest_due_session(task.cron, config.time_zone, now - FORGOTTEN_AFTER)
            work = sources.work[name]
            if is_told := has_done_nothing_since(sources.history, work, week_ago):
                yield _pause(
                    name,
                    f"it was turned off by hand, and nothing from {week_ago} on was done; what "
                    f"is not done {_days(task)} days after it was due is let go",
                )


def let_go(sources: RunSources, config: SchedulerConfig, now: dt.datetime) -> Iterator[Condition]:
    """Tasks that are on, and sessions of theirs that will not come by themselves any more.

    Told for `failure_days` after the newest of them fell out of its grace. Not told are sessions
    that lack what the task depends on: those are told of that task.
    """
    tasks = config.tasks.by_name()
    missed = {
        name: sessions_let_go(sources.history, config, task, sources.work[name], now)
        for name, task in tasks.items()
    }
    for name, switch in sources.read_switches(config).items():
        task = tasks[name]
        sessions = sorted(missed[name].difference(*(missed[other] for other in task.depends_on)))
        if switch.is_on and sessions:
            yield _left_behind(name, task, sessions, sources.work[name])


def _awaited(
    sources: RunSources, config: SchedulerConfig
) -> list[tuple[str, TaskConfig, dt.datetime | None]]:
    """Awaited tasks that are on, and since when each is."""
    known, tasks = sources.read_switches(config), config.tasks.by_name()
    return [(name, tasks[name], known[name].since) for name in AWAITED if known[name].is_on]


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
