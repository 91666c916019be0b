"""Triple-barrier labels, stored under the session on which they became known."""

import dagster as dg
import polars as pl

from turbomode_assets.config.loader import digest_of
from turbomode_assets.config.training import LONGEST_LABEL_WINDOW
from turbomode_assets.contracts.tables import LABELS
from turbomode_assets.labels import triple_barrier
from turbomode_assets.modelling.corporate_actions import delistings_of, read_corporate_actions
from turbomode_assets.orchestration.assets.metadata import (
    OWNERS,
    definition_metadata,
    picture_metadata,
    shown,
    table_metadata,
)
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import SESSIONS, session_span, trailing_sessions
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import ArtifactsResource, MasterReaderResource
from turbomode_assets.reports import label_balance_picture
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import PinnedRows


@dg.asset(
    group_name="labels",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="2",
    kinds={"polars", "deltalake"},
    owners=OWNERS,
    io_manager_key="lake",
    metadata=definition_metadata(LABELS),
    ins={"bars": dg.AssetIn(partition_mapping=trailing_sessions(LONGEST_LABEL_WINDOW))},
    deps=["splits", "dividends", "symbol_metadata"],
)
@explained
def labels(
    context: dg.AssetExecutionContext,
    bars: PinnedRows,
    master: MasterReaderResource,
    settings: SettingsResource,
    artifacts: ArtifactsResource,
) -> dg.Output[dict[str, pl.DataFrame]]:
    """Entries whose first barrier was touched, or that expired, in these sessions."""
    span, store = session_span(context), master.open()
    rule = settings.training().triple_barrier
    actions = read_corporate_actions(store, settings.data_quality().curation, caller="labels")
    universe = store.read("symbol_metadata", caller="labels")
    resolved = triple_barrier(
        actions.adjust(bars.rows),
        rule,
        known_in=span,
        delistings=delistings_of(universe.rows),
    )
    vendors = bars.rows.get_column("vendor").unique().sort().to_list()
    reads = (bars, *actions.reads, universe)
    metadata = table_metadata(resolved, span, reads=reads) | picture_metadata(
        lambda: label_balance_picture(resolved, vendors=vendors),
        artifacts.open().reports,
        "labels",
        span,
    )
    tables = {"labels": resolved, "label_rules": _rules(resolved, span, digest_of(rule))}
    return dg.Output(
        tables, metadata=metadata | shown(actions.facts) | {"rule_digest": digest_of(rule)}
    )


def _rules(labels: pl.DataFrame, span: SessionSpan, digest: str) -> pl.DataFrame:
    """A row for every session of the span, also where nothing became known."""
    counts = labels.group_by("session").agg(labels=pl.len().cast(pl.Int64))
    sessions = pl.DataFrame({"session": span.sessions}, schema={"session": pl.Date})
    return sessions.join(counts, on="session", how="left", validate="1:1").select(
        "session", pl.lit(digest).alias("rule_digest"), pl.col("labels").fill_null(0)
    )
