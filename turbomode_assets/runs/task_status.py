"""What a person asks of the tasks: on or off, when next, how the last run went, what they await."""

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator

import dagster as dg

from turbomode_assets.reports.tasks import LastRun, TaskRow
from turbomode_assets.runs.due import Outcome, TaskBoard
from turbomode_assets.runs.task_runs import error_of, newest, outcome_of, sessions_of_run
from turbomode_assets.sessions.timetable import next_due


def task_rows(instance: dg.DagsterInstance, roster: TaskBoard) -> list[TaskRow]:
    """Describe every task at the roster's moment."""
    return [_row(instance, roster, name) for name in roster.tasks]


def _row(instance: dg.DagsterInstance, roster: TaskBoard, name: str) -> TaskRow:
    record = newest(instance, name)
    _, due = next_due(roster.tasks[name].cron, roster.zone, roster.now)
    is_on = roster.is_on(name)
    return TaskRow(
        name=name,
        is_on=is_on,
        next_due=due,
        last=_last_run(instance, record) if record else None,
        notes=_notes(roster, name) if is_on else (),
    )


def _notes(roster: TaskBoard, name: str) -> tuple[str, ...]:
    """What starts at the next look, and what each owed session waits for."""
    decision = roster.decide(name)
    starts = [f"{start.session} starts at the next look of the daemon" for start in decision.starts]
    owed = [reason for reason in decision.reasons if not reason.startswith("nothing is owed")]
    return (*starts, *_together(owed))


def _together(reasons: Iterable[str]) -> Iterator[str]:
    """Tell in one line the sessions after one another that wait for the same."""
    apart = [reason.split(" ", 1) for reason in reasons]
    for why, group in itertools.groupby(apart, key=lambda parts: parts[1]):
        sessions = [session for session, _ in group]
        many = f"...{sessions[-1]} ({len(sessions)} sessions)" if len(sessions) > 1 else ""
        yield f"{sessions[0]}{many} {why}"


def _last_run(instance: dg.DagsterInstance, record: dg.RunRecord) -> LastRun:
    run = record.dagster_run
    outcome = outcome_of(run)
    began = record.start_time
    ended = record.end_time
    return LastRun(
        sessions=str(span.last) if (span := sessions_of_run(run)) else "",
        outcome=outcome.value,
        began_at=dt.datetime.fromtimestamp(began, dt.UTC) if began else record.create_timestamp,
        seconds=ended - began if began and ended else None,
        error=error_of(instance, run.run_id) if outcome is Outcome.FAILED else None,
    )
