"""`turbomode alerts`: what is wrong, who was told, and who takes care of it."""

import datetime as dt
import getpass
from collections.abc import Iterable

import click
from rich.console import Console

from turbomode_assets.alerts.alert_book import acknowledge, ended_alerts, open_alerts
from turbomode_assets.alerts.alerts import alert_lines
from turbomode_assets.alerts.delivery import NOBODY, receivers_of
from turbomode_assets.cli.json_output import json_option, print_json
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets.settings import ALERT_URLS_VARIABLE, Settings
from turbomode_assets.stores import ModelMemory


@click.group()
def alerts() -> None:
    """See, send and acknowledge alerts."""


@alerts.command("list")
@click.option("--ended", default=0, type=click.IntRange(0), help="So many that ended, too.")
@json_option
def list_alerts(ended: int, as_json: bool) -> None:
    """What is open, the worst first, as the last look found it."""
    settings, console = Settings(), Console()
    memory = _memory(settings)
    if as_json:
        are_open = open_alerts(memory).to_dicts() if memory.exists() else []
        are_over = ended_alerts(memory, limit=ended).to_dicts() if memory.exists() else []
        print_json({"open": are_open, "ended": are_over, "is_told": bool(settings.alert_urls)})
        return
    _print_book(console, settings)
    if ended and memory.exists():
        _print(console, [f"Ended, the latest {ended}:"])
        _print(console, alert_lines(ended_alerts(memory, limit=ended)))


@alerts.command("send")
def send() -> None:
    """Look once, without any daemon, and tell what is news.

    Exits with 1 while something critical holds: put into cron or systemd, on this machine or on
    another that sees the same data root, it notices that the daemon is dead.
    """
    # Loaded here: these take seconds, and the other commands must not wait for them.
    import dagster as dg

    from turbomode_assets.alerts.rounds import look
    from turbomode_assets.orchestration.automation.command_runs import fail_dead_runs
    from turbomode_assets.orchestration.run_sources import run_sources

    settings, console = Settings(), Console()
    with dg.DagsterInstance.get() as instance:
        fail_dead_runs(instance)
        seen = look(settings, run_sources(instance, ingests=settings.ingests), _now())
    _print(console, [seen.summary])
    _print_book(console, settings)
    if seen.is_critical or seen.unreached:
        raise click.exceptions.Exit(1)


@alerts.command("ack")
@click.argument("fingerprints", nargs=-1, required=True)
@click.option("--by", default=getpass.getuser, help="Who takes care of it; you if not given.")
def ack(fingerprints: tuple[str, ...], by: str) -> None:
    """Take care of open alerts: they are not told again while they last, unless they worsen."""
    acknowledge(_memory(Settings()), fingerprints, by=by, now=_now())
    _print(Console(), [f"{each} is acknowledged by {by}." for each in fingerprints])


@alerts.command("test")
def test() -> None:
    """Send a test message to every receiver, and say which took it."""
    settings, console = Settings(), Console()
    receivers = receivers_of(settings.alert_urls)
    if not receivers:
        raise ConfigurationError(
            NOBODY,
            where=f"environment variable {ALERT_URLS_VARIABLE}",
            fix="set it to addresses as https://appriseit.com/services writes them",
        )
    stamp = " [vendor=simulated]" if settings.is_simulated else ""
    title = f"turbomode {settings.tenant_name}: test{stamp}"
    took = [each.accepts(title, "INFO: this is a test; all is well.", "info") for each in receivers]
    for each, taken in zip(receivers, took, strict=True):
        _print(console, [f"{each.name}: {'took it' if taken else 'did NOT take it'}"])
    if not all(took):
        raise click.exceptions.Exit(1)


def _print_book(console: Console, settings: Settings) -> None:
    memory = _memory(settings)
    lines = alert_lines(open_alerts(memory)) if memory.exists() else []
    _print(console, lines or ["No alert is open."])
    if not settings.alert_urls:
        _print(console, [f"({NOBODY})"])


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _memory(settings: Settings) -> ModelMemory:
    return ModelMemory(settings.memory_path, settings.tenant_name)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
