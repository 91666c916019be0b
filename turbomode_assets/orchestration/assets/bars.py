"""Curation: one clean bar for each symbol and session."""

import dagster as dg
import polars as pl

from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.contracts.tables import BARS
from turbomode_assets.curation import curate
from turbomode_assets.orchestration.assets.metadata import (
    OWNERS,
    definition_metadata,
    picture_metadata,
    table_metadata,
)
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import SESSIONS, session_span
from turbomode_assets.orchestration.resources.io_managers import TIMEFRAME_KEY
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import ArtifactsResource, MasterReaderResource
from turbomode_assets.reports import close_and_volume_picture
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import MasterReader, PinnedRows


@dg.asset(
    group_name="curation",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="2",
    kinds={"polars", "deltalake"},
    owners=OWNERS,
    io_manager_key="lake",
    metadata=definition_metadata(BARS),
    ins={
        "raw_candles": dg.AssetIn(input_manager_key="master_reader", metadata={TIMEFRAME_KEY: "1d"})
    },
    deps=["audit", "symbol_metadata", "splits", "dividends"],
)
@explained
def bars(
    context: dg.AssetExecutionContext,
    raw_candles: PinnedRows,
    settings: SettingsResource,
    master: MasterReaderResource,
    artifacts: ArtifactsResource,
) -> dg.Output[dict[str, pl.DataFrame]]:
    """Clean unadjusted bars; every change and every candle left out is a row of `repairs`."""
    span, store, rules = session_span(context), master.open(), settings.data_quality().curation
    universe, splits, dividends = (
        store.read(table, caller="bars") for table in ("symbol_metadata", "splits", "dividends")
    )
    candles = pl.concat([_before(span, store, rules, raw_candles.version), raw_candles.rows])
    clean, repairs = curate(
        candles, universe.rows, splits.rows, dividends.rows, rules, since=span.first
    )
    reads = (raw_candles, universe, splits, dividends)
    metadata = table_metadata(clean, span, reads=reads, repairs=repairs.height) | picture_metadata(
        lambda: close_and_volume_picture(clean), artifacts.open().reports, "bars", span
    )
    return dg.Output({"bars": clean, "repairs": repairs}, metadata=metadata)


def _before(
    span: SessionSpan, store: MasterReader, rules: CurationConfig, version: int
) -> pl.DataFrame:
    """Daily candles of the sessions before a span that its own are screened by."""
    last = offset_session(span.first, -1)
    look_back = SessionSpan(last, last).trailing(rules.look_back_sessions - 1)
    return store.read(
        "candles", caller="bars", span=look_back, timeframes=["1d"], version=version
    ).rows
