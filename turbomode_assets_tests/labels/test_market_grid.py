import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.labels.market_grid import (
    index_returns,
    lay_out,
    previous,
    trailing_deviation,
    trailing_mean,
    trailing_sum,
)
from turbomode_assets_tests.labels.builders import bars, flat, session

NAN = float("nan")


def test_bars_lie_on_every_session_from_the_first_to_the_last():
    frame = bars([None, flat(3.0), None, flat(4.0)], "BBB").vstack(bars([flat(1.0)] * 2, "AAA"))
    grid = lay_out(frame, ("close",), where="a test")
    assert grid.symbols == ["AAA", "BBB"]
    assert grid.sessions == [session(number) for number in range(4)]
    expected = [[1.0, 1.0, NAN, NAN], [NAN, 3.0, NAN, 4.0]]
    assert np.array_equal(grid.columns["close"], expected, equal_nan=True)
    assert grid.is_traded.tolist() == [True, True, False, True]


def test_the_index_moves_by_the_mean_of_the_log_returns_there_are():
    close = np.array([[1.0, 2.0, 4.0, NAN], [8.0, 4.0, NAN, 4.0]])
    expected = [NAN, 0.0, np.log(2), NAN]
    assert np.array_equal(index_returns(close), expected, equal_nan=True)


def test_a_window_longer_than_the_sessions_is_full_nowhere():
    assert np.isnan(trailing_deviation(np.ones((2, 3)), 5)).all()
    assert np.isnan(previous(np.ones((2, 1)))).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
@settings(max_examples=25)
def test_trailing_statistics_equal_a_slow_loop(seed, window):
    random = np.random.default_rng(seed)
    values = random.normal(size=(2, 20))
    values[random.random(values.shape) < 0.05] = NAN
    for statistic, slow in (
        (trailing_sum, np.sum),
        (trailing_mean, np.mean),
        (trailing_deviation, lambda held: np.std(held, ddof=1)),
    ):
        found = statistic(values, window)
        for row, at in np.ndindex(values.shape):
            held = values[row, at - window + 1 : at + 1] if at >= window - 1 else [NAN] * 2
            assert found[row, at] == pytest.approx(slow(held), nan_ok=True)
