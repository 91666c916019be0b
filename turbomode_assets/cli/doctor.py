"""`turbomode doctor`: whether this installation is sound, and what to do where it is not."""

from dataclasses import asdict

import click
from rich.console import Console

from turbomode_assets.cli.json_output import json_option, print_json
from turbomode_assets.maintenance.health import Finding, examine
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
    """Whether Dagster's daemon gave a sign of life lately; nothing where there is no instance."""
    if not settings.dagster_home:
        return []
    import dagster as dg
    from dagster._daemon.controller import all_daemons_live

    remedy = "start it: `dagster-daemon run`, or `make ui`"
    try:
        with dg.DagsterInstance.get() as instance:
            alive = all_daemons_live(instance)
    except dg.DagsterError as error:
        return [Finding("daemon", "fail", f"the Dagster home cannot be opened: {error}", remedy)]
    if alive:
        return [Finding("daemon", "ok", "gave a sign of life lately")]
    return [Finding("daemon", "warn", "gives no sign of life: nothing starts by itself", remedy)]
