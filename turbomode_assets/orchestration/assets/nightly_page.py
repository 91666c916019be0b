"""The nightly page: everything a night comes to, in one file that people open in the morning."""

from functools import partial
from typing import Any

import dagster as dg

from turbomode_assets.modelling.regimes import signalled_regimes
from turbomode_assets.nightly.contents import NightlySources
from turbomode_assets.nightly.figures import NightlyReport
from turbomode_assets.nightly.pages import NightlyPages
from turbomode_assets.nightly.writing import write_page
from turbomode_assets.orchestration.assets.metadata import OWNERS
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import SESSIONS, session_span
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import (
    ArtifactsResource,
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.orchestration.run_records import DagsterRunHistory


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
    runs = DagsterRunHistory(instance, ingests=settings.ingests)
    return NightlySources(settings, store, lake, memory.open(), runs, regimes)


@dg.asset(
    group_name="signals",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    kinds={"html"},
    owners=OWNERS,
    deps=["signals", "outcomes", "drift_metrics", "backtest", "completeness"],
)
@explained
def nightly_page(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    master: MasterReaderResource,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
    lake_store: LakeResource,
) -> dg.MaterializeResult[None]:
    """A page and its JSON for each session; it comes out whatever is missing, and says so."""
    sources = nightly_sources(settings, master, memory, lake_store, context.instance)
    pages = NightlyPages(artifacts.open())
    for session in session_span(context).sessions:
        report = write_page(sources, pages, session)
    return dg.MaterializeResult(metadata=_metadata(report, pages))


def _metadata(report: NightlyReport, pages: NightlyPages) -> dict[str, Any]:
    page = pages.page(report.session)
    concerns = "\n".join(f"- {concern.text}" for concern in report.concerns)
    return {
        "page": dg.MetadataValue.path(str(page)),
        "page_url": dg.MetadataValue.url(page.as_uri()),
        "figures": dg.MetadataValue.path(str(pages.figures(report.session))),
        "verdict": report.level,
        "concerns": dg.MetadataValue.md(concerns or "none"),
        "vendor": ", ".join(report.vendors) or "none",
        "kilobytes": round(page.stat().st_size / 1_000, 1),
    }
