"""Training: the ensemble as of a session, in thirteen steps. Nothing else trains."""

import dagster as dg

from turbomode_assets.config.learning import LONGEST_TRAINING
from turbomode_assets.config.training import LONGEST_TRAINING_BARS
from turbomode_assets.orchestration.assets.metadata import OWNERS
from turbomode_assets.orchestration.assets.training.data_steps import (
    apply_balanced_sampling,
    apply_regime_labels,
    apply_regime_weighted_loss,
    build_datasets,
    load_config_version,
    load_raw_data_from_master,
)
from turbomode_assets.orchestration.assets.training.fit_steps import (
    cross_validate,
    plan_cross_validation,
    train_ensemble,
)
from turbomode_assets.orchestration.assets.training.gate_step import compare_models_promotion_gate
from turbomode_assets.orchestration.assets.training.judgement_steps import (
    run_drift_detection,
    run_regime_aware_validation,
    run_sector_symbol_analysis,
    run_shap_analysis,
)
from turbomode_assets.orchestration.assets.training.store_step import store_model_and_metadata
from turbomode_assets.orchestration.partitions import SESSIONS, trailing_sessions

_LEARNED = dg.AssetIn(
    dagster_type=dg.Nothing, partition_mapping=trailing_sessions(LONGEST_TRAINING)
)
_EARLIER = dg.AssetIn(
    dagster_type=dg.Nothing, partition_mapping=trailing_sessions(LONGEST_TRAINING_BARS)
)
_WHOLE = dg.AssetIn(dagster_type=dg.Nothing)


@dg.config_mapping(
    config_schema={
        "gate_override": dg.Field(
            dg.Noneable(str),
            default_value=None,
            description="Why data below the GREEN threshold may be used; logged and shown.",
        ),
        "cause": dg.Field(str, default_value="by hand", description="Why this run was started."),
    }
)
def _configuration(given: dict[str, str | None]) -> dict[str, object]:
    """Hand the run's configuration to the two steps that read it."""
    return {
        "load_config_version": {"config": {"cause": given["cause"]}},
        "load_raw_data_from_master": {"config": {"gate_override": given["gate_override"]}},
    }


@dg.graph_asset(
    group_name="training",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="2",
    kinds={"lightgbm", "torch", "duckdb"},
    owners=OWNERS,
    config=_configuration,
    ins={
        "features": _LEARNED,
        "labels": _LEARNED,
        "bars": _EARLIER,
        "audit": _LEARNED,
        "splits": _WHOLE,
        "dividends": _WHOLE,
        "sector_mappings": _WHOLE,
        "symbol_metadata": _WHOLE,
    },
)
def ensemble(features, labels, bars, audit, splits, dividends, sector_mappings, symbol_metadata):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  # values of a graph have no types
    """Eight base models and their meta-learner as of the last session of the run."""
    reference = [splits, dividends, sector_mappings, symbol_metadata]
    upstream = [features, labels, bars, audit, *reference]
    run = load_raw_data_from_master(load_config_version(upstream))
    run = apply_regime_labels(build_datasets(run))
    run = apply_regime_weighted_loss(apply_balanced_sampling(run))
    trained = train_ensemble(run)
    crossed = plan_cross_validation(trained).map(lambda name: cross_validate(name, trained))
    validated = run_regime_aware_validation(trained, crossed.collect())
    reports = [
        run_sector_symbol_analysis(validated),
        run_drift_detection(trained),
        run_shap_analysis(trained),
    ]
    return store_model_and_metadata(compare_models_promotion_gate(validated), reported=reports)
