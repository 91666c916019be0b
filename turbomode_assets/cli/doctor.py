"""`turbomode doctor`: whether this installation is sound, and what to do where it is not."""

import datetime as dt
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from turbomode_assets.cli.json_output import json_option, print_json
from turbomode_assets.maintenance.health import DAGSTER_FILE, examine
from turbomode_assets.maintenance.surroundings import Finding
from turbomode_assets.settings import Settings

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look for what is wrong with this installation, and say what mends it."""
    settings = Settings()
    findings = [*examine(settings), *_daemon(settings)]
    if as_json:
        print_json([asdict(each) for each in findings])
    else:
        _print(findings)
    if any(each.verdict == "fail" for each in findings):
        context.exit(1)


def _print(findings: list[Finding]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    widest = max(len(each.subject) for each in findings)
    for each in findings:
        console.print(f"{each.verdict:<5}", style=STYLES[each.verdict], end="")
        console.print(f"{each.subject:<{widest}}  {each.detail}", markup=False)
        if each.remedy:
            console.print(f"{'':{widest + 7}}{each.remedy}", markup=False)


def _daemon(settings: Settings) -> list[Finding]:
    """Whether Dagster's daemon gave a sign of life lately; nothing where there is no home."""
    home = settings.dagster_home
    if not home or not (Path(home) / DAGSTER_FILE).is_file():
        return []
    import dagster as dg
    import yaml  # type: ignore[import-untyped]
    from dagster._daemon.controller import get_daemon_statuses
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with dg.DagsterInstance.get() as instance:
            kinds = instance.get_required_daemon_types()
            statuses = get_daemon_statuses(instance, kinds, ignore_errors=True)
    except (dg.DagsterError, yaml.YAMLError, SQLAlchemyError, OSError) as error:
        remedy = "write its dagster.yaml anew: `make instance` in the repository's folder"
        told = " ".join(str(error).split())
        return [Finding("daemon", "fail", f"the Dagster home cannot be opened: {told}", remedy)]
    remedy = "start it: `dagster-daemon run`, or `make ui`"
    signs = [status.last_heartbeat for status in statuses.values() if not status.healthy]
    if not signs:
        return [Finding("daemon", "ok", "gave a sign of life lately")]
    last = max((sign.timestamp for sign in signs if sign is not None), default=None)
    if last is None:
        detail = "never ran here: nothing starts by itself"
        return [Finding("daemon", "warn", detail, remedy)]
    since = dt.datetime.fromtimestamp(last, dt.UTC)
    detail = f"no sign of life since {since:%Y-%m-%d %H:%M} UTC: nothing starts by itself"
    return [Finding("daemon", "fail", detail, remedy)]
