"""When a fit stops, what it keeps, and that the rows which decide it teach it nothing."""

import numpy as np
import pytest

from turbomode_assets.config.models import ModelsConfig
from turbomode_assets.models import (
    BaseModel,
    HeldOut,
    NotFittedError,
    base_models,
    load_base_models,
)
from turbomode_assets_tests.models.small import HASTY, SMALL, small_data, small_split

NAMES = list(ModelsConfig.model_fields)
NETWORKS = ("mlp", "gru", "tcn")
STOPPING = ("lightgbm_gbdt", "lightgbm_goss", *NETWORKS)
RUNNING_ON = ("lightgbm_dart", "lightgbm_forest")
MATRIX, LABELS, HELD_OUT = small_split(*small_data(seed=3))
UNSEEN, _ = small_data(seed=4)


def _loss(model: BaseModel, held_out: HeldOut) -> float:
    forecast = model.predict_proba(held_out.matrix)[
        np.arange(len(held_out.labels)), held_out.labels
    ]
    return -np.average(np.log(forecast), weights=held_out.weights)


@pytest.fixture(scope="module")
def hasty() -> dict[str, BaseModel]:
    models = base_models(HASTY)
    return {name: models[name].fit(MATRIX, LABELS, seed=5, held_out=HELD_OUT) for name in NAMES}


@pytest.mark.parametrize("name", STOPPING)
def test_a_fit_ends_when_its_patience_does_and_keeps_the_best_of_its_curve(hasty, name):
    curve = hasty[name].learning_curve
    best = int(np.argmin(curve))
    configured = 6 if name in NETWORKS else 20
    assert len(curve) == best + 2 < configured
    assert hasty[name].iterations == best + 1
    assert _loss(hasty[name], HELD_OUT) == pytest.approx(curve[best], abs=1e-6)


@pytest.mark.parametrize("name", STOPPING)
def test_a_patient_fit_that_reaches_its_end_keeps_the_best_too(name):
    key, most = ("patience_epochs", 6) if name in NETWORKS else ("patience_rounds", 20)
    section = getattr(HASTY, name).model_copy(update={key: most})
    model = base_models(HASTY.model_copy(update={name: section}))[name]
    model.fit(MATRIX, LABELS, seed=5, held_out=HELD_OUT)
    assert len(model.learning_curve) == most
    assert model.iterations == np.argmin(model.learning_curve) + 1
    assert _loss(model, HELD_OUT) == pytest.approx(min(model.learning_curve), abs=1e-6)


@pytest.mark.parametrize("name", RUNNING_ON)
def test_dart_and_the_forest_record_their_curve_and_run_on(hasty, name):
    curve = hasty[name].learning_curve
    assert len(curve) == hasty[name].iterations == 20
    assert np.argmin(curve) < 19
    assert _loss(hasty[name], HELD_OUT) == pytest.approx(curve[-1], abs=1e-6)


def test_the_logistic_regression_has_neither_iterations_nor_a_curve(hasty):
    assert hasty["logistic"].iterations is None
    assert hasty["logistic"].learning_curve == ()


@pytest.mark.parametrize("name", NAMES)
def test_held_out_rows_decide_how_long_and_nothing_else(hasty, name):
    """A fit without them, of as many rounds or epochs, is the same model."""
    shuffled = np.random.default_rng(3).permutation(HELD_OUT.labels)
    other = HeldOut(HELD_OUT.matrix, shuffled, HELD_OUT.weights)
    misled = base_models(HASTY)[name].fit(MATRIX, LABELS, seed=5, held_out=other)
    for model in (hasty[name], misled):
        alone = base_models(HASTY)[name]
        alone.fit(MATRIX, LABELS, seed=5, iterations=model.iterations)
        assert alone.learning_curve == ()
        assert np.array_equal(alone.predict_proba(UNSEEN), model.predict_proba(UNSEEN))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "logistic"])
def test_iterations_asked_for_replace_the_configured_ones(name):
    model = base_models(SMALL)[name].fit(MATRIX, LABELS, seed=5)
    assert model.iterations == (3 if name in NETWORKS else 20)
    # With 2 rounds goss never samples: a configuration may not say so, a refit may.
    for asked in (2, 25):
        assert model.fit(MATRIX, LABELS, seed=5, iterations=asked).iterations == asked


@pytest.mark.parametrize("name", NETWORKS)
def test_the_learning_rate_falls_over_the_configured_epochs_or_over_more_if_asked_for(name):
    def predicted(epochs: int, asked: int | None) -> np.ndarray:
        section = getattr(SMALL, name).model_copy(update={"epochs": epochs})
        model = base_models(SMALL.model_copy(update={name: section}))[name]
        return model.fit(MATRIX, LABELS, seed=5, iterations=asked).predict_proba(UNSEEN)

    assert not np.allclose(predicted(2, None), predicted(4, 2), atol=1e-6)
    assert np.array_equal(predicted(4, None), predicted(2, 4))


def test_held_out_weights_change_the_curve_and_their_size_does_not(hasty):
    def curve(weights: np.ndarray) -> tuple[float, ...]:
        held_out = HeldOut(HELD_OUT.matrix, HELD_OUT.labels, weights)
        model = base_models(HASTY)["mlp"].fit(MATRIX, LABELS, seed=5, held_out=held_out)
        return model.learning_curve

    assert curve(HELD_OUT.weights * 4) == hasty["mlp"].learning_curve
    assert curve(np.ones(len(HELD_OUT.labels))) != hasty["mlp"].learning_curve


def test_iterations_survive_saving_and_the_curve_does_not(hasty, tmp_path):
    for name in NAMES:
        (tmp_path / name).mkdir()
        hasty[name].save(tmp_path / name)
    loaded = load_base_models(tmp_path, HASTY)
    for name in NAMES:
        assert loaded[name].iterations == hasty[name].iterations
        assert loaded[name].learning_curve == ()
        assert np.array_equal(loaded[name].predict_proba(UNSEEN), hasty[name].predict_proba(UNSEEN))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_not_fitted_has_no_iterations(name):
    model = base_models(SMALL)[name]
    assert model.learning_curve == ()
    with pytest.raises(NotFittedError, match=name):
        _ = model.iterations
