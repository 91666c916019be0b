"""`turbomode status`: the tasks, and how complete the market data are, in the terminal."""

import click
import dagster as dg
from dagster._core.errors import DagsterHomeNotSetError
from rich.console import Console
from rich.text import Text

from turbomode_assets.orchestration.automation.command_runs import fail_dead_runs
from turbomode_assets.orchestration.automation.tasks import TaskPolicy, board_at
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.run_sources import run_sources
from turbomode_assets.reports import status_lines
from turbomode_assets.reports.tasks import task_lines
from turbomode_assets.runs.task_status import task_rows
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.operations import Operations, utc_now


@click.command()
def status() -> None:
    """Show the tasks and the ledger.

    Of each task: on or off, when next, the last run, what it waits for. Of the ledger: shares of
    GREEN, AMBER and RED, why, how old, and what is queued.
    """
    settings, console = SettingsResource(), Console()
    for line in [*_tasks(settings, console.width), Text(), *_ledger(settings, console.width)]:
        console.print(line)


def _tasks(settings: SettingsResource, width: int) -> list[Text]:
    config, now = settings.scheduler(), utc_now()
    try:
        with dg.DagsterInstance.get() as instance:
            fail_dead_runs(instance)
            board = board_at(instance, config, TaskPolicy(settings, utc_now), now)
            runs = run_sources(instance, ingests=settings.ingests)
            rows = task_rows(runs.history, runs.work, board)
            return task_lines(rows, zone=config.time_zone, width=width)
    except DagsterHomeNotSetError:
        return [Text("Tasks: unknown, for DAGSTER_HOME is not set (`make .env` writes it)")]


def _ledger(settings: SettingsResource, width: int) -> list[Text]:
    master = MasterReader(settings.master_root)
    audited = master.stored_span("partition_status")
    if audited is None:
        return [
            Text("Nothing was audited yet.", style="bold"),
            Text("Run `make demo`, or materialize raw_candles and audit as the README says."),
        ]
    ledger = master.read("partition_status", caller="status").rows
    audits = master.read("audits", caller="status").rows
    queue = Operations(settings.operations_url).queued() if settings.ingests else None
    return status_lines(ledger, audits, queue, as_of=audited.last, width=width)
