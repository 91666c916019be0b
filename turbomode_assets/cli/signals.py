"""`turbomode signals`: what to do about each symbol."""

import click
from rich.console import Console

from turbomode_assets.cli.json_output import json_option, print_json
from turbomode_assets.cli.printing import newest_signals, print_signals
from turbomode_assets.settings import Settings


@click.command()
@json_option
def signals(as_json: bool) -> None:
    """Print the newest signals of the tenant."""
    if as_json:
        print_json(newest_signals(Settings()).to_dicts())
    else:
        print_signals(Console(), Settings())
