"""Steps of a training run up to the rows and weights that every fit learns from."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from turbomode_assets.config.loader import TRAINING_FILE, digest_of
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.ensemble import StepResults
from turbomode_assets.ensemble.error_replay import confident_errors, update_replay_buffer
from turbomode_assets.ensemble.run import sample, weigh_samples
from turbomode_assets.ensemble.step_results import (
    LearningMemory,
    MarketInputs,
    RunRules,
    SampledRows,
)
from turbomode_assets.ensemble.training_set import (
    TrainingSet,
    with_history,
    with_regimes,
)
from turbomode_assets.features import feature_families
from turbomode_assets.labels import detect_rare_events, market_regimes, update_archive
from turbomode_assets.labels.rare_events import first_detectable_session
from turbomode_assets.modelling.feature_sets import present_feature_set
from turbomode_assets.modelling.gate import pass_gate
from turbomode_assets.modelling.training_inputs import (
    candle_span,
    champion_forecasts,
    known_forecasts,
    learned_versions,
    read_market,
    read_training_set,
    training_span,
)
from turbomode_assets.orchestration.assets.gate_configuration import GateConfiguration
from turbomode_assets.orchestration.assets.metadata import shown
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import session_span
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import (
    ArtifactsResource,
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.reports import preview_markdown
from turbomode_assets.stores import Artifacts, Lake, ModelMemory
from turbomode_assets.stores.learning_memory import rare_event_archive, replay_buffer
from turbomode_assets.stores.model_registry import audit_configuration, versions_trained_on

Run = dict[str, str]
"""What steps hand on: the `folder` of their results, and the session it trains `as_of`."""


class TrainingConfiguration(dg.Config):
    """Run configuration of a training run: why it was started."""

    cause: str = "by hand"


@dg.op(ins={"upstream": dg.In(dg.Nothing)})
@explained
def load_config_version(
    context: dg.OpExecutionContext,
    config: TrainingConfiguration,
    settings: SettingsResource,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
) -> Run:
    """Read the training configuration as it is now; the whole run keeps to it."""
    as_of, started_at = session_span(context).last, dt.datetime.now(dt.UTC)
    rules = settings.training()
    audit_configuration(
        memory.open(),
        file=TRAINING_FILE,
        version=rules.version,
        digest=digest_of(rules),
        purpose=f"train the ensemble as of {as_of} ({config.cause})",
        loaded_at=started_at,
    )
    _sweep_workbenches(context.instance, artifacts.open())
    results = StepResults(artifacts.open().workbench(context.run_id))
    results.clear()
    results.put(RunRules(config.cause, started_at, rules))
    context.add_output_metadata(
        {
            "version": rules.version,
            "digest": digest_of(rules),
            "change": rules.changelog[rules.version],
            "cause": config.cause,
        }
    )
    return {"folder": str(results.folder), "as_of": str(as_of)}


def _sweep_workbenches(instance: dg.DagsterInstance, artifacts: Artifacts) -> None:
    """Remove what training runs that have ended, and failed, left behind."""
    for run_id in artifacts.workbenches():
        run = instance.get_run_by_id(run_id)
        if run is not None and run.is_finished:
            artifacts.remove_workbench(run_id)


@dg.op
@explained
def load_raw_data_from_master(
    context: dg.OpExecutionContext,
    config: GateConfiguration,
    run: Run,
    settings: SettingsResource,
    master: MasterReaderResource,
    lake_store: LakeResource,
    memory: MemoryResource,
) -> Run:
    """Pass the GREEN gate, and pin the version of every table that is read."""
    results, as_of = open_run(run)
    rules, quality, lake = results.config, settings.data_quality(), lake_store.open()
    outcome = pass_gate(
        master.open(),
        memory.open(),
        quality,
        candle_span(as_of, rules),
        threshold=quality.gate.training_green_share,
        needed_by=f"ensemble as of {as_of}",
        override=config.gate_override,
    )
    market = read_market(lake, master.open(), as_of, rules, quality.curation)
    versions = learned_versions(lake) | market.versions
    results.put(
        MarketInputs(
            adjusted=market.adjusted,
            sectors=market.sectors,
            versions=versions,
            vendors=market.vendors,
            tradeable=market.tradeable,
            gate_override=outcome.override,
            data_quality=digest_of(quality),
        )
    )
    bars = {"bars": market.adjusted.height, "vendor": ", ".join(market.vendors)}
    context.add_output_metadata(shown(outcome.facts) | bars | {"store_versions": versions})
    return run


@dg.op
@explained
def build_datasets(context: dg.OpExecutionContext, run: Run, lake_store: LakeResource) -> Run:
    """Join features and labels into what may be learned; refuse features that leak."""
    results, as_of = open_run(run)
    rules, market = results.config, results.get(MarketInputs)
    training_set = read_training_set(
        lake_store.open(),
        as_of,
        rules,
        market.versions,
        columns=present_feature_set(rules),
        families=feature_families(),
        sectors=market.sectors,
        tradeable=market.tradeable,
    )
    results.put(training_set)
    context.add_output_metadata(
        {
            "rows": len(training_set.labels),
            "symbols": training_set.rows.get_column("symbol").n_unique(),
            "sessions": str(training_span(as_of, rules)),
            "features": len(training_set.matrix.columns),
            "warm_up_rows": training_set.warm_up_rows,
            "unexpired_rows": training_set.unexpired_rows,
            "classes": _shares(training_set.rows, "label"),
            "preview": dg.MetadataValue.md(preview_markdown(training_set.rows)),
        }
    )
    return run


@dg.op
@explained
def apply_regime_labels(context: dg.OpExecutionContext, run: Run) -> Run:
    """Name the market regime of every session, from what was known at its close."""
    results, _ = open_run(run)
    adjusted = results.get(MarketInputs).adjusted
    regimes = market_regimes(adjusted, results.config.regime_labeling)
    training_set = with_regimes(results.get(TrainingSet), regimes)
    results.put_rows(training_set)
    context.add_output_metadata(
        {"sessions": _shares(regimes, "regime"), "rows": _shares(training_set.rows, "regime")}
    )
    return run


@dg.op
@explained
def apply_balanced_sampling(
    context: dg.OpExecutionContext,
    run: Run,
    memory: MemoryResource,
    lake_store: LakeResource,
    artifacts: ArtifactsResource,
) -> Run:
    """Bring rare events and past errors up to date, and draw the ordinary rows of every fit."""
    results, as_of = open_run(run)
    rules, book, market = results.config, memory.open(), results.get(MarketInputs)
    archive = _rare_events(rules, market.adjusted, book, as_of)
    buffer, forecasts = _replayed_errors(
        rules, market.versions, book, lake_store.open(), artifacts.open(), as_of
    )
    training_set = with_history(
        results.get(TrainingSet), archive, buffer, rules.error_replay_buffer
    )
    sampled = sample(training_set, rules)
    results.put_rows(training_set)
    for result in (LearningMemory(archive, buffer), sampled):
        results.put(result)
    context.add_output_metadata(
        {
            "rare_events": archive.height,
            "replayed_errors": buffer.height,
            "forecasts_of_champion": forecasts,
            "rare_rows": int(training_set.rows.get_column("rare").sum()),
            "candidates": {fit: len(rows) for fit, rows in sampled.candidates.items()},
            "ordinary": {fit: len(rows) for fit, rows in sampled.ordinary.items()},
        }
    )
    return run


def _rare_events(
    rules: TrainingConfig, adjusted: pl.DataFrame, book: ModelMemory, as_of: dt.date
) -> pl.DataFrame:
    """The archive of rare events, with what the bars hold of them."""
    return update_archive(
        rare_event_archive(book),
        detect_rare_events(adjusted, rules.rare_event_archive),
        rules.dynamic_archive_updates,
        as_of=as_of,
        since=first_detectable_session(adjusted, rules.rare_event_archive),
    )


def _replayed_errors(
    rules: TrainingConfig,
    versions: Mapping[str, int],
    book: ModelMemory,
    lake: Lake,
    artifacts: Artifacts,
    as_of: dt.date,
) -> tuple[pl.DataFrame, str]:
    """The buffer of confident errors, with what is known of past forecasts; and whose they are."""
    champion, whose = champion_forecasts(book, artifacts, as_of)
    labelled = rules.triple_barrier.model_dump(mode="json")
    forecasts = known_forecasts(
        lake,
        rules,
        versions,
        champion=champion,
        comparable=versions_trained_on(book, "triple_barrier", labelled),
        as_of=as_of,
    )
    errors = confident_errors(forecasts, rules.error_replay_buffer, as_of=as_of)
    buffer = update_replay_buffer(
        replay_buffer(book), errors, rules.error_replay_buffer, as_of=as_of, judged=forecasts
    )
    return buffer, whose


@dg.op
@explained
def apply_regime_weighted_loss(context: dg.OpExecutionContext, run: Run) -> Run:
    """Weigh every row of every fit by class, regime, uniqueness and replayed error."""
    results, _ = open_run(run)
    sampled = results.get(SampledRows)
    learned = weigh_samples(results.get(TrainingSet), sampled, results.config)
    for fit, each in learned.items():
        results.put(each, fit)
    context.add_output_metadata(
        {
            f"fit {fit}": {
                "rows": len(each.rows),
                "largest_weight": float(each.weights.max()),
                "effective_rows": float(each.weights.sum() ** 2 / (each.weights**2).sum()),
            }
            for fit, each in learned.items()
        }
    )
    return run


def open_run(run: Run) -> tuple[StepResults, dt.date]:
    """Open the results of a run's steps, and say what session it trains as of."""
    return StepResults(Path(run["folder"])), dt.date.fromisoformat(run["as_of"])


def _shares(rows: pl.DataFrame, column: str) -> dict[str, Any]:
    """Share of the rows that each value of a column has."""
    counts = rows.get_column(column).value_counts(normalize=True).sort(column, nulls_last=True)
    named = {str(number): name for number, name in enumerate(CLASSES)} if column == "label" else {}
    return {
        named.get(str(value), str(value)): round(share, 4) for value, share in counts.iter_rows()
    }
