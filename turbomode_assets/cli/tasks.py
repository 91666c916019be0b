"""`turbomode run`, `pause` and `resume`: the tasks of the night, by hand."""

import datetime as dt
from pathlib import Path

import click
import dagster as dg
from rich.console import Console

from turbomode_assets.cli.running import Runner
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.orchestration.automation.command_runs import fail_dead_runs, held_task
from turbomode_assets.orchestration.automation.switches import are_on, switch
from turbomode_assets.orchestration.automation.tasks import TaskPolicy, board_at, task_tags
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.run_records import DagsterRunHistory
from turbomode_assets.runs.due import Start
from turbomode_assets.runs.history import RunHistory
from turbomode_assets.runs.last_look import forget_look
from turbomode_assets.runs.tasks import JOB_OF_TASK, jobs_of
from turbomode_assets.sessions import SessionSpan, last_closed_session, require_session
from turbomode_assets.stores.operations import utc_now

_TASK = click.Choice(list(JOB_OF_TASK))


@click.command()
@click.argument("task", type=_TASK)
@click.option(
    "--session",
    "day",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    help="The session, YYYY-MM-DD; the one that closed last if none is given.",
)
def run(task: str, day: dt.datetime | None) -> None:
    """Run a task now, in this process, whether it is due or not.

    The run counts as the task's own: the daemon does not do that session again.
    """
    settings, now = SettingsResource(), utc_now()
    config = settings.scheduler()
    session = _closed(day.date() if day else None, now)
    with dg.DagsterInstance.get() as instance, held_task(instance, task):
        fail_dead_runs(instance)
        at_most = config.tasks.by_name()[task].maximum_running
        history = DagsterRunHistory(instance, ingests=settings.ingests)
        _refuse_a_second(history, task, session, at_most=at_most)
        board = board_at(instance, config, TaskPolicy(settings, utc_now), now)
        tags = task_tags(task, Start(session, board.attempts(task, session) + 1), now)
        console = Console()
        console.rule(f"{task} of {session}")
        runner = Runner(build(settings), instance, console)
        runner.run(JOB_OF_TASK[task], SessionSpan(session, session), tags)


@click.command()
@click.argument("tasks", nargs=-1, type=_TASK)
def pause(tasks: tuple[str, ...]) -> None:
    """Switch tasks off: these, or all. What runs goes on to its end."""
    _switch(tasks, on=False)


@click.command()
@click.argument("tasks", nargs=-1, type=_TASK)
def resume(tasks: tuple[str, ...]) -> None:
    """Switch tasks on: these, or all. Sessions missed since are caught up, within their grace."""
    _switch(tasks, on=True)


def _switch(tasks: tuple[str, ...], *, on: bool) -> None:
    config, console = SettingsResource().scheduler(), Console()
    with dg.DagsterInstance.get() as instance:
        before = are_on(instance, config)
        for task in tasks or JOB_OF_TASK:
            switch(instance, config, task, on=on)
            said = f"is {'on' if on else 'off'}"
            console.print(f"{task} {said}" + (" already" if before[task] == on else " now"))
        forget_look(Path(instance.root_directory))


def _closed(day: dt.date | None, now: dt.datetime) -> dt.date:
    newest = last_closed_session(now)
    session = require_session(day, where="--session") if day else newest
    if session > newest:
        raise InputError(
            f"session {session} has not closed yet",
            where="--session",
            fix=f"use a session up to {newest}",
        )
    return session


def _refuse_a_second(history: RunHistory, task: str, session: dt.date, *, at_most: int) -> None:
    """Refuse a session that runs, and any while as many as may run at once do."""
    running = [run for job in jobs_of(task) for run in history.unfinished(job)]
    for run in running:
        is_the_same = run.covers(session)
        if is_the_same or len(running) >= at_most:
            raise InputError(
                f"{session if is_the_same else run.sessions or 'a run'} of {task} is running",
                where=f"run {run.run_id} of job {run.job}",
                fix="wait until it ends, or cancel it under Runs in the UI (make ui)",
            )
