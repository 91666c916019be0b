"""Laws that every base model obeys."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from turbomode_assets.config.models import ModelsConfig
from turbomode_assets.contracts.errors import ContractError, InputError
from turbomode_assets.models import (
    BaseModel,
    Matrix,
    NotFittedError,
    Panel,
    base_models,
    load_base_models,
    look_back_sessions,
)
from turbomode_assets_tests.models.small import HASTY, SMALL, small_data, small_split

NAMES = list(ModelsConfig.model_fields)
MATRIX, LABELS = small_data(seed=3)
UNSEEN, UNSEEN_LABELS = small_data(seed=4)


def _fitted(name: str, config: ModelsConfig = SMALL, seed: int = 5) -> BaseModel:
    return base_models(config)[name].fit(MATRIX, LABELS, seed=seed)


@pytest.fixture(scope="module")
def fitted() -> dict[str, BaseModel]:
    return {name: _fitted(name) for name in NAMES}


def _bytes(model: BaseModel, directory: Path) -> dict[str, bytes]:
    directory.mkdir()
    model.save(directory)
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_the_eight_models_are_those_of_the_configuration_in_its_order():
    assert list(base_models(SMALL)) == NAMES
    assert look_back_sessions(SMALL) == 2


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_are_distributions_and_better_than_chance(fitted, name):
    probabilities = fitted[name].predict_proba(UNSEEN)
    assert probabilities.shape == (len(UNSEEN), 3)
    assert probabilities.dtype == np.float64
    assert probabilities.min() > 0
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert roc_auc_score(UNSEEN_LABELS == 2, probabilities[:, 2]) > 0.65


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bytes_whatever_happened_before(fitted, name, tmp_path):
    threads = torch.get_num_threads()
    torch.manual_seed(99)
    torch.set_num_threads(threads + 1)
    try:
        again = _bytes(_fitted(name), tmp_path / "again")
    finally:
        torch.set_num_threads(threads)
    assert again == _bytes(fitted[name], tmp_path / "first")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "logistic"])
def test_another_seed_gives_another_model(fitted, name):
    other = _fitted(name, seed=6).predict_proba(UNSEEN)
    assert not np.array_equal(other, fitted[name].predict_proba(UNSEEN))


@pytest.mark.parametrize("name", NAMES)
def test_saved_then_loaded_predicts_alike(fitted, name, tmp_path):
    for each in NAMES:
        (tmp_path / each).mkdir()
        fitted[each].save(tmp_path / each)
    loaded = load_base_models(tmp_path, SMALL)[name]
    assert np.array_equal(loaded.predict_proba(UNSEEN), fitted[name].predict_proba(UNSEEN))


@pytest.mark.parametrize("name", NAMES)
def test_a_row_predicted_alone_equals_the_row_predicted_among_others(fitted, name):
    together = fitted[name].predict_proba(UNSEEN)
    random = np.random.default_rng(0)
    for size in (1, 2, 3, 24, 100):
        picked = random.permutation(len(UNSEEN))[:size]
        alone = fitted[name].predict_proba(UNSEEN.select(picked))
        assert np.array_equal(alone, together[picked])
    assert fitted[name].predict_proba(UNSEEN.select(np.arange(0))).shape == (0, 3)


@pytest.mark.parametrize("name", NAMES)
def test_shuffled_labels_teach_nothing(name):
    shuffled = np.random.default_rng(1).permutation(LABELS)
    model = base_models(SMALL)[name].fit(MATRIX, shuffled, seed=5)
    score = roc_auc_score(UNSEEN_LABELS == 2, model.predict_proba(UNSEEN)[:, 2])
    # Independent of the rows learned from, but one planted direction that a model finds by
    # chance moves the score: these bounds are wide.
    assert 0.35 < score < 0.65


@pytest.mark.parametrize("name", NAMES)
def test_other_columns_or_another_order_are_refused(fitted, name):
    panel = UNSEEN.panel
    turned = Panel(panel.values, panel.keys, panel.columns[::-1], panel.families)
    with pytest.raises(ContractError, match="another order"):
        fitted[name].predict_proba(Matrix(turned, UNSEEN.rows))
    renamed = Panel(panel.values, panel.keys, ("new", *panel.columns[1:]), panel.families)
    with pytest.raises(ContractError, match="missing: f0; unknown: new"):
        fitted[name].predict_proba(Matrix(renamed, UNSEEN.rows))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_predicted_or_saved_before_fitting(name, tmp_path):
    model = base_models(SMALL)[name]
    with pytest.raises(NotFittedError, match=name):
        model.predict_proba(UNSEEN)
    with pytest.raises(NotFittedError, match=name):
        model.save(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_labels_that_do_not_fit_the_rows_are_refused(name):
    model = base_models(SMALL)[name]
    with pytest.raises(InputError, match="labels"):
        model.fit(MATRIX, LABELS[:-1], seed=1)
    with pytest.raises(InputError, match="labels"):
        model.fit(MATRIX, LABELS + np.int8(1), seed=1)
    with pytest.raises(InputError, match="labels"):
        model.fit(MATRIX.select(np.arange(0)), LABELS[:0], seed=1)


@pytest.mark.parametrize("name", NAMES)
def test_a_wholly_missing_row_and_an_absent_class_still_give_probabilities(name):
    panel = MATRIX.panel
    holed = panel.values.copy()
    holed[::7] = np.nan
    matrix = Matrix(Panel(holed, panel.keys, panel.columns, panel.families), MATRIX.rows)
    two = np.where(LABELS == 1, 2, LABELS).astype(np.int8)
    probabilities = base_models(SMALL)[name].fit(matrix, two, seed=1).predict_proba(matrix)
    assert np.isfinite(probabilities).all()
    assert probabilities[:, 1].max() < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_training_looks_at_no_row_outside_its_own(name, tmp_path):
    half = MATRIX.select(np.flatnonzero(MATRIX.rows % 200 < 100))
    labels = LABELS[half.rows]
    first = base_models(SMALL)[name].fit(half, labels, seed=1)
    panel = MATRIX.panel
    changed = panel.values.copy()
    changed[np.flatnonzero(np.arange(len(changed)) % 200 >= 100)] = 1e6
    other = Matrix(Panel(changed, panel.keys, panel.columns, panel.families), half.rows)
    second = base_models(SMALL)[name].fit(other, labels, seed=1)
    assert _bytes(first, tmp_path / "first") == _bytes(second, tmp_path / "second")


CHANGED = {
    "rounds": 40,
    "bins": 4,
    "leaves": 3,
    "minimum_leaf_rows": 120,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.3,
    "learning_rate": 0.07,
    "patience_rounds": 1,
    "drop_rate": 0.6,
    "skip_drop": 0.9,
    "top_rate": 0.1,
    "other_rate": 0.1,
    "l2": 30.0,
    "iterations": 2,
    "clip_deviations": 1.0,
    "epochs": 2,
    "patience_epochs": 1,
    "batch_rows": 64,
    "weight_decay": 0.5,
    "hidden": 8,
    "dropout": 0.4,
    "blocks": 4,
    "layers": 2,
    "sequence_sessions": 2,
    "kernel_sessions": 4,
}
EFFECTS: dict[str, object] = {
    f"ensemble_config.models.{name}.{key}": CHANGED[key]
    for name in NAMES
    for key in type(getattr(SMALL, name)).model_fields
}


def _predicted_after_stopping(name: str, patience: int) -> np.ndarray:
    key = "patience_rounds" if name.startswith("lightgbm") else "patience_epochs"
    section = getattr(HASTY, name).model_copy(update={key: patience})
    matrix, labels, held_out = small_split(MATRIX, LABELS)
    model = base_models(HASTY.model_copy(update={name: section}))[name]
    return model.fit(matrix, labels, seed=5, held_out=held_out).predict_proba(UNSEEN)


@pytest.mark.parametrize("path", EFFECTS)
def test_no_configuration_key_is_without_effect(fitted, path):
    name, key = path.removeprefix("ensemble_config.models.").split(".")
    section = getattr(SMALL, name)
    if key.startswith("patience"):
        before = _predicted_after_stopping(name, getattr(section, key))
        changed = _predicted_after_stopping(name, EFFECTS[path])
    else:
        config = SMALL.model_copy(update={name: section.model_copy(update={key: EFFECTS[path]})})
        before, changed = fitted[name].predict_proba(UNSEEN), _fitted(name, config)
        changed = changed.predict_proba(UNSEEN)
    assert not np.allclose(changed, before, atol=1e-6)
