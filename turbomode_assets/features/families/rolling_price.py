"""Rolling prices: level, dispersion, trend and extremes of the last bars (15 x 5 of Alpha158)."""

from torch import Tensor

from turbomode_assets.features.conventions import EPSILON
from turbomode_assets.features.registry import feature
from turbomode_assets.features.vocabulary.elementwise import difference, lagged
from turbomode_assets.features.vocabulary.merging import trailing_max, trailing_mean, trailing_min
from turbomode_assets.features.vocabulary.ordering import (
    trailing_position_of_max,
    trailing_position_of_min,
    trailing_rank,
)
from turbomode_assets.features.vocabulary.rolling import (
    trailing_residual,
    trailing_rsquare,
    trailing_slope,
    trailing_std,
)
from turbomode_assets.features.vocabulary.sorting import trailing_quantile

FAMILY = "rolling_price"
WINDOWS = (5, 10, 20, 30, 60)


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",), reads_previous=True)
def roc(close: Tensor, *, window: int) -> Tensor:
    """Close `window` bars ago over the close.

    Formula: c[d] / c
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window or the bar before it holds a missing bar.
    """
    return lagged(close, window) / close


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",))
def ma(close: Tensor, *, window: int) -> Tensor:
    """Mean close over the close.

    Formula: mean(c) / c over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    return trailing_mean(close, window) / close


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",))
def std(close: Tensor, *, window: int) -> Tensor:
    """Standard deviation of the close over the close.

    Formula: std(c) / c over d bars, ddof 1
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    return trailing_std(close, window) / close


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",))
def beta(close: Tensor, *, window: int) -> Tensor:
    """Slope of the least-squares line of the close, over the close.

    Formula: slope of c on 1..d / c
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    return trailing_slope(close, window) / close


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",))
def rsqr(close: Tensor, *, window: int) -> Tensor:
    """R-squared of the least-squares line of the close.

    Formula: r-squared of c on 1..d
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
        NaN too where std(c) is below 2e-5 of mean(c).
    """
    return trailing_rsquare(close, window)


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",))
def resi(close: Tensor, *, window: int) -> Tensor:
    """Last residual of the least-squares line of the close, over the close.

    Formula: (c - line at d) / c, the line of c on 1..d
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    return trailing_residual(close, window) / close


@feature(family=FAMILY, windows=WINDOWS, inputs=("high", "close"))
def max(high: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Highest high over the close.

    Formula: max(h) / c over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    return trailing_max(high, window) / close


@feature(family=FAMILY, windows=WINDOWS, inputs=("low", "close"))
def min(low: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Lowest low over the close.

    Formula: min(l) / c over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    return trailing_min(low, window) / close


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",))
def qtlu(close: Tensor, *, window: int) -> Tensor:
    """Upper quantile of the close over the close.

    Formula: 0.8 quantile of c over d bars, linear interpolation, / c
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    return trailing_quantile(close, 0.8, window) / close


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",))
def qtld(close: Tensor, *, window: int) -> Tensor:
    """Lower quantile of the close over the close.

    Formula: 0.2 quantile of c over d bars, linear interpolation, / c
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    return trailing_quantile(close, 0.2, window) / close


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",))
def rank(close: Tensor, *, window: int) -> Tensor:
    """Percentile rank of the close in its window.

    Formula: rank of c among d bars / d, ties averaged, in (0, 1]
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    return trailing_rank(close, window)


@feature(family=FAMILY, windows=WINDOWS, inputs=("high", "low", "close"))
def rsv(high: Tensor, low: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Place of the close between the window's extremes.

    Formula: (c - min(l)) / (max(h) - min(l) + 1e-12) over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    lowest = trailing_min(low, window)
    above_lowest = difference(close, lowest, close)
    return above_lowest / (difference(trailing_max(high, window), lowest, close) + EPSILON)


@feature(family=FAMILY, windows=WINDOWS, inputs=("high", "close"))
def imax(high: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Position of the highest high, counted from the oldest bar.

    Formula: position of max(h) in 1..d, first on ties, / d
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    return trailing_position_of_max(high, close, window) / window


@feature(family=FAMILY, windows=WINDOWS, inputs=("low", "close"))
def imin(low: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Position of the lowest low, counted from the oldest bar.

    Formula: position of min(l) in 1..d, first on ties, / d
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    return trailing_position_of_min(low, close, window) / window


@feature(family=FAMILY, windows=WINDOWS, inputs=("high", "low", "close"))
def imxd(high: Tensor, low: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Position of the highest high less that of the lowest low.

    Formula: (position of max(h) - position of min(l)) / d
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar.
    """
    highest = trailing_position_of_max(high, close, window)
    return (highest - trailing_position_of_min(low, close, window)) / window
