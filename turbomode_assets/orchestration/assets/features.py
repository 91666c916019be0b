"""The feature matrix."""

import datetime as dt

import dagster as dg
import polars as pl

from turbomode_assets.contracts.tables import BARS, features_table
from turbomode_assets.curation import with_sectors
from turbomode_assets.features import (
    LONGEST_WINDOW,
    device_name,
    feature_names,
    registered_features,
    unhealthy_features,
)
from turbomode_assets.modelling.corporate_actions import read_corporate_actions
from turbomode_assets.modelling.feature_matrix import (
    compute_matrix,
    feature_set_row,
    require_same_values,
)
from turbomode_assets.modelling.feature_sets import present_feature_set, read_by_models
from turbomode_assets.orchestration.assets.metadata import (
    INLINE_PICTURE_SESSIONS,
    OWNERS,
    definition_metadata,
    shown,
    table_metadata,
)
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import (
    SESSIONS,
    session_of_key,
    session_span,
    trailing_sessions,
)
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import (
    ArtifactsResource,
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.sessions import SessionSpan, last_closed_session
from turbomode_assets.stores import PinnedRows
from turbomode_assets.stores.feature_sets import record_feature_set


def _column_descriptions() -> dict[str, str]:
    return {
        each.name: f"{each.formula}. Reads {each.bars} bars. Source: {each.source}"
        for each in registered_features()
    }


@dg.asset(
    group_name="features",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="3",
    kinds={"torch", "deltalake"},
    owners=OWNERS,
    io_manager_key="lake",
    metadata=definition_metadata(features_table(feature_names()), _column_descriptions()),
    ins={"bars": dg.AssetIn(partition_mapping=trailing_sessions(LONGEST_WINDOW))},
    deps=["splits", "dividends", "sector_mappings"],
)
@explained
def features(
    context: dg.AssetExecutionContext,
    bars: PinnedRows,
    master: MasterReaderResource,
    settings: SettingsResource,
    lake_store: LakeResource,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
) -> dg.Output[dict[str, pl.DataFrame]]:
    """Every feature of every symbol with a bar: a function of bars up to that session alone.

    Beside the program's own, formulas of before a change that models in force still read.
    """
    span, store, training = session_span(context), master.open(), settings.training()
    config, lake, book = training.feature_engineering, lake_store.open(), memory.open()
    actions = read_corporate_actions(store, settings.data_quality().curation, caller="features")
    sectors = store.read("sector_mappings", caller="features")
    now = SessionSpan(span.first, max(span.last, last_closed_session(dt.datetime.now(dt.UTC))))
    read = read_by_models(book, artifacts.open(), now.sessions)
    matrix = compute_matrix(
        with_sectors(actions.adjust(bars.rows), sectors.rows),
        span.first,
        present_feature_set(training),
        read.sets,
        config.device,
    )
    require_same_values(lake, span, matrix)
    record_feature_set(book, *feature_set_row(lake, span, matrix))
    metadata = table_metadata(
        matrix.values,
        span,
        reads=(bars, *actions.reads, sectors),
        feature_digest=matrix.present.digest,
        device=device_name(config.device),
        **read.metadata(matrix.earlier),
    )
    tables = {"features": matrix.values, "feature_health": matrix.health}
    return dg.Output(tables, metadata=metadata | shown(actions.facts) | _lineage(span))


def _lineage(span: SessionSpan) -> dict[str, dg.TableColumnLineage]:
    """Columns of bars that each feature is made from; left out of long runs, as pictures are."""
    if len(span.sessions) > INLINE_PICTURE_SESSIONS:
        return {}
    sources = {
        each.name: [
            dg.TableColumnDep(asset_key=dg.AssetKey("bars"), column_name=column)
            for column in each.inputs
            if column in BARS.schema
        ]
        for each in registered_features()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps_by_column=sources)}


@dg.asset_check(
    asset=features,
    description="Features that are constant, or missing for most symbols, in the last session.",
)
@explained
def features_are_healthy(
    context: dg.AssetCheckExecutionContext, lake_store: LakeResource
) -> dg.AssetCheckResult:
    """Warn, without stopping the run: a young market has short histories."""
    last = session_of_key(context.partition_key_range.end)
    health = lake_store.open().read("feature_health", caller="check", span=SessionSpan(last, last))
    unhealthy = unhealthy_features(health.rows)
    return dg.AssetCheckResult(
        passed=not any(unhealthy.values()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={name: ", ".join(features) or "none" for name, features in unhealthy.items()},
    )
