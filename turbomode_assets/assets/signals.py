"""Signals: what the champion says about every symbol, with all that is needed to explain it."""

from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import polars as pl

from turbomode_assets.assets.feature_sets import require_feature_set, stored_feature_sets
from turbomode_assets.assets.gate import GateConfiguration, joined_reasons, pass_gate
from turbomode_assets.assets.metadata import (
    OWNERS,
    definition_metadata,
    table_metadata,
    versions_of,
)
from turbomode_assets.automation.partitions import SESSIONS, session_span, trailing_sessions
from turbomode_assets.config.learning import LONGEST_TRAINING
from turbomode_assets.config.training import LONGEST_SEQUENCE
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import PREDICTIONS
from turbomode_assets.curation import with_sectors
from turbomode_assets.ensemble import Ensemble, load_ensemble, prediction_matrix
from turbomode_assets.features import LONGEST_WINDOW
from turbomode_assets.reports import signal_table
from turbomode_assets.resources.boundary import explained
from turbomode_assets.resources.settings import SettingsResource
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
        dg.AssetDep("audit", partition_mapping=trailing_sessions(LONGEST_SEQUENCE)),
        "symbol_metadata",
        "sector_mappings",
    ],
)
@explained
def signals(
    context: dg.AssetExecutionContext,
    config: GateConfiguration,
    features: Pinned,
    bars: Pinned,
    settings: SettingsResource,
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
    reigns = [
        Reign(champion, sessions, load_ensemble(_files_of(champion, artifacts.open())))
        for champion, sessions in champions_over(book, span)
    ]
    quality = settings.data_quality()
    passage = pass_gate(
        store,
        book,
        quality,
        span.trailing(max(reign.model.look_back_sessions for reign in reigns) + LONGEST_WINDOW - 1),
        threshold=quality.gate.signals_green_share,
        needed_by=f"signals of {span}",
        configuration=config,
    )
    predictions = pl.concat(
        _predict(reign, features.rows, sets, quoted, versions_of(reads), passage.override)
        for reign in reigns
    )
    # The lake first: whatever is active in memory has its row of predictions.
    written = lake.replace("predictions", predictions, span=span, caller="signals")
    sectored = with_sectors(quoted, sectors.rows).select("symbol", "session", "sector")
    record_signals(book, predictions, quoted, sectored)
    table = dg.MetadataValue.md(signal_table(predictions.filter(pl.col("session") == span.last)))
    metadata = table_metadata(predictions, span, reads=reads, signals=table) | passage.metadata
    return dg.MaterializeResult(metadata=metadata | {"store_version": written.version})


@dataclass(frozen=True)
class Reign:
    """A champion, the sessions it is in force for, and its models."""

    champion: Champion
    sessions: SessionSpan
    model: Ensemble


def _files_of(champion: Champion, artifacts: Artifacts) -> Path:
    return artifacts.model_folder(champion.model_version) / ENSEMBLE


def _predict(
    reign: Reign,
    features: pl.DataFrame,
    sets: pl.DataFrame,
    quoted: pl.DataFrame,
    store_versions: dict[str, int],
    gate_override: str | None,
) -> pl.DataFrame:
    champion, model = reign.champion, reign.model
    _require_features(features, quoted, reign.sessions)
    require_feature_set(
        sets,
        reign.sessions.trailing(model.look_back_sessions),
        champion.feature_digest,
        reader=f"champion {champion.model_version}",
    )
    matrix, rows = prediction_matrix(
        features.join(quoted, on="symbol", how="semi"),
        reign.sessions,
        model.columns,
        model.families,
        look_back_sessions=model.look_back_sessions,
    )
    return make_predictions(
        rows,
        model.predict_proba(matrix),
        model.config.signals,
        model_version=champion.model_version,
        feature_digest=champion.feature_digest,
        config_digest=champion.config_digest,
        store_versions=store_versions,
        vendors=quoted,
        gate_override=joined_reasons(champion.gate_override, gate_override),
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
