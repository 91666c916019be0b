"""`turbomode page`: where the nightly page lies."""

import datetime as dt

import click
from rich.console import Console

from turbomode_assets.cli.json_output import json_option, print_json
from turbomode_assets.nightly.pages import NightlyPages
from turbomode_assets.sessions import last_closed_session, require_session
from turbomode_assets.settings import Settings
from turbomode_assets.stores import Artifacts

SESSION = click.DateTime(formats=["%Y-%m-%d"])


@click.command()
@click.argument("session", type=SESSION, required=False)
@click.option("--renew", is_flag=True, help="Write the page again, as of now.")
@json_option
def page(session: dt.datetime | None, renew: bool, as_json: bool) -> None:
    """Print where the nightly page of SESSION lies, and write it first where there is none.

    Without SESSION: of the newest session that has a page, or else of the last that has closed.
    """
    pages, console = NightlyPages(Artifacts(Settings().artifacts_root)), Console()
    wanted = session.date() if session else _newest(pages)
    require_session(wanted, where="turbomode page")
    if renew or not pages.page(wanted).is_file():
        # The graph takes seconds to load: not where the page is there.
        from turbomode_assets.cli.page_writing import write_page_now

        write_page_now(pages, wanted)
    path = pages.page(wanted)
    if as_json:
        print_json({"session": wanted, "page": str(path)})
    else:
        console.print(str(path), soft_wrap=True, highlight=False)


def _newest(pages: NightlyPages) -> dt.date:
    known = pages.sessions()
    return known[-1] if known else last_closed_session(dt.datetime.now(dt.UTC))
