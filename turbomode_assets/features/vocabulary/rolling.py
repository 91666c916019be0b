"""The vocabulary of formulas: deviation, correlation, lines and shape over the last bars.

Tensors are [symbols, sessions] in float64. At session t an operation reads the `window` bars that
end at t; where one of them is NaN or lies before the first session, the result is NaN.
"""

import math

from torch import Tensor

from turbomode_assets.features.compiler.opcodes import Op
from turbomode_assets.features.compiler.tracing import is_traced
from turbomode_assets.features.conventions import CONSTANT_BELOW
from turbomode_assets.features.vocabulary.elementwise import (
    difference,
    lagged,
    scaled_on_top,
    undefined_where,
)
from turbomode_assets.features.vocabulary.merging import (
    trailing_codeviation,
    trailing_mean,
    trailing_sum,
    trailing_third_moment,
    trailing_trend,
)
from turbomode_assets.features.vocabulary.operations import operation


@operation(version=1)
def trailing_return(close: Tensor, window: int) -> Tensor:
    """Return over `window` bars, 0 for a tie; NaN too where a bar on the way is missing."""
    before = lagged(close, window)
    on_the_way = trailing_sum(close, window)
    # The difference is zero, or NaN where a bar is missing.
    return difference(close, before, close) / before + (on_the_way - on_the_way)


@operation(version=1)
def trailing_std(series: Tensor, window: int) -> Tensor:
    """Sample standard deviation (ddof 1)."""
    return trailing_codeviation(series, series, window).sqrt() / math.sqrt(window - 1)


@operation(version=1)
def trailing_correlation(x: Tensor, y: Tensor, window: int, x_scale: Tensor) -> Tensor:
    """Pearson correlation; NaN where a side is as good as constant.

    That is: its standard deviation is below `CONSTANT_BELOW`, for `x` times `x_scale` (the mean
    for prices, one for what is relative already).
    """
    x_spread = trailing_codeviation(x, x, window)
    y_spread = trailing_codeviation(y, y, window)
    least = _constant_spread(window)
    x_least = x_scale * x_scale * least
    together = trailing_codeviation(x, y, window)
    if is_traced(x_spread):
        return x_spread.note(Op.CORRELATION, y_spread, together, x_least, number=least)
    correlation = together / (x_spread * y_spread).sqrt_()
    return undefined_where(correlation, (x_spread < x_least) | (y_spread < least))


@operation(version=1)
def trailing_slope(series: Tensor, window: int) -> Tensor:
    """Slope of the least-squares line on positions 1..window."""
    return trailing_trend(series, window) / _position_spread(window)


@operation(version=1)
def trailing_rsquare(price: Tensor, window: int) -> Tensor:
    """R-squared of that line; NaN where the price is as good as constant."""
    spread = trailing_codeviation(price, price, window)
    constant = spread < trailing_mean(price, window).square() * _constant_spread(window)
    rsquare = trailing_trend(price, window).square() / spread / _position_spread(window)
    return undefined_where(rsquare.clamp_(max=1.0), constant)


@operation(version=1)
def trailing_residual(series: Tensor, window: int) -> Tensor:
    """Last value minus that line's value at the last position."""
    # The line runs through the mean at the middle position, (window - 1) / 2 before the last.
    rise = window * (window - 1) / 2 / _position_spread(window)
    line = scaled_on_top(trailing_sum(series, window), trailing_trend(series, window), rise)
    return scaled_on_top(series, line, -1 / window)


@operation(version=1)
def trailing_skewness(series: Tensor, window: int) -> Tensor:
    """Bias-corrected skewness (G1); NaN where the series is as good as constant."""
    spread = trailing_codeviation(series, series, window)
    second, third = spread / window, trailing_third_moment(series, window) / window
    correction = math.sqrt(window * (window - 1)) / (window - 2)
    skewness = correction * third / (second * second.sqrt())
    return undefined_where(skewness, spread < _constant_spread(window))


@operation(version=1)
def trailing_paired_slope(y: Tensor, x: Tensor, window: int, fewest: int) -> Tensor:
    """Slope of y on x where x is known; NaN with fewer pairs than `fewest` or a constant x.

    Both must lie around zero, as returns do: then raw moments lose nothing when means are taken
    off.
    """
    known = x.isfinite()
    x, y = x.nan_to_num(nan=0.0), y * known
    count = trailing_sum(known.to(x.dtype), window)
    x_total, y_total = trailing_sum(x, window), trailing_sum(y, window)
    x_spread = trailing_sum(x * x, window) - x_total * x_total / count
    together = trailing_sum(x * y, window) - x_total * y_total / count
    constant = x_spread < (count - 1) * CONSTANT_BELOW**2
    return undefined_where(together / x_spread, constant | (count < fewest))


def _constant_spread(window: int) -> float:
    """Sum of squared deviations below which a series counts as constant."""
    return (window - 1) * CONSTANT_BELOW**2


def _position_spread(window: int) -> float:
    """Sum of squared deviations of 1..window from their mean."""
    return window * (window * window - 1) / 12
