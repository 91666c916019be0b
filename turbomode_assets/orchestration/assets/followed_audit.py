"""The audit as a tenant has it that does not ingest: another tenant's verdicts, read and relied on.

It stands in the graph in place of `audit`, with the same check, so that nothing is derived from
sessions that nobody has judged. Nothing here writes.
"""

import dagster as dg

from turbomode_assets.completeness import reason_counts
from turbomode_assets.contracts.errors import MissingDataError, first_few
from turbomode_assets.contracts.tables import PARTITION_STATUS
from turbomode_assets.ingestion.following import sessions_without_verdicts
from turbomode_assets.orchestration.assets.audit import LONGEST_PAUSE
from turbomode_assets.orchestration.assets.metadata import OWNERS, definition_metadata
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import SESSIONS, session_span
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import MasterReaderResource
from turbomode_assets.reports import preview_markdown


@dg.asset(
    name="audit",
    group_name="ingestion",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    kinds={"polars", "deltalake"},
    owners=OWNERS,
    metadata=definition_metadata(PARTITION_STATUS),
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=LONGEST_PAUSE),
    deps=["raw_candles", "splits", "dividends", "symbol_metadata"],
)
@explained
def verdicts(
    context: dg.AssetExecutionContext, settings: SettingsResource, master: MasterReaderResource
) -> dg.MaterializeResult[None]:
    """What the tenant that ingests found: read here, so that nothing is derived before it.

    Sessions that it has not judged since their close are refused.
    """
    span, store = session_span(context), master.open()
    if waiting := sessions_without_verdicts(store, settings.data_quality(), span):
        raise MissingDataError(
            f"the master has no verdicts of {first_few(waiting)} yet",
            where=f"{settings.master_root}, tables partition_status and audits",
            fix="let the tenant that ingests run its task ingestion for these sessions first",
        )
    read = store.read("partition_status", caller="audit", span=span)
    counts = reason_counts(read.rows)
    return dg.MaterializeResult(
        metadata={
            "dagster/partition_row_count": read.rows.height,
            "sessions": f"{span} ({len(span.sessions)} sessions)",
            "reasons": dg.MetadataValue.md(preview_markdown(counts, rows=counts.height)),
            "reads": {"partition_status": read.version},
        }
    )
