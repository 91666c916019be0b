"""`turbomode status`: the tasks, and how complete the market data are, in the terminal."""

import datetime as dt
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import polars as pl
from rich.console import Console
from rich.text import Text

from turbomode_assets.cli.json_output import json_option, print_json
from turbomode_assets.completeness import age_of_data, reason_counts, vendors_of, verdict_counts
from turbomode_assets.reports import status_lines
from turbomode_assets.reports.tasks import task_lines
from turbomode_assets.runs.last_look import TaskLook, kept_look
from turbomode_assets.settings import Settings
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.operations import Operations, utc_now


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show the tasks and the ledger.

    Of each task: on or off, when next, the last run, what it waits for. Of the ledger: shares of
    GREEN, AMBER and RED, why, how old, and what is queued.
    """
    settings, console = Settings(), Console()
    look, ledger = _task_look(settings), _ledger(settings)
    if as_json:
        tasks = None if look is None else [asdict(row) for row in look.rows]
        completeness = _figures(ledger) if ledger else None
        seen_at = look.at if look else None
        print_json({"tasks": tasks, "tasks_seen_at": seen_at, "completeness": completeness})
        return
    zone = settings.scheduler().time_zone
    told = _NO_HOME
    if look is not None:
        told = task_lines(look.rows, seen_at=look.at, zone=zone, width=console.width)
    for line in [*told, Text(), *(_lines(ledger, console.width) if ledger else _NOT_AUDITED)]:
        console.print(line)


_NO_HOME = [Text("Tasks: unknown, for DAGSTER_HOME is not set (`make .env` writes it)")]
_NOT_AUDITED = [
    Text("Nothing was audited yet.", style="bold"),
    Text("Run `make demo`, or materialize raw_candles and audit as the README says."),
]


@dataclass(frozen=True)
class _Ledger:
    """The ledger up to its last session, its audits, and the queue of a tenant that ingests."""

    rows: pl.DataFrame
    audits: pl.DataFrame
    queue: pl.DataFrame | None
    as_of: dt.date


def _task_look(settings: Settings) -> TaskLook | None:
    """What is known of every task; None where no Dagster home is set."""
    if settings.dagster_home is None:
        return None
    rounds = dt.timedelta(seconds=2 * settings.scheduler().task_interval_seconds)
    look = kept_look(Path(settings.dagster_home), now=utc_now(), within=rounds)
    if look is None:
        # No daemon looks at the tasks: asking Dagster's instance takes seconds to load.
        from turbomode_assets.cli.looking import look_at_tasks

        look = look_at_tasks()
    return look


def _ledger(settings: Settings) -> _Ledger | None:
    """What was audited; None before the first audit."""
    master = MasterReader(settings.master_root)
    audited = master.stored_span("partition_status")
    if audited is None:
        return None
    return _Ledger(
        master.read("partition_status", caller="status").rows,
        master.read("audits", caller="status").rows,
        Operations(settings.operations_url).queued() if settings.ingests else None,
        audited.last,
    )


def _lines(ledger: _Ledger, width: int) -> list[Text]:
    return status_lines(ledger.rows, ledger.audits, ledger.queue, as_of=ledger.as_of, width=width)


def _figures(ledger: _Ledger) -> dict[str, Any]:
    return {
        "as_of": ledger.as_of,
        "vendors": vendors_of(ledger.rows),
        "sessions": verdict_counts(ledger.rows).to_dicts(),
        "reasons": reason_counts(ledger.rows).to_dicts(),
        "ages": age_of_data(ledger.rows, ledger.as_of).to_dicts(),
        "queue": None if ledger.queue is None else ledger.queue.to_dicts(),
    }
