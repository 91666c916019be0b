"""A small training configuration and training sets from the planted panel."""

import datetime as dt
from pathlib import Path

import polars as pl

from turbomode_assets.config.loader import load_training_config
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.ensemble import TrainingSet, assemble_training_set
from turbomode_assets_tests.models.planted import HORIZON, families, planted_tables
from turbomode_assets_tests.models.small import SMALL as SMALL_MODELS

FEATURES = 6

_SHIPPED = load_training_config(Path(__file__).resolve().parents[2] / "configs")
_CONTENT = _SHIPPED.model_dump()
SMALL = TrainingConfig.model_validate(
    _CONTENT
    | {
        "triple_barrier": _CONTENT["triple_barrier"] | {"horizon_sessions": HORIZON},
        "validation_strategy": _CONTENT["validation_strategy"]
        | {
            "walk_forward": {
                "folds": 3,
                "test_sessions": 40,
                "minimum_train_sessions": 40,
                "embargo_sessions": 2,
            },
            "inner_validation_sessions": 12,
        },
        "ensemble_config": _CONTENT["ensemble_config"]
        | {"models": SMALL_MODELS.model_dump(), "meta_learner": {"l2": 0.1}},
        "data_sources": {
            "training_sessions": 260,
            "minimum_labels": 500,
            "minimum_labels_per_class": 50,
        },
    }
)


def small_tables(
    *, strength: float = 0.8, seed: int = 11, symbols: int = 8
) -> tuple[pl.DataFrame, pl.DataFrame, dt.date]:
    """Tables `features` and `labels` of 260 sessions, and the last of them."""
    features, labels = planted_tables(
        symbols=symbols, sessions=260, features=FEATURES, strength=strength, seed=seed
    )
    return features, labels, features.get_column("session").max()


def small_training_set(features: pl.DataFrame, labels: pl.DataFrame, as_of: dt.date) -> TrainingSet:
    return assemble_training_set(
        features, labels, as_of=as_of, config=SMALL, families=families(FEATURES)
    )
