"""Quantiles from merged windows against numpy's, which sorts every window."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.features.vocabulary.sharing import shared_results
from turbomode_assets.features.vocabulary.sorting import trailing_quantile


@pytest.mark.parametrize("window", [2, 5, 10, 20, 26, 27, 30, 45, 60])
@pytest.mark.parametrize("quantile", [0.2, 0.8])
@settings(max_examples=8, derandomize=True, database=None)
@given(seed=st.integers(0, 2**31), distinct=st.sampled_from([3, 40, 10**6]))
def test_a_quantile_is_that_of_the_sorted_window(window, quantile, seed, distinct):
    series = np.random.default_rng(seed).integers(1, distinct, (2, 70)).astype(np.float64)
    with shared_results():
        actual = trailing_quantile(torch.from_numpy(series), quantile, window).numpy()
    windows = np.lib.stride_tricks.sliding_window_view(series, window, axis=1)
    expected = np.quantile(windows, quantile, axis=-1)
    np.testing.assert_allclose(actual[:, window - 1 :], expected, rtol=1e-12)
    assert np.isnan(actual[:, : window - 1]).all()
