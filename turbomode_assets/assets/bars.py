"""Curation: one clean bar for each symbol and session."""

import dagster as dg
import polars as pl

from turbomode_assets.assets.metadata import (
    OWNERS,
    definition_metadata,
    picture_metadata,
    table_metadata,
)
from turbomode_assets.automation.partitions import SESSIONS, session_span, trailing_sessions
from turbomode_assets.config.curation import LONGEST_LOOK_BACK
from turbomode_assets.contracts.tables import BARS
from turbomode_assets.curation import curate
from turbomode_assets.reports import close_and_volume_picture
from turbomode_assets.resources.boundary import explained
from turbomode_assets.resources.io_managers import TIMEFRAME_KEY
from turbomode_assets.resources.settings import SettingsResource
from turbomode_assets.resources.stores import ArtifactsResource, MasterReaderResource
from turbomode_assets.stores import Pinned


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
        "raw_candles": dg.AssetIn(
            input_manager_key="master_reader",
            metadata={TIMEFRAME_KEY: "1d"},
            partition_mapping=trailing_sessions(LONGEST_LOOK_BACK),
        )
    },
    deps=["audit", "symbol_metadata", "splits", "dividends"],
)
@explained
def bars(
    context: dg.AssetExecutionContext,
    raw_candles: Pinned,
    settings: SettingsResource,
    master: MasterReaderResource,
    artifacts: ArtifactsResource,
) -> dg.Output[dict[str, pl.DataFrame]]:
    """Clean unadjusted bars; every change and every candle left out is a row of `repairs`."""
    span, store = session_span(context), master.open()
    universe = store.read("symbol_metadata", caller="bars")
    splits = store.read("splits", caller="bars")
    dividends = store.read("dividends", caller="bars")
    clean, repairs = curate(
        raw_candles.rows,
        universe.rows,
        splits.rows,
        dividends.rows,
        settings.data_quality().curation,
        since=span.first,
    )
    reads = (raw_candles, universe, splits, dividends)
    metadata = table_metadata(clean, span, reads=reads, repairs=repairs.height) | picture_metadata(
        lambda: close_and_volume_picture(clean), artifacts.open().reports, "bars", span
    )
    return dg.Output({"bars": clean, "repairs": repairs}, metadata=metadata)
