"""How features are compared: the tolerance that the list of features states."""

import numpy as np

TOLERANCE = 1e-3
"""Of the feature's standard deviation."""
INPUTS = ("open", "high", "low", "close", "volume", "dollar_volume")


def assert_alike(name: str, actual: np.ndarray, expected: np.ndarray) -> None:
    """The same cells are NaN, and the rest differ by less than the tolerance."""
    assert actual.shape == expected.shape
    differing = np.flatnonzero(np.isnan(actual) != np.isnan(expected))
    assert not len(differing), (
        f"{name}: NaN in one only at {differing[:5]} of {len(differing)}: "
        f"{actual[differing[:5]]} against {expected[differing[:5]]}"
    )
    known = ~np.isnan(expected)
    if not known.any():
        return
    allowed = TOLERANCE * max(float(np.std(expected[known])), 1e-6)
    error = np.abs(actual - expected)
    worst = int(np.nanargmax(error))
    assert error[worst] <= allowed, (
        f"{name}: {actual[worst]} against {expected[worst]} in row {worst}, allowed {allowed}"
    )
