"""Signals: what the champion says about every symbol, with all that is needed to explain it."""

import dagster as dg
import polars as pl

from turbomode_assets.assets.feature_sets import require_feature_set, stored_feature_sets
from turbomode_assets.assets.metadata import (
    OWNERS,
    definition_metadata,
    table_metadata,
    versions_of,
)
from turbomode_assets.automation.partitions import SESSIONS, session_span, trailing_sessions
from turbomode_assets.config.training import LONGEST_SEQUENCE, LONGEST_TRAINING
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import PREDICTIONS
from turbomode_assets.curation import with_sectors
from turbomode_assets.ensemble import load_ensemble, prediction_matrix
from turbomode_assets.reports import signal_table
from turbomode_assets.resources.boundary import explained
from turbomode_assets.resources.stores import (
    ArtifactsResource,
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.signals import make_predictions
from turbomode_assets.stores import Artifacts, Pinned
from turbomode_assets.stores.artifacts import ENSEMBLE
from turbomode_assets.stores.model_registry import Champion, champions_over
from turbomode_assets.stores.signal_book import record_signals


@dg.asset(
    group_name="signals",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    kinds={"polars", "deltalake", "duckdb"},
    owners=OWNERS,
    metadata=definition_metadata(PREDICTIONS),
    ins={
        "features": dg.AssetIn(partition_mapping=trailing_sessions(LONGEST_SEQUENCE)),
        "bars": dg.AssetIn(),
    },
    deps=[
        dg.AssetDep("ensemble", partition_mapping=trailing_sessions(LONGEST_TRAINING)),
        "symbol_metadata",
        "sector_mappings",
    ],
)
@explained
def signals(
    context: dg.AssetExecutionContext,
    features: Pinned,
    bars: Pinned,
    master: MasterReaderResource,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
    lake_store: LakeResource,
) -> dg.MaterializeResult[None]:
    """BUY, HOLD or SELL for every tradeable symbol; asking for signals never trains."""
    span, store = session_span(context), master.open()
    book, lake = memory.open(), lake_store.open()
    universe = store.read("symbol_metadata", caller="signals")
    sectors = store.read("sector_mappings", caller="signals")
    reads = (features, bars, universe, sectors)
    sets = stored_feature_sets(lake, span.trailing(LONGEST_SEQUENCE), caller="signals")
    tradeable = universe.rows.filter(pl.col("role") == "tradeable").get_column("symbol")
    quoted = bars.rows.filter(pl.col("symbol").is_in(tradeable.implode()))
    predictions = pl.concat(
        _predict(champion, reign, features.rows, sets, quoted, versions_of(reads), artifacts.open())
        for champion, reign in champions_over(book, span)
    )
    # The lake first: whatever is active in memory has its row of predictions.
    written = lake.replace("predictions", predictions, span=span, caller="signals")
    sectored = with_sectors(quoted, sectors.rows).select("symbol", "session", "sector")
    record_signals(book, predictions, quoted, sectored)
    table = dg.MetadataValue.md(signal_table(predictions.filter(pl.col("session") == span.last)))
    metadata = table_metadata(predictions, span, reads=reads, signals=table)
    return dg.MaterializeResult(metadata=metadata | {"store_version": written.version})


def _predict(
    champion: Champion,
    reign: SessionSpan,
    features: pl.DataFrame,
    sets: pl.DataFrame,
    quoted: pl.DataFrame,
    store_versions: dict[str, int],
    artifacts: Artifacts,
) -> pl.DataFrame:
    _require_features(features, quoted, reign)
    ensemble = load_ensemble(artifacts.model_folder(champion.model_version) / ENSEMBLE)
    require_feature_set(
        sets,
        reign.trailing(ensemble.look_back_sessions),
        champion.feature_digest,
        reader=f"champion {champion.model_version}",
    )
    matrix, rows = prediction_matrix(
        features.join(quoted, on="symbol", how="semi"),
        reign,
        ensemble.columns,
        ensemble.families,
        look_back_sessions=ensemble.look_back_sessions,
    )
    return make_predictions(
        rows,
        ensemble.predict_proba(matrix),
        ensemble.config.signals,
        model_version=champion.model_version,
        feature_digest=champion.feature_digest,
        config_digest=champion.config_digest,
        store_versions=store_versions,
        vendors=quoted,
    )


def _require_features(features: pl.DataFrame, quoted: pl.DataFrame, reign: SessionSpan) -> None:
    """Refuse bars without a row of features: features older than the bars they stand for."""
    due = quoted.filter(pl.col("session").is_between(reign.first, reign.last))
    missing = due.join(features, on=["symbol", "session"], how="anti")
    if missing.height:
        raise MissingDataError(
            f"bars without features: {describe_rows(missing, ['symbol', 'session'])}",
            where=f"signals, {reign}",
            fix="materialize features again: dagster asset materialize -m turbomode_assets "
            f"--select features --partition-range {reign.first}...{reign.last}",
        )
