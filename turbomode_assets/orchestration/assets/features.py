"""The feature matrix."""

import dagster as dg
import polars as pl

from turbomode_assets.contracts.tables import BARS, features_table
from turbomode_assets.curation import with_sectors
from turbomode_assets.features import (
    LONGEST_WINDOW,
    compute_features,
    device_name,
    feature_health,
    feature_names,
    registered_features,
    unhealthy_features,
)
from turbomode_assets.modelling.corporate_actions import read_corporate_actions
from turbomode_assets.modelling.feature_sets import present_feature_set
from turbomode_assets.orchestration.assets.metadata import (
    INLINE_PICTURE_SESSIONS,
    OWNERS,
    definition_metadata,
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
from turbomode_assets.orchestration.resources.stores import LakeResource, MasterReaderResource
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Pinned


def _column_descriptions() -> dict[str, str]:
    return {
        each.name: f"{each.formula}. Reads {each.bars} bars. Source: {each.source}"
        for each in registered_features()
    }


@dg.asset(
    group_name="features",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="2",
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
    bars: Pinned,
    master: MasterReaderResource,
    settings: SettingsResource,
) -> dg.Output[dict[str, pl.DataFrame]]:
    """Every feature of every symbol with a bar: a function of bars up to that session alone."""
    span, store, training = session_span(context), master.open(), settings.training()
    config = training.feature_engineering
    actions = read_corporate_actions(store, settings.data_quality().curation, caller="features")
    sectors = store.read("sector_mappings", caller="features")
    matrix = compute_features(
        with_sectors(actions.adjust(bars.rows), sectors.rows),
        benchmark=config.benchmark,
        device=config.device,
        since=span.first,
    )
    digest = present_feature_set(training)
    metadata = table_metadata(
        matrix,
        span,
        reads=(bars, *actions.reads, sectors),
        feature_digest=digest,
        device=device_name(config.device),
    )
    tables = {"features": matrix, "feature_health": feature_health(matrix, digest)}
    return dg.Output(tables, metadata=metadata | actions.metadata | _lineage(span))


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
