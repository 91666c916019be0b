"""Writing the nightly page of a session, by the asset or by hand."""

import datetime as dt
from functools import partial

import dagster as dg

from turbomode_assets.assets.regimes import signalled_regimes
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.reports.nightly import nightly_json, nightly_page
from turbomode_assets.reports.nightly_figures import NightlyReport
from turbomode_assets.resources.nightly_page import NightlySources, gather_report
from turbomode_assets.resources.settings import SettingsResource
from turbomode_assets.resources.stores import LakeResource, MasterReaderResource, MemoryResource
from turbomode_assets.sessions import last_closed_session
from turbomode_assets.stores.nightly_pages import NightlyPages


def nightly_sources(
    settings: SettingsResource,
    master: MasterReaderResource,
    memory: MemoryResource,
    lake_store: LakeResource,
    instance: dg.DagsterInstance,
) -> NightlySources:
    """Open all that a page is made from."""
    store, lake = master.open(), lake_store.open()
    regimes = partial(
        signalled_regimes, lake=lake, master=store, settings=settings, caller="nightly_page"
    )
    return NightlySources(settings, store, lake, memory.open(), instance, regimes)


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
