"""Writing the nightly page of a session, by the asset or by hand."""

import datetime as dt

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.nightly.contents import NightlySources, gather_report
from turbomode_assets.nightly.figures import NightlyReport
from turbomode_assets.nightly.page.document import nightly_json, nightly_page
from turbomode_assets.nightly.pages import NightlyPages
from turbomode_assets.sessions import last_closed_session


def write_page(sources: NightlySources, pages: NightlyPages, session: dt.date) -> NightlyReport:
    """Write the page and the JSON of a session, as of now; returns what they say.

    Raises:
        InputError: the session has not closed; its page would pass for the latest.
    """
    now = dt.datetime.now(dt.UTC)
    if session > (newest := last_closed_session(now)):
        raise InputError(
            f"session {session} has not closed yet",
            where="nightly_page",
            fix=f"ask for the page of a session up to {newest}",
        )
    report = gather_report(sources, session, now)
    pages.write(session, nightly_page(report), nightly_json(report))
    return report
