"""What a person asks of the tasks: on or off, when next, how the last run went, what they await."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

from turbomode_assets.reports.tasks import REPAIRED, LastRun, TaskRow
from turbomode_assets.runs.due import TaskBoard
from turbomode_assets.runs.failures import left_undone
from turbomode_assets.runs.history import RunHistory, newest_of
from turbomode_assets.runs.records import Outcome, RunRecord, RunStatus
from turbomode_assets.runs.tasks import TasksWork, TaskWork
from turbomode_assets.sessions.timetable import next_due


def task_rows(history: RunHistory, works: TasksWork, board: TaskBoard) -> list[TaskRow]:
    """Describe every task at the board's moment."""
    return [_row(history, works[name], board, name) for name in board.tasks]


def _row(history: RunHistory, work: TaskWork, board: TaskBoard, name: str) -> TaskRow:
    newest = newest_of(history, work)
    _, due = next_due(board.tasks[name].cron, board.zone, board.now)
    is_on = board.is_on(name)
    return TaskRow(
        name=name,
        is_on=is_on,
        next_due=due,
        last=_last_run(history, work, newest) if newest else None,
        notes=_notes(board, name) if is_on else (),
    )


def _notes(board: TaskBoard, name: str) -> tuple[str, ...]:
    """What starts at the next look, and what each owed session waits for."""
    decision = board.decide(name)
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


def _last_run(history: RunHistory, work: TaskWork, run: RunRecord) -> LastRun:
    told = LastRun(
        sessions=str(run.sessions.last) if run.sessions else "",
        outcome=run.outcome.value,
        began_at=run.started_at or run.created_at,
        seconds=run.seconds,
        error=None,
    )
    if run.outcome is not Outcome.FAILED:
        return told
    later = history.created_since(run.created_at, [RunStatus.SUCCESS])
    undone = left_undone(run, later, work.assets)
    if not undone:
        return replace(told, outcome=REPAIRED)
    return replace(
        told,
        error=history.failure_of(run.run_id).line,
        left_undone=None if undone.is_whole else str(undone),
    )
