"""The `turbomode` command: what Dagster's own command line does not do."""

import importlib
from dataclasses import dataclass
from pathlib import Path

import click
from click.shell_completion import CompletionItem
from dotenv import load_dotenv

from turbomode_assets.contracts.errors import TurbomodeError


@dataclass(frozen=True)
class Command:
    """Module of a command, whose object has the command's name, and its help in one line."""

    module: str
    short_help: str


COMMANDS = {
    "alerts": Command("alerts", "See, send and acknowledge alerts."),
    "backfill": Command(
        "backfill", "Fetch what is missing between two days, newest sessions first."
    ),
    "backup": Command(
        "backup",
        "Copy memory, lake, master, operations, model files and configuration into TARGET.",
    ),
    "config": Command(
        "config", "Check the configuration files, upgrade them, or write their JSON Schemas."
    ),
    "demo": Command(
        "demo", "Run the whole graph on a simulated market and print tonight's signals."
    ),
    "explain": Command("explain", "Say why SYMBOL's signal of SESSION (YYYY-MM-DD) is what it is."),
    "features": Command("features", "Look at the feature set."),
    "models": Command("models", "Look at trained models; promote, withdraw or roll back."),
    "page": Command(
        "page",
        "Print where the nightly page of SESSION lies, and write it first where there is none.",
    ),
    "pause": Command("tasks", "Switch tasks off: these, or all."),
    "restore": Command(
        "restore", "Restore the backup in SOURCE into the data root, which must be empty."
    ),
    "resume": Command("tasks", "Switch tasks on: these, or all."),
    "run": Command("tasks", "Run a task now, in this process, whether it is due or not."),
    "signals": Command("signals", "Print the newest signals of the tenant."),
    "status": Command("status", "Show the tasks and the ledger."),
}


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
        module = importlib.import_module(f"{__name__}.{COMMANDS[name].module}")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.short_help) for name, each in COMMANDS.items()])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command without loading one."""
        return [
            CompletionItem(name, help=each.short_help)
            for name, each in COMMANDS.items()
            if name.startswith(incomplete)
        ]

    def invoke(self, context: click.Context) -> object:
        """Run the command; a refusal exits with 1."""
        try:
            return super().invoke(context)
        except TurbomodeError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=ExplainedGroup)
@click.version_option(package_name="turbomode_assets")
def main() -> None:
    """Raw market data to trading signals that can be trusted and explained."""
    load_dotenv(Path.cwd() / ".env")
