"""What sequence models see: the past of the same symbol, and only that."""

import numpy as np
import pytest

from turbomode_assets.models import Matrix, Panel, base_models
from turbomode_assets_tests.models.small import SMALL, small_data

SEQUENCE_MODELS = ("gru", "tcn")
MATRIX, LABELS = small_data(seed=3)


def _with_row(matrix: Matrix, row: int, value: float) -> Matrix:
    values = matrix.panel.values.copy()
    values[row] = value
    panel = Panel(values, matrix.panel.keys, matrix.panel.columns, matrix.panel.families)
    return Matrix(panel, matrix.rows)


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_a_session_changes_its_own_and_the_next_predictions_and_no_others(name):
    model = base_models(SMALL)[name].fit(MATRIX, LABELS, seed=1)
    before = model.predict_proba(MATRIX)
    # Row 198 is the last but one session of the first symbol; row 200 begins the second.
    changed = np.flatnonzero((model.predict_proba(_with_row(MATRIX, 198, 3.0)) != before).any(1))
    assert changed.tolist() == [198, 199]
    changed = np.flatnonzero((model.predict_proba(_with_row(MATRIX, 50, 3.0)) != before).any(1))
    assert changed.tolist() == [50, 51, 52]


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_an_absent_session_reads_as_one_whose_every_feature_is_missing(name):
    model = base_models(SMALL)[name].fit(MATRIX, LABELS, seed=1)
    holed = _with_row(MATRIX, 50, np.nan)
    kept = np.delete(np.arange(len(MATRIX)), 50)
    panel = MATRIX.panel
    shorter = Panel(panel.values[kept], panel.keys[kept], panel.columns, panel.families)
    without = Matrix(shorter, np.arange(len(kept)))
    assert np.array_equal(model.predict_proba(without), model.predict_proba(holed)[kept])
