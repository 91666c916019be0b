"""Small sections and a small planted panel, so that all eight models fit in a second."""

import numpy as np

from turbomode_assets.config.models import ModelsConfig
from turbomode_assets.models import HeldOut, Labels, Matrix, matrix_from_frame
from turbomode_assets_tests.models.planted import families, feature_names, planted_tables

FEATURES = 6
SESSIONS = 200

_TREES = {
    "rounds": 20,
    "bins": 63,
    "leaves": 7,
    "minimum_leaf_rows": 20,
    "feature_fraction": 0.8,
    "l2": 1.0,
}
_NETWORK = {
    "epochs": 3,
    "patience_epochs": 2,
    "batch_rows": 128,
    "learning_rate": 0.02,
    "weight_decay": 0.01,
    "hidden": 12,
    "dropout": 0.1,
    "clip_deviations": 4.0,
}

SMALL = ModelsConfig.model_validate(
    {
        "lightgbm_gbdt": {
            **_TREES,
            "learning_rate": 0.1,
            "bagging_fraction": 0.8,
            "patience_rounds": 5,
        },
        "lightgbm_dart": {
            **_TREES,
            "learning_rate": 0.2,
            "bagging_fraction": 0.8,
            "drop_rate": 0.2,
            "skip_drop": 0.3,
        },
        "lightgbm_goss": {
            **_TREES,
            "learning_rate": 0.1,
            "top_rate": 0.3,
            "other_rate": 0.3,
            "patience_rounds": 5,
        },
        "lightgbm_forest": {**_TREES, "bagging_fraction": 0.6},
        "logistic": {"l2": 0.02, "iterations": 50, "clip_deviations": 4.0},
        "mlp": {**_NETWORK, "blocks": 1},
        "gru": {**_NETWORK, "layers": 1, "sequence_sessions": 3},
        "tcn": {**_NETWORK, "blocks": 2, "kernel_sessions": 2, "sequence_sessions": 3},
    }
)


HASTY = ModelsConfig.model_validate(
    {
        **SMALL.model_dump(),
        "lightgbm_gbdt": SMALL.lightgbm_gbdt.model_dump() | {"patience_rounds": 1},
        "lightgbm_goss": SMALL.lightgbm_goss.model_dump() | {"patience_rounds": 1},
        **{
            name: getattr(SMALL, name).model_dump()
            | {"epochs": 6, "learning_rate": rate, "patience_epochs": 1}
            for name, rate in {"mlp": 0.3, "gru": 0.5, "tcn": 0.3}.items()
        },
    }
)
"""Sections whose losses rise again within the rounds and epochs, and that have no patience."""


def small_split(matrix: Matrix, labels: Labels) -> tuple[Matrix, Labels, HeldOut]:
    """Rows of the first 140 sessions, and those of the last 50 held out, unevenly weighted."""
    first, last = matrix.rows % SESSIONS < 140, matrix.rows % SESSIONS >= 150
    weights = np.random.default_rng(0).uniform(0.5, 2, last.sum())
    return matrix.select(first), labels[first], HeldOut(matrix.select(last), labels[last], weights)


def small_data(*, seed: int, strength: float = 1.0, symbols: int = 6) -> tuple[Matrix, Labels]:
    """Matrix of a planted panel of SESSIONS sessions, and its labels."""
    features, labels = planted_tables(
        symbols=symbols, sessions=SESSIONS, features=FEATURES, strength=strength, seed=seed
    )
    matrix, _ = matrix_from_frame(features, feature_names(FEATURES), families(FEATURES))
    return matrix, labels.get_column("label").to_numpy().astype(np.int8)
