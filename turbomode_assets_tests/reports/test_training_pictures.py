"""Pictures of a training run, at their usual size and at the extremes."""

import numpy as np
import polars as pl
import pytest

from turbomode_assets.config.judging import ShapAnalysisConfig
from turbomode_assets.config.models import ModelsConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.reports import (
    ablation_picture,
    importance_picture,
    learning_curves_picture,
    regime_confusion_picture,
)
from turbomode_assets_tests.reports.builders import has_red_mark, pixels

LARGEST_BYTES = 60_000
MODELS = list(ModelsConfig.model_fields)
REGIMES = ["bull", "bear", "sideways", "high_volatility"]
NAN, INFINITE = float("nan"), float("inf")


def curves(models=8, folds=3, rounds=300):
    rng = np.random.default_rng(1)
    steps = np.arange(1, rounds + 1)
    fall = 1.05 + 0.05 * np.exp(-steps / 40) + 3e-5 * steps
    return {
        name: [(fold, (fall + rng.normal(0, 4e-4, rounds)).tolist()) for fold in range(folds)]
        for name in MODELS[:models]
    }


def importance(features=179, families=11, scale=1.0):
    names = [f"rather_long_feature_name_{at}" for at in range(features)]
    sizes = scale * np.exp(-np.arange(features) / 10)
    parts = [
        pl.DataFrame(
            {
                "scope": scope,
                "group": group,
                "feature": names,
                "importance": sizes * factor,
                "rank": range(1, features + 1),
            }
        )
        for scope, group, factor in (
            ("all", "all", 1.0),
            ("class", "SELL", 1.2),
            ("class", "HOLD", 0.5),
            ("class", "BUY", 1.3),
            ("regime", "bear", 1.0),
        )
    ]
    groups = pl.DataFrame(
        {
            "scope": "family",
            "group": [f"family_{at}" for at in range(families)],
            "feature": pl.Series([None] * families, dtype=pl.String),
            "importance": scale * np.exp(-np.arange(families) / 5),
            "rank": range(1, families + 1),
        }
    )
    return pl.concat([*parts, groups])


def predictions(regimes=tuple(REGIMES), rows=9000):
    rng = np.random.default_rng(2)
    return pl.DataFrame(
        {
            "regime": pl.Series(regimes, dtype=pl.String).gather(np.arange(rows) % len(regimes)),
            "label": rng.integers(0, 3, rows).astype(np.int8),
            "predicted": rng.integers(0, 3, rows).astype(np.int8),
        }
    )


def ablation(models=8, gain=None):
    rng = np.random.default_rng(3)
    gains = rng.normal(5e-4, 1e-3, models) if gain is None else np.full(models, gain)
    return pl.DataFrame(
        {
            "model": MODELS[:models],
            "log_loss": 1.07 + rng.normal(0, 0.01, models),
            "log_loss_without": 1.05 + gains,
            "gain": gains,
        }
    )


def holed_curves():
    return {
        "mlp": [(1, [1.0, NAN, 0.9, INFINITE])],
        "gru": [(1, [1.1])],
        "tcn": [(2, [NAN, NAN])],
        "logistic": [(1, [])],
    }


