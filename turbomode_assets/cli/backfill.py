"""`turbomode backfill`: fill the holes of some sessions, after showing what that takes."""

import datetime as dt

import click
import dagster as dg
import polars as pl
from rich.console import Console
from rich.table import Table

from turbomode_assets.cli.running import Runner
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.ingestion.backfill_plan import BackfillPlan, plan_of
from turbomode_assets.ingestion.backfilling import BACKFILL_TAG, QueueSelection, newest_window
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.resources.ingestion import IngestionResource
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan, last_closed_session, sessions_between

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command()
@click.option("--from", "first_day", type=_DAY, required=True, help="First day, YYYY-MM-DD.")
@click.option("--to", "last_day", type=_DAY, required=True, help="Last day, YYYY-MM-DD.")
@click.option("--symbols", default=None, help="Only these, comma-separated.")
@click.option("--timeframes", default=None, help="Only these, comma-separated.")
@click.option("--retry-dead", is_flag=True, help="Try again what was given up.")
@click.option("--yes", is_flag=True, help="Start without asking.")
def backfill(
    first_day: dt.datetime,
    last_day: dt.datetime,
    symbols: str | None,
    timeframes: str | None,
    retry_dead: bool,
    yes: bool,
) -> None:
    """Fetch what is missing between two days, newest sessions first.

    Days are snapped to sessions. The plan and its cost in vendor calls are shown first. It can be
    stopped at any time (Ctrl-C) and goes on when the same command is given again.
    """
    console, settings = Console(), SettingsResource()
    ingestion = IngestionResource(settings=settings)
    definitions = build(settings)
    with dg.DagsterInstance.get() as instance:
        runner = Runner(definitions, instance, console)
        tools = ingestion.open()
        if not tools.master.exists("symbol_metadata"):
            console.print("No symbols are known yet; fetching reference data first.")
            runner.run("reference", None)
        span = _snapped(first_day.date(), last_day.date(), tools)
        chosen = QueueSelection(_names(symbols), _names(timeframes))
        plan = plan_of(tools, span, chosen.symbols, chosen.timeframes)
        _show(console, plan, tools)
        if plan.is_empty:
            return
        if not yes:
            click.confirm("Start?", abort=True)
        tools.operations.enqueue(plan.work)
        if retry_dead:
            tools.operations.revive(plan.keys)
        _fill(console, runner, tools, plan, chosen)


def _snapped(first: dt.date, last: dt.date, tools: IngestionTools) -> SessionSpan:
    """The sessions between two days that have closed."""
    closed = last_closed_session(tools.now())
    sessions = [day for day in sessions_between(first, last) if day <= closed]
    if not sessions:
        raise InputError(
            f"no session that has closed lies between {first} and {last}",
            where="--from, --to",
            fix=f"the last closed session is {closed}",
        )
    return SessionSpan(sessions[0], sessions[-1])


def _names(listed: str | None) -> tuple[str, ...] | None:
    if listed is None:
        return None
    return tuple(name.strip() for name in listed.split(",") if name.strip())


def _show(console: Console, plan: BackfillPlan, tools: IngestionTools) -> None:
    if plan.is_empty:
        console.print(f"Nothing is missing in {plan.span}.")
        return
    table = Table(title=f"Missing in {plan.span}: {plan.cells:,} cells")
    for heading in ("year", "timeframe", "symbols", "stretches", "cells"):
        table.add_column(heading, justify="right")
    for row in plan.by_year.iter_rows():
        table.add_row(*(f"{value:,}" if i > 2 else str(value) for i, value in enumerate(row)))
    console.print(table)
    for vendor, calls in plan.calls.items():
        console.print(f"{vendor}: {calls:,} calls if it answers alone")
    console.print(f"Budgets now: {tools.budget_left()}")


def _fill(
    console: Console,
    runner: Runner,
    tools: IngestionTools,
    plan: BackfillPlan,
    chosen: QueueSelection,
) -> None:
    """Run window after window, the newest first, until nothing of what was chosen is due."""
    width = tools.data_quality.backfill.window_sessions
    failed: list[SessionSpan] = []
    try:
        while (window := newest_window(tools, width, plan.span, chosen)) is not None:
            console.rule(f"sessions {window}")
            try:
                runner.run("backfill", window, {BACKFILL_TAG: "command"} | chosen.tags)
            except click.ClickException as error:
                # What failed waits now before it is tried again, so that other windows are next.
                console.print(error.message)
                if window in failed:
                    raise
                failed.append(window)
    except KeyboardInterrupt:
        console.print("Stopped. What was fetched is stored; the same command goes on from here.")
        raise click.Abort from None
    _tell_rest(console, tools, plan, chosen)
    if failed:
        raise click.ClickException(f"{len(failed)} windows failed; the reasons stand above")


def _tell_rest(
    console: Console, tools: IngestionTools, plan: BackfillPlan, chosen: QueueSelection
) -> None:
    left = tools.operations.queued().filter(
        pl.col("first_session").is_between(plan.span.first, plan.span.last)
    )
    for column, values in (("symbol", chosen.symbols), ("timeframe", chosen.timeframes)):
        left = left if values is None else left.filter(pl.col(column).is_in(values))
    dead = left.filter("is_dead")
    if left.is_empty():
        console.print(f"Done: what was asked for in {plan.span} is queued no more.")
    else:
        console.print(f"{left.height} stretches are left, of which {dead.height} were given up:")
    for row in left.head(5).iter_rows(named=True):
        about = f"{row['symbol']} {row['timeframe']} {row['first_session']}...{row['last_session']}"
        later = f"again after {row['not_before']:%Y-%m-%d %H:%M} UTC" if row["not_before"] else ""
        console.print(f"  {about}: {'given up' if row['is_dead'] else later}: {row['reason']}")
    if dead.height:
        console.print("--retry-dead tries again what was given up.")
    console.print(
        "Derive what depends on it: dagster asset materialize -m turbomode_assets "
        f"--select 'bars,features,labels' --partition-range {plan.span.first}...{plan.span.last}",
        soft_wrap=True,
    )
