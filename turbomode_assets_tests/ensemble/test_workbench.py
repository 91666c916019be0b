import numpy as np
import pytest
from polars.testing import assert_frame_equal

from turbomode_assets.ensemble import (
    Workbench,
    candidate_rows,
    fit_base_model,
    learned_rows,
    plan_folds,
)
from turbomode_assets_tests.ensemble.small import SMALL


@pytest.fixture
def bench(tmp_path):
    workbench = Workbench(tmp_path / "run")
    workbench.clear()
    workbench.save_json("configuration", SMALL.model_dump(mode="json"))
    return workbench


def test_a_training_set_comes_back_as_it_was_without_being_read_into_memory(bench, training):
    bench.save_training_set(training)
    again = bench.training_set()
    assert again.digest == training.digest
    assert_frame_equal(again.rows, training.rows)
    assert again.matrix.panel.values.base is not None
    assert not again.matrix.panel.values.flags.writeable


def test_a_model_fitted_on_mapped_rows_equals_one_fitted_in_memory(bench, training):
    bench.save_training_set(training)
    folds = plan_folds(training, SMALL)
    bench.save_learned(learned_rows(training, candidate_rows(training, folds), SMALL))
    for name in ("lightgbm_gbdt", "tcn"):
        fitted = [
            fit_base_model(rows, folds, bench.learned(), name, SMALL, report=print)
            for rows in (training, bench.training_set())
        ]
        assert np.array_equal(fitted[0].out_of_fold, fitted[1].out_of_fold, equal_nan=True)


def test_clearing_leaves_nothing_of_an_earlier_attempt(bench, training):
    bench.save_training_set(training)
    bench.clear()
    assert [path.name for path in bench.folder.iterdir()] == ["models"]
