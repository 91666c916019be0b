"""`turbomode signals`: what to do about each symbol."""

import click
from rich.console import Console

from turbomode_assets.cli.printing import print_signals
from turbomode_assets.orchestration.resources.settings import SettingsResource


@click.command()
def signals() -> None:
    """Print the newest signals of the tenant."""
    print_signals(Console(), SettingsResource())
