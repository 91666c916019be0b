"""Skill on the simulated market: found where an edge was planted, absent where none was.

Measured as the AUC of BUY against SELL among labels that touched a barrier. Volatility alone makes
log loss and BUY against the rest look skilful, so those would prove nothing.
"""

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from turbomode_assets.config.loader import load_data_quality_config, load_training_config
from turbomode_assets.config.vendors import SimulatedConfig
from turbomode_assets.curation import adjust_forward, curate
from turbomode_assets.ensemble import assemble_training_set, train_ensemble
from turbomode_assets.features import compute_features, feature_families
from turbomode_assets.labels import triple_barrier
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.vendors import fetch_corporate_actions, fetch_universe
from turbomode_assets.vendors.simulated import SimulatedVendor
from turbomode_assets_tests.builders import write_configs
from turbomode_assets_tests.vendors.builders import asking, delivered

SIX_YEARS = SessionSpan(dt.date(2011, 11, 10), dt.date(2017, 11, 10))
SEEDS = (1, 2, 3, 4, 5)
NOW = dt.datetime(2017, 11, 11, tzinfo=dt.UTC)
FOLDS = {
    "validation_strategy.walk_forward.folds": 4,
    "validation_strategy.walk_forward.test_sessions": 210,
    "validation_strategy.walk_forward.minimum_train_sessions": 420,
    "data_sources.training_sessions": 1512,
}


def out_of_sample_auc(edge: float, seed: int, configs: Path) -> float:
    """AUC of BUY against SELL of the ensemble, pooled over its evaluated folds."""
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
    bars, _ = curate(
        candles, universe, splits, dividends, load_data_quality_config(configs).curation
    )
    adjusted = adjust_forward(bars, splits, dividends)
    config = load_training_config(configs)
    training_set = assemble_training_set(
        compute_features(adjusted),
        triple_barrier(adjusted, config.triple_barrier, known_in=SIX_YEARS),
        as_of=SIX_YEARS.last,
        config=config,
        families=feature_families(),
    )
    ensemble = train_ensemble(training_set, config, report=lambda line: None)
    return float(ensemble.metrics["ensemble"]["pooled"]["auc_buy_vs_sell"])


@pytest.mark.slow
def test_an_edge_is_found_where_it_was_planted_and_nowhere_else(tmp_path):
    configs = write_configs(tmp_path, training=FOLDS)
    measured = pl.DataFrame(
        [
            {"edge": edge, "seed": seed, "auc_buy_vs_sell": out_of_sample_auc(edge, seed, configs)}
            for edge in (0.15, 0.0)
            for seed in SEEDS
        ]
    )
    print(measured.pivot("edge", index="seed", values="auc_buy_vs_sell"))
    with_edge, without = (
        measured.filter(pl.col("edge") == edge).get_column("auc_buy_vs_sell").to_numpy()
        for edge in (0.15, 0.0)
    )
    assert with_edge.min() > 0.54
    assert np.abs(without.mean() - 0.5) < 0.025
    assert with_edge.min() > without.max()
