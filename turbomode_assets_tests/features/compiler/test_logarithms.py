"""Logarithms on vector units against the C library's, and at the edges of their domain."""

import math

import numpy as np
import pytest

from turbomode_assets.features.compiler import logarithms

INF, NAN = math.inf, math.nan


def applied(function, values: np.ndarray) -> np.ndarray:
    out = np.empty_like(values)
    function(values, out)
    return out


def test_logarithms_equal_the_c_library_to_the_last_digits():
    rng = np.random.default_rng(1)
    near_one = 1 + rng.normal(0, 1e-3, 999)
    values = np.concatenate(
        [10.0 ** rng.uniform(-300, 300, 999), near_one, 2.0 ** np.arange(-9, 9)]
    )
    np.testing.assert_allclose(applied(logarithms.log, values), np.log(values), rtol=4e-16)
    returns = np.concatenate([values, near_one - 1, 10.0 ** rng.uniform(-30, 0, 999)])
    actual = applied(logarithms.log_of_one_more, returns)
    np.testing.assert_allclose(actual, np.log1p(returns), rtol=1e-15)


def test_the_hyperbolic_tangent_is_off_by_rounding_only_and_never_overflows():
    values = np.concatenate([np.linspace(-30, 30, 999), [-1e300, 1e300, -INF, INF, NAN]])
    np.testing.assert_allclose(applied(logarithms.tanh, values), np.tanh(values), atol=3e-16)


@pytest.mark.parametrize(
    ("value", "of_it", "of_one_more"),
    [
        (1.0, 0.0, math.log(2)),
        (0.0, -INF, 0.0),
        (-1.0, NAN, -INF),
        (-2.0, NAN, NAN),
        (INF, INF, INF),
        (-INF, NAN, NAN),
        (NAN, NAN, NAN),
    ],
)
def test_logarithms_at_the_edges(value, of_it, of_one_more):
    given = np.array([value])
    np.testing.assert_equal(applied(logarithms.log, given)[0], of_it)
    np.testing.assert_equal(applied(logarithms.log_of_one_more, given)[0], of_one_more)
