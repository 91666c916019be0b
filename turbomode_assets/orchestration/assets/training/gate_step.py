"""The step of a training run that decides whether a model's signals go out."""

import json
import math

import dagster as dg
import numpy as np
import polars as pl

from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.contracts.errors import StoreError
from turbomode_assets.contracts.tables import LABELS
from turbomode_assets.ensemble import Ensemble, StackResult, StepResults, TrainingSet, load_ensemble
from turbomode_assets.ensemble.evaluation import Evaluation, compare_on_same_rows
from turbomode_assets.ensemble.promotion import improvement_lag, judge_promotion
from turbomode_assets.ensemble.step_results import PromotionOutcome
from turbomode_assets.ensemble.training import FORECAST
from turbomode_assets.modelling.model_identity import identify
from turbomode_assets.modelling.training_inputs import champion_before
from turbomode_assets.models import Probabilities
from turbomode_assets.orchestration.assets.training.data_steps import Run, open_run
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.resources.stores import ArtifactsResource, MemoryResource
from turbomode_assets.reports import preview_markdown
from turbomode_assets.sessions import offset_session
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.artifacts import ENSEMBLE
from turbomode_assets.stores.model_registry import Champion, champion_or_none
from turbomode_assets.validation import PairedImprovement

_NOT_MEASURED = PairedImprovement(math.nan, math.nan, math.nan, math.nan, 0, 0, 0)


@dg.op
@explained
def compare_models_promotion_gate(
    context: dg.OpExecutionContext,
    run: Run,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
) -> Run:
    """Hold the figures against the gate, and the forecasts against the champion's."""
    results, _ = open_run(run)
    judged, gate = results.get(Evaluation), results.config.model_promotion_gate
    champion = _opponent(results, memory.open())
    improvement, compared = None, "there is no champion yet"
    if champion is not None:
        try:
            folder = artifacts.open().model_folder(champion.model_version)
            improvement, compared = _improvement(results, load_ensemble(folder / ENSEMBLE))
        except StoreError as error:
            # A damaged champion must not stop its successor; it is not beaten unseen either.
            improvement, compared = _NOT_MEASURED, str(error)
    decision = judge_promotion(judged.figures, judged.regimes, gate, improvement=improvement)
    against = champion.model_version if champion else None
    rules = json.loads(decision.to_json())
    results.put(PromotionOutcome(decision.passed, decision.reason, against, rules))
    shown = pl.DataFrame(rules)
    context.add_output_metadata(
        {
            "passed": decision.passed,
            "reason": decision.reason,
            "champion": against or "none",
            "comparison": compared,
            "rules": dg.MetadataValue.md(preview_markdown(shown, rows=shown.height)),
        }
    )
    return run


def _opponent(results: StepResults, memory: ModelMemory) -> Champion | None:
    """Who would send signals if this model did not: the champion when it would take effect."""
    as_of = results.get(TrainingSet).as_of
    shadow = results.config.model_promotion_gate.shadow_sessions
    champion = champion_or_none(memory, offset_session(as_of, shadow))
    if champion and champion.model_version == identify(results).model_version:
        return champion_before(memory, as_of)
    return champion


def _improvement(results: StepResults, champion: Ensemble) -> tuple[PairedImprovement, str]:
    """Compare with the champion on rows that neither had learned from; say what was compared.

    Of decisions that the champion learned from, what it said out of sample counts; of later ones,
    what it says now. Labels made by another rule cannot be compared.
    """
    training_set, rules = results.get(TrainingSet), results.config
    if champion.rules.read(TripleBarrierConfig) != rules.triple_barrier:
        return _NOT_MEASURED, "the champion forecasts labels of another triple_barrier"
    forecast = results.get(StackResult).forecast
    shared = _champion_forecasts(training_set, forecast, champion)
    at = shared.get_column("at").to_numpy()
    if not len(at):
        return _NOT_MEASURED, "no row was forecast by both"
    compared = compare_on_same_rows(
        shared.select(FORECAST).to_numpy(),
        forecast[at],
        training_set.labels[at],
        training_set.decision[at],
        lag=improvement_lag(rules.model_promotion_gate, rules.triple_barrier.horizon_sessions),
    )
    if compared is None:
        return _NOT_MEASURED, f"{len(np.unique(training_set.decision[at]))} sessions are too few"
    return compared, (
        f"{compared.improvement:.5f} nats per row saved over {compared.sessions} sessions, "
        f"{compared.rows} rows"
    )


def _champion_forecasts(
    training_set: TrainingSet, forecast: Probabilities, champion: Ensemble
) -> pl.DataFrame:
    """What the champion says of the rows that this model was judged on, by their place `at`."""
    judged = pl.Series(~np.isnan(forecast[:, 0]))
    rows = training_set.rows.with_row_index("at").filter(judged)
    shared = rows.join(
        champion.out_of_sample.select(*LABELS.key, *FORECAST),
        on=LABELS.key,
        how="inner",
        validate="1:1",
    ).select("at", *FORECAST)
    later = rows.filter(pl.col("decision_session") > champion.as_of)
    later = later.join(shared, on="at", how="anti")
    if later.height and training_set.matrix.columns == champion.columns:
        said = champion.predict_proba(training_set.matrix.select(later["at"].to_numpy()))
        now = later.select("at").hstack(pl.DataFrame(said, schema=list(FORECAST)))
        shared = pl.concat([shared, now])
    return shared.sort("at")
