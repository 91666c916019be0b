import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.models import Matrix, Panel
from turbomode_assets.models.standardiser import Standardiser


def _matrix(values: list[list[float]], families: tuple[str, ...]) -> Matrix:
    array = np.array(values, dtype=np.float32)
    columns = tuple(f"c{number}" for number in range(array.shape[1]))
    rows = np.arange(len(array))
    return Matrix(Panel(array, rows, columns, families), rows)


def test_the_median_becomes_0_and_the_quartile_range_a_normal_deviation():
    matrix = _matrix([[1.0], [2.0], [3.0], [4.0], [np.nan], [5.0]], ("price",))
    fitted = Standardiser.fit(matrix, clip_deviations=10)
    assert fitted.centre == (3.0,)
    assert fitted.scale == (pytest.approx(2 / 1.34898, rel=1e-5),)
    inputs = fitted.apply(np.array([[3.0], [5.0], [np.nan]], dtype=np.float32))
    assert inputs[:, 0] == pytest.approx([0, 1.34898, 0], rel=1e-5)
    assert inputs[:, 1].tolist() == [0, 0, 1]


def test_outliers_and_infinities_are_clipped():
    fitted = Standardiser.fit(_matrix([[1.0], [2.0], [3.0]], ("price",)), clip_deviations=2.5)
    inputs = fitted.apply(np.array([[1e9], [-np.inf], [np.inf]], dtype=np.float32))
    assert inputs[:, 0].tolist() == [2.5, -2.5, 2.5]


def test_each_family_has_the_share_of_its_columns_that_is_missing():
    matrix = _matrix([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]], ("price", "volume", "price"))
    fitted = Standardiser.fit(matrix, clip_deviations=5)
    assert fitted.width == 5
    row = np.array([[np.nan, 1.0, 1.0]], dtype=np.float32)
    assert fitted.apply(row)[0, 3:].tolist() == [0.5, 0.0]


def test_constant_empty_and_mostly_constant_columns_stay_finite():
    values = [[7.0, np.nan, 0.0]] * 9 + [[7.0, np.nan, 10.0]]
    fitted = Standardiser.fit(_matrix(values, ("price",) * 3), clip_deviations=5)
    assert fitted.scale == (1.0, 1.0, pytest.approx(3.0))
    inputs = fitted.apply(np.array(values, dtype=np.float32))
    assert np.isfinite(inputs).all()
    assert inputs[0, :3].tolist() == [0, 0, 0]


def test_a_spread_that_float32_cannot_hold_counts_as_none():
    smallest = np.float32(1e-45)
    fitted = Standardiser.fit(_matrix([[smallest], [0.0]], ("price",)), clip_deviations=5)
    assert fitted.scale == (1.0,)
    inputs = fitted.apply(np.array([[smallest], [0.0]], dtype=np.float32))
    assert np.isfinite(inputs).all()


@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6, width=32) | st.just(float("nan")), min_size=2, max_size=2),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=80)
def test_statistics_are_numpys_and_survive_json(values):
    matrix = _matrix(values, ("price", "volume"))
    fitted = Standardiser.fit(matrix, clip_deviations=5)
    for column in range(2):
        known = matrix.values[:, column].astype(np.float64)
        known = known[~np.isnan(known)]
        expected = np.median(known) if len(known) else 0.0
        assert fitted.centre[column] == pytest.approx(expected, rel=1e-6, abs=1e-6)
        assert fitted.scale[column] > 0
    inputs = fitted.apply(matrix.values)
    assert np.isfinite(inputs).all()
    assert (np.abs(inputs) <= 5).all()
    again = Standardiser.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted
