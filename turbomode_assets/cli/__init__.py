"""The `turbomode` command: what Dagster's own command line does not do."""

import importlib
from pathlib import Path

import click
from dotenv import load_dotenv

from turbomode_assets.contracts.errors import TurbomodeError

COMMANDS = {
    "alerts": "turbomode_assets.cli.alerts",
    "backfill": "turbomode_assets.cli.backfill",
    "backup": "turbomode_assets.cli.backup",
    "config": "turbomode_assets.cli.config",
    "demo": "turbomode_assets.cli.demo",
    "explain": "turbomode_assets.cli.explain",
    "features": "turbomode_assets.cli.features",
    "models": "turbomode_assets.cli.models",
    "page": "turbomode_assets.cli.page",
    "pause": "turbomode_assets.cli.tasks",
    "restore": "turbomode_assets.cli.restore",
    "resume": "turbomode_assets.cli.tasks",
    "run": "turbomode_assets.cli.tasks",
    "signals": "turbomode_assets.cli.signals",
    "status": "turbomode_assets.cli.status",
}
"""Module of each command, whose object has the command's name."""


class ExplainedGroup(click.Group):
    """Loads a command when it is asked for, and prints refusals as their three lines.

    A rollback must not wait until the libraries that train are loaded.
    """

    def list_commands(self, context: click.Context) -> list[str]:
        """Name the commands."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Load a command; None where there is no such one."""
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[name]), name)
        return command

    def invoke(self, context: click.Context) -> object:
        """Run the command; a refusal exits with 1."""
        try:
            return super().invoke(context)
        except TurbomodeError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=ExplainedGroup)
def main() -> None:
    """Raw market data to trading signals that can be trusted and explained."""
    load_dotenv(Path.cwd() / ".env")
