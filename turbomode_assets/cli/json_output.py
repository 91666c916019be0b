"""`--json` of the commands that read: plain JSON on standard output, and nothing else there."""

import datetime as dt
import json
from typing import Any

import click

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: dates as ISO 8601, figures as they are."
)


def print_json(content: Any) -> None:
    """Print one JSON document; what JSON has no word for is written as ISO 8601 or text."""
    click.echo(json.dumps(content, indent=2, default=_plain))


def _plain(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    return value.isoformat() if isinstance(value, dt.date) else str(value)
