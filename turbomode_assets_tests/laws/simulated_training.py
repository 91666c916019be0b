"""A training run in memory, on a simulated market with a planted edge or without one."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from turbomode_assets.config.loader import load_data_quality_config, load_training_config
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.config.vendors import SimulatedConfig
from turbomode_assets.curation import adjust_forward, curate
from turbomode_assets.ensemble import (
    StackResult,
    TrainingSet,
    assemble_training_set,
)
from turbomode_assets.ensemble.contributions import feature_contributions, importance_table
from turbomode_assets.ensemble.evaluation import Evaluation
from turbomode_assets.ensemble.fitting import FittedModel
from turbomode_assets.ensemble.promotion import GateDecision, judge_promotion
from turbomode_assets.ensemble.run import judge as judge_models
from turbomode_assets.ensemble.run import train
from turbomode_assets.ensemble.training_set import with_regimes
from turbomode_assets.features import compute_features, feature_families
from turbomode_assets.labels import market_regimes, triple_barrier
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.vendors import fetch_corporate_actions, fetch_universe
from turbomode_assets.vendors.simulated import SimulatedVendor
from turbomode_assets_tests.vendors.builders import asking, delivered

SIX_YEARS = SessionSpan(dt.date(2011, 11, 10), dt.date(2017, 11, 10))
NOW = dt.datetime(2017, 11, 11, tzinfo=dt.UTC)
SMALL_STUDY = {
    "validation_strategy.walk_forward.folds": 5,
    "validation_strategy.walk_forward.test_sessions": 210,
    "validation_strategy.walk_forward.minimum_train_sessions": 300,
    "data_sources.training_sessions": 1512,
    "balanced_sampling.maximum_class_ratio": 4.0,
    "balanced_sampling.maximum_regime_ratio": 10.0,
}
"""24 symbols over six years, judged on the last four folds of ten months each.

Sampling is tighter than shipped: a seed takes half as long.
"""


@dataclass(frozen=True)
class Study:
    """One simulated market, trained and judged as a training run does."""

    training_set: TrainingSet
    fitted: Mapping[str, FittedModel]
    stacked: StackResult
    judged: Evaluation
    decision: GateDecision

    def importance(self, rows: int = 2000) -> pl.DataFrame:
        """How much each feature matters, from rows spread over all."""
        picked = np.linspace(0, len(self.training_set.labels) - 1, rows).astype(np.int64)
        models = {name: each.model for name, each in self.fitted.items()}
        return importance_table(
            feature_contributions(models, self.training_set.matrix.select(picked)),
            self.training_set.matrix.columns,
            self.training_set.families,
            regimes=self.training_set.rows.get_column("regime")[picked].to_list(),
        )


def simulated_bars(edge: float, seed: int, configs: Path) -> pl.DataFrame:
    """Forward-adjusted bars of 22 stocks and 2 coins over six years."""
    market = SimulatedConfig(
        seed=seed,
        first_session=SIX_YEARS.first,
        stocks=22,
        crypto=2,
        edge_information_coefficient=edge,
    )
    vendors = [SimulatedVendor(market)]
    universe, _ = fetch_universe(vendors, NOW)
    candles = delivered(vendors, universe, SIX_YEARS, ingested_at=NOW)
    splits, dividends = fetch_corporate_actions(asking(vendors), universe, SIX_YEARS).tables
    curation = load_data_quality_config(configs).curation
    bars, _ = curate(candles, universe, splits, dividends, curation)
    return adjust_forward(bars, splits, dividends)


def simulated_training_set(adjusted: pl.DataFrame, config: TrainingConfig) -> TrainingSet:
    """Features, labels and regimes of the bars."""
    training_set = assemble_training_set(
        compute_features(adjusted),
        triple_barrier(adjusted, config.triple_barrier, known_in=SIX_YEARS),
        as_of=SIX_YEARS.last,
        config=config,
        families=feature_families(),
    )
    return with_regimes(training_set, market_regimes(adjusted, config.regime_labeling))


def train_and_judge(edge: float, seed: int, configs: Path) -> Study:
    """Train on a simulated market and hold the result against the gate."""
    config, adjusted = load_training_config(configs), simulated_bars(edge, seed, configs)
    return judge(simulated_training_set(adjusted, config), adjusted, config)


def judge(training_set: TrainingSet, adjusted: pl.DataFrame, config: TrainingConfig) -> Study:
    """Train on a training set and hold the result against the gate."""
    trained = train(training_set, config, report=lambda line: None)
    judged = judge_models(training_set, trained, adjusted, config, trials={})
    decision = judge_promotion(
        judged.figures, judged.regimes, config.model_promotion_gate, improvement=None
    )
    return Study(training_set, trained.fitted, trained.stacked, judged, decision)
