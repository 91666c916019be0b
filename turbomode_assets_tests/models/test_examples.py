"""What weights mean, and which rows, weights and held-out rows are refused."""

from pathlib import Path

import numpy as np
import pytest

from turbomode_assets.config.models import ModelsConfig
from turbomode_assets.contracts.errors import ContractError, InputError
from turbomode_assets.models import BaseModel, HeldOut, Matrix, Panel, base_models
from turbomode_assets.models.examples import examples
from turbomode_assets_tests.models.small import SMALL, small_data, small_split

NAMES = list(ModelsConfig.model_fields)
MATRIX, LABELS = small_data(seed=3)
UNSEEN, _ = small_data(seed=4)
WEIGHTS = np.random.default_rng(0).uniform(0.2, 3, len(MATRIX))


def _bytes(model: BaseModel, directory: Path) -> dict[str, bytes]:
    directory.mkdir()
    model.save(directory)
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def _predicted(name: str, matrix: Matrix, labels: np.ndarray, weights=None) -> np.ndarray:
    model = base_models(SMALL)[name].fit(matrix, labels, seed=5, weights=weights)
    return model.predict_proba(UNSEEN)


def test_weights_get_mean_1_and_rows_of_weight_0_are_left_out():
    four = MATRIX.select(np.arange(4))
    rows = examples(four, LABELS[:4], np.array([0.0, 1.0, 3.0, 8.0]), model="any")
    assert rows.weights.tolist() == [0.25, 0.75, 2.0]
    assert rows.matrix.rows.tolist() == [1, 2, 3]
    assert rows.labels.tolist() == LABELS[1:4].tolist()


def test_weights_of_any_size_are_brought_to_mean_1():
    two = MATRIX.select(np.arange(2))
    for size in (1e-300, 1.0, 5e307):
        rows = examples(two, LABELS[:2], np.array([1.0, 3.0]) * size, model="any")
        assert rows.weights == pytest.approx([0.5, 1.5])


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_all_alike_are_no_weights(name, tmp_path):
    alike = base_models(SMALL)[name].fit(MATRIX, LABELS, seed=5, weights=np.full(len(MATRIX), 0.3))
    none = base_models(SMALL)[name].fit(MATRIX, LABELS, seed=5)
    assert _bytes(alike, tmp_path / "alike") == _bytes(none, tmp_path / "none")


@pytest.mark.parametrize("name", NAMES)
def test_doubling_every_weight_changes_nothing_and_uneven_weights_do(name):
    weighted = _predicted(name, MATRIX, LABELS, WEIGHTS)
    assert np.array_equal(weighted, _predicted(name, MATRIX, LABELS, 2 * WEIGHTS))
    assert not np.allclose(weighted, _predicted(name, MATRIX, LABELS), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_weight_0_is_as_good_as_absent(name, tmp_path):
    kept = np.random.default_rng(1).random(len(MATRIX)) < 0.7
    mislabelled = np.where(kept, LABELS, 0).astype(np.int8)
    models = base_models(SMALL)[name], base_models(SMALL)[name]
    models[0].fit(MATRIX, mislabelled, seed=5, weights=WEIGHTS * kept)
    models[1].fit(MATRIX.select(kept), LABELS[kept], seed=5, weights=WEIGHTS[kept])
    assert _bytes(models[0], tmp_path / "zero") == _bytes(models[1], tmp_path / "absent")


@pytest.mark.parametrize("name", NAMES)
def test_a_class_that_weighs_more_is_forecast_more(name):
    plain = _predicted(name, MATRIX, LABELS).mean(axis=0)
    heavy = _predicted(name, MATRIX, LABELS, np.where(LABELS == 2, 4.0, 1.0)).mean(axis=0)
    assert heavy[2] > plain[2] + 0.1
    assert heavy[0] < plain[0]


def test_integer_weights_are_repeated_rows_to_the_logistic_regression():
    times = np.random.default_rng(2).integers(1, 5, len(MATRIX))
    repeated = np.repeat(np.arange(len(MATRIX)), times)
    often = _predicted("logistic", MATRIX.select(repeated), LABELS[repeated])
    heavy = _predicted("logistic", MATRIX, LABELS, times.astype(np.float64))
    # Medians and quartiles are those of the rows, however much these weigh: alike, not equal.
    assert np.abs(heavy - often).max() < 0.01
    assert np.abs(heavy - _predicted("logistic", MATRIX, LABELS)).max() > 0.02


@pytest.mark.parametrize("name", NAMES)
def test_the_same_weights_and_held_out_rows_give_the_same_bytes(name, tmp_path):
    matrix, labels, held_out = small_split(MATRIX, LABELS)
    weights = WEIGHTS[: len(matrix)]
    first, again = (
        base_models(SMALL)[name].fit(matrix, labels, seed=5, weights=weights, held_out=held_out)
        for _ in range(2)
    )
    assert _bytes(first, tmp_path / "first") == _bytes(again, tmp_path / "again")
    assert first.learning_curve == again.learning_curve


@pytest.mark.parametrize("name", ["lightgbm_forest", "logistic", "gru"])
@pytest.mark.parametrize(
    "weights",
    [
        WEIGHTS[:-1],
        WEIGHTS[:, None],
        np.where(np.arange(len(WEIGHTS)) == 7, -1e-9, WEIGHTS),
        np.where(np.arange(len(WEIGHTS)) == 7, np.nan, WEIGHTS),
        np.where(np.arange(len(WEIGHTS)) == 7, np.inf, WEIGHTS),
        np.zeros(len(WEIGHTS)),
    ],
    ids=["short", "a column", "negative", "nan", "infinite", "all 0"],
)
def test_weights_that_do_not_fit_the_rows_are_refused(name, weights):
    with pytest.raises(InputError, match="weights of shape"):
        base_models(SMALL)[name].fit(MATRIX, LABELS, seed=1, weights=weights)
    matrix, labels, held_out = small_split(MATRIX, LABELS)
    wrong = HeldOut(held_out.matrix, held_out.labels, weights[: len(held_out.labels) - 1])
    with pytest.raises(InputError, match="held out"):
        base_models(SMALL)[name].fit(matrix, labels, seed=1, held_out=wrong)


@pytest.mark.parametrize("name", NAMES)
def test_held_out_rows_that_are_learned_from_or_have_other_columns_are_refused(name):
    matrix, labels, held_out = small_split(MATRIX, LABELS)
    with pytest.raises(InputError, match="300 of 300 rows held out are learned from"):
        base_models(SMALL)[name].fit(MATRIX, LABELS, seed=1, held_out=held_out)
    # Rows of weight 0 are not learned from.
    learned = (~np.isin(MATRIX.rows, held_out.matrix.rows)).astype(np.float64)
    base_models(SMALL)[name].fit(MATRIX, LABELS, seed=1, weights=learned, held_out=held_out)
    panel = MATRIX.panel
    renamed = Panel(panel.values, panel.keys, ("new", *panel.columns[1:]), panel.families)
    other = HeldOut(Matrix(renamed, held_out.matrix.rows), held_out.labels, held_out.weights)
    with pytest.raises(ContractError, match="missing: f0; unknown: new"):
        base_models(SMALL)[name].fit(matrix, labels, seed=1, held_out=other)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "logistic"])
def test_fewer_than_one_round_or_epoch_is_refused(name):
    with pytest.raises(InputError, match="iterations is 0"):
        base_models(SMALL)[name].fit(MATRIX, LABELS, seed=1, iterations=0)
