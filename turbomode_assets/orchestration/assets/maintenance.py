"""Maintenance: old files, runs and logs go, and nothing that anybody still refers to."""

import datetime as dt

import dagster as dg

from turbomode_assets.maintenance.weekly import space_table
from turbomode_assets.orchestration.assets.metadata import OWNERS
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import SESSIONS
from turbomode_assets.orchestration.resources.keeper import KeeperResource
from turbomode_assets.reports import preview_markdown


@dg.asset(
    group_name="maintenance",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    kinds={"deltalake", "duckdb"},
    owners=OWNERS,
)
@explained
def maintenance(
    context: dg.AssetExecutionContext, keeper: KeeperResource
) -> dg.MaterializeResult[None]:
    """Tables compacted and vacuumed, old runs archived, what killed runs left behind removed.

    Its session only says when it ran: everything is looked at as it is now.
    """
    result = keeper.maintain(context.instance, dt.datetime.now(dt.UTC), context.log.info)
    result.raise_failures()
    notes = dg.MetadataValue.md("\n".join(f"- {note}" for note in result.notes) or "none")
    space = dg.MetadataValue.md(preview_markdown(space_table(result), rows=10))
    return dg.MaterializeResult(metadata=result.figures | {"notes": notes, "space": space})
