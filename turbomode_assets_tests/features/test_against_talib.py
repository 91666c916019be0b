"""Indicators against TA-Lib, where it has them, with the differences of convention named.

TA-Lib runs its recursions from the first bar on; ours start anew in each window of 250 bars. After
250 bars the two differ by what is left of the seed.
"""

import numpy as np
import pytest

from turbomode_assets.features import compute_features
from turbomode_assets_tests.features.comparison import assert_alike
from turbomode_assets_tests.features.panels import panel
from turbomode_assets_tests.features.talib_formulas import TALIB

BARS = panel(1, 700, seed=4)
WARM = 500
ARRAYS = [BARS[name].to_numpy().copy() for name in ("open", "high", "low", "close", "volume")]


@pytest.mark.parametrize("name", TALIB)
def test_equals_talib(name):
    actual = compute_features(BARS, names=[name])[name].to_numpy().astype(np.float64)
    assert_alike(name, actual[WARM:], TALIB[name](*ARRAYS)[WARM:])
