"""`turbomode explain`: why a stored signal is what it is, in the terminal and as a page."""

import datetime as dt
from pathlib import Path

import click
import polars as pl
from rich.console import Console

from turbomode_assets.cli.json_output import json_option, print_json
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.reports.explanation import explanation_lines, explanation_page
from turbomode_assets.settings import Settings

SHOWN_FEATURES = 8


@click.command()
@click.argument("symbol")
@click.argument("session", type=click.DateTime(formats=["%Y-%m-%d"]))
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=SHOWN_FEATURES,
    show_default=True,
    help="How many features to show.",
)
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Also write it as one HTML page into this file.",
)
@click.option(
    "--again",
    is_flag=True,
    help="Ask the nine models again, and say whether they give what went out.",
)
@json_option
def explain(
    symbol: str, session: dt.datetime, top: int, page: Path | None, again: bool, as_json: bool
) -> None:
    """Say why SYMBOL's signal of SESSION (YYYY-MM-DD) is what it is."""
    # What reads the stores takes a while to load: not for a wrong option.
    from turbomode_assets.cli.explaining import explained_signal
    from turbomode_assets.modelling.signal_sources import SignalSources

    console = Console(stderr=as_json)
    sources = SignalSources.find(Settings(), symbol, session.date())
    told = explained_signal(sources, top=top, anew=again)
    if as_json:
        parts = vars(told).items()
        print_json({n: p.to_dicts() if isinstance(p, pl.DataFrame) else p for n, p in parts})
    else:
        for line in explanation_lines(told, width=console.width):
            console.print(line, soft_wrap=True)
    if page is None:
        return
    try:
        page.write_text(explanation_page(told), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"the page cannot be written: {error}",
            where=str(page),
            fix="name a file in a folder that exists and that you may write to",
        ) from error
    console.print(f"written: {page}", markup=False, soft_wrap=True, highlight=False)