PICTURES = {
    "curves": lambda v: learning_curves_picture(curves(), vendors=v),
    "curves of one model and fold": lambda v: learning_curves_picture(curves(1, 1), vendors=v),
    "curves of 20 folds": lambda v: learning_curves_picture(curves(3, folds=20), vendors=v),
    "curves with holes": lambda v: learning_curves_picture(holed_curves(), vendors=v),
    "importance": lambda v: importance_picture(importance(), top=20, vendors=v),
    "importance of one feature": lambda v: importance_picture(importance(1, 1), top=20, vendors=v),
    "importance of nothing": lambda v: importance_picture(importance(scale=0.0), top=20, vendors=v),
    "importance that is missing": lambda v: importance_picture(
        importance(5, scale=NAN), top=20, vendors=v
    ),
    "importance of all": lambda v: importance_picture(importance(60, 30), top=60, vendors=v),
    "regimes": lambda v: regime_confusion_picture(predictions(), vendors=v),
    "one regime": lambda v: regime_confusion_picture(predictions(("bull",), 3), vendors=v),
    "rows without a regime": lambda v: regime_confusion_picture(
        predictions((*REGIMES, None), 2_000_000), vendors=v
    ),
    "ablation": lambda v: ablation_picture(ablation(), vendors=v),
    "ablation of one model": lambda v: ablation_picture(ablation(1), vendors=v),
    "ablation that is unknown": lambda v: ablation_picture(ablation(gain=NAN), vendors=v),
    "ablation of nulls": lambda v: ablation_picture(
        ablation().with_columns(log_loss_without=None, gain=None), vendors=v
    ),
    "ablation without gain": lambda v: ablation_picture(ablation(gain=0.0), vendors=v),
    "no curves": lambda v: learning_curves_picture({}, vendors=v),
    "curves without a loss": lambda v: learning_curves_picture(
        {"logistic": [(1, [])], "tcn": [(1, [NAN])]}, vendors=v
    ),
    "no importance": lambda v: importance_picture(importance().clear(), top=20, vendors=v),
    "no predictions": lambda v: regime_confusion_picture(predictions().clear(), vendors=v),
    "no ablation": lambda v: ablation_picture(ablation().clear(), vendors=v),
}


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES.keys())
def test_every_picture_is_a_small_png_that_marks_a_simulated_market_in_red(draw):
    simulated, real = draw(["simulated"]), draw(["archive"])
    assert simulated.startswith(b"\x89PNG\r\n")
    assert max(len(simulated), len(real)) < LARGEST_BYTES
    assert has_red_mark(simulated)
    assert not has_red_mark(real)


@pytest.mark.parametrize("name", ["curves", "importance", "regimes", "ablation"])
def test_the_same_figures_give_the_same_bytes(name):
    assert PICTURES[name](["archive"]) == PICTURES[name](["archive"])


def test_the_order_of_the_rows_does_not_matter():
    def shuffled(frame):
        return frame.sample(fraction=1, shuffle=True, seed=1)

    archive = ["archive"]
    assert regime_confusion_picture(predictions(), vendors=archive) == regime_confusion_picture(
        shuffled(predictions()), vendors=archive
    )
    assert ablation_picture(ablation(), vendors=archive) == ablation_picture(
        shuffled(ablation()), vendors=archive
    )
    assert importance_picture(importance(), top=20, vendors=archive) == importance_picture(
        shuffled(importance()), top=20, vendors=archive
    )


def red(png):
    """Count the red pixels below the title line."""
    picture = pixels(png)[30:]
    return int(((picture[:, :, 0] > 0.7) & (picture[:, :, 1] < 0.4)).sum())


def test_the_best_round_of_every_line_is_marked():
    few = red(learning_curves_picture(curves(models=2, folds=1), vendors=["archive"]))
    more = red(learning_curves_picture(curves(models=2, folds=3), vendors=["archive"]))
    assert more > few > 10


def test_a_model_that_harms_stands_out():
    def bars(gain):
        # The right half holds the gains; the left one marks the ensemble without each model.
        png = ablation_picture(ablation(gain=gain), vendors=["archive"])
        picture = pixels(png)[30:330, 450:]
        return int(((picture[:, :, 0] > 0.7) & (picture[:, :, 1] < 0.4)).sum())

    assert bars(0.001) == 0
    assert bars(-0.001) > 1000


EFFECTS: dict[str, object] = {"shap_analysis.top_features": 8}


@pytest.mark.parametrize("path", EFFECTS)
def test_the_configured_number_of_features_is_shown(path):
    config = ShapAnalysisConfig(sample_rows=100, top_features=5, minimum_rank_correlation=0.5)
    changed = config.model_copy(update={path.removeprefix("shap_analysis."): EFFECTS[path]})
    before, after = (
        importance_picture(importance(), top=section.top_features, vendors=["archive"])
        for section in (config, changed)
    )
    assert before != after


def test_no_vendor_at_all_is_refused():
    with pytest.raises(InputError, match="does not say which vendors"):
        ablation_picture(ablation(), vendors=None)
