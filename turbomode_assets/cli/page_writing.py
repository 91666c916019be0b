"""Writing a nightly page from a command."""

import datetime as dt

import dagster as dg

from turbomode_assets.nightly.pages import NightlyPages
from turbomode_assets.nightly.writing import write_page
from turbomode_assets.orchestration.assets.nightly_page import nightly_sources
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import (
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)


def write_page_now(pages: NightlyPages, session: dt.date) -> None:
    """Write a session's page as of now."""
    settings = SettingsResource()
    with dg.DagsterInstance.get() as instance:
        sources = nightly_sources(
            settings,
            MasterReaderResource(settings=settings),
            MemoryResource(settings=settings),
            LakeResource(settings=settings),
            instance,
        )
        write_page(sources, pages, session)
