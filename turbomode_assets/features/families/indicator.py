"""Classical indicators: momentum, trend strength, true range, oscillators (9 features).

Indicators that their authors publish between 0 and 100 are divided by 100.
"""

import math

import torch
from torch import Tensor

from turbomode_assets.features.conventions import TIE
from turbomode_assets.features.registry import feature
from turbomode_assets.features.vocabulary.elementwise import (
    absolute,
    change,
    difference,
    lagged,
    positive_part,
    undefined_where,
)
from turbomode_assets.features.vocabulary.merging import (
    trailing_max,
    trailing_mean,
    trailing_min,
    trailing_sum,
)
from turbomode_assets.features.vocabulary.ordering import trailing_mean_deviation
from turbomode_assets.features.vocabulary.rolling import trailing_std
from turbomode_assets.features.vocabulary.smoothing import (
    exponential_mean,
    wilder_directional_index,
    wilder_mean,
)

FAMILY = "indicator"
WILDER_PERIOD = 14
MACD_SIGNAL_WINDOW = 69
"""0.8^68 = 3e-7 of its seed is left; what remains of the window goes to the slower averages."""


def _typical_price(high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    return (high + low + close) / 3


def _true_range(high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    before = lagged(close, 1)
    return torch.maximum(high, before) - torch.minimum(low, before)


def _up_move(high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    """Rise of the high where it is larger than the fall of the low, else 0 (Wilder's +DM)."""
    rise, fall = change(high, close), -change(low, close)
    return positive_part(rise) * (difference(rise, fall, close) > 0)


def _down_move(high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    """Fall of the low where it is larger than the rise of the high, else 0 (Wilder's -DM)."""
    rise, fall = change(high, close), -change(low, close)
    return positive_part(fall) * (difference(fall, rise, close) > 0)


@feature(family=FAMILY, windows=(250,), inputs=("close",))
def rsi_14(close: Tensor, *, window: int) -> Tensor:
    """Wilder's relative strength index / 100.

    Formula: W(max(c - c[1], 0)) / W(abs(c - c[1])), W Wilder's smoothing of 14 over 250 bars
    Source: Wilder (1978), New Concepts in Technical Trading Systems.
    Missing: NaN where the window holds a missing bar. NaN too where the close never moved in it.
    """
    moves = change(close, close)
    gains = wilder_mean(positive_part(moves), WILDER_PERIOD, window - 1)
    return gains / wilder_mean(absolute(moves), WILDER_PERIOD, window - 1)


def _macd_line(close: Tensor, window: int) -> Tensor:
    return exponential_mean(close, 12, window) - exponential_mean(close, 26, window)


@feature(family=FAMILY, windows=(250,), inputs=("close",))
def macd_hist(close: Tensor, *, window: int) -> Tensor:
    """MACD less its signal, over the close.

    Formula: (M - EMA9(M)) / c, M = EMA12(c) - EMA26(c); EMA9 over the last 69 values of M, each of
        which reads 182 bars
    Source: Appel (1979), The Moving Average Convergence-Divergence Method.
    Missing: NaN where the window of 250 bars holds a missing bar.
    """
    slow_window = window - MACD_SIGNAL_WINDOW + 1
    line = _macd_line(close, slow_window)
    return (line - exponential_mean(line, 9, MACD_SIGNAL_WINDOW)) / close


@feature(family=FAMILY, windows=(250,), inputs=("high", "low", "close"))
def adx_14(high: Tensor, low: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Wilder's average directional index / 100.

    Formula: W(abs(P - M) / (P + M)), P = W(+DM), M = W(-DM), W Wilder's smoothing of 14, all
        started anew in each window of 250 bars
    Source: Wilder (1978), New Concepts in Technical Trading Systems.
    Missing: NaN where the window holds a missing bar. NaN too where P + M is zero at any of its
        bars.
    """
    plus, minus = _up_move(high, low, close), _down_move(high, low, close)
    return wilder_directional_index(plus, minus, WILDER_PERIOD, window - 1)


@feature(family=FAMILY, windows=(250,), inputs=("high", "low", "close"))
def di_diff_14(high: Tensor, low: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Wilder's +DI less -DI / 100.

    Formula: (W(+DM) - W(-DM)) / W(true range), W Wilder's smoothing of 14 over 250 bars
    Source: Wilder (1978), New Concepts in Technical Trading Systems.
    Missing: NaN where the window holds a missing bar. NaN too where nothing moved in it.
    """
    plus = wilder_mean(_up_move(high, low, close), WILDER_PERIOD, window - 1)
    minus = wilder_mean(_down_move(high, low, close), WILDER_PERIOD, window - 1)
    return (plus - minus) / wilder_mean(_true_range(high, low, close), WILDER_PERIOD, window - 1)


@feature(family=FAMILY, windows=(250,), inputs=("high", "low", "close"))
def natr_14(high: Tensor, low: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Wilder's average true range over the close.

    Formula: W(max(h, c[1]) - min(l, c[1])) / c, W Wilder's smoothing of 14 over 250 bars
    Source: Wilder (1978), New Concepts in Technical Trading Systems.
    Missing: NaN where the window holds a missing bar.
    """
    return wilder_mean(_true_range(high, low, close), WILDER_PERIOD, window - 1) / close


@feature(family=FAMILY, windows=(20,), inputs=("high", "low", "close"))
def cci_20(high: Tensor, low: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Commodity channel index / 100.

    Formula: (p - mean(p)) / (0.015 mean(abs(p - mean(p)))) / 100 over 20 bars, p = (h + l + c) / 3
    Source: Lambert (1980), Commodities 9(10).
    Missing: NaN where the window holds a missing bar. NaN too where the mean absolute deviation is
        below 1e-6 of the close.
    """
    price = _typical_price(high, low, close)
    deviation = trailing_mean_deviation(price, window)
    channel = (price - trailing_mean(price, window)) / (0.015 * 100 * deviation)
    return undefined_where(channel, deviation < TIE * close)


@feature(
    family=FAMILY, windows=(14,), inputs=("high", "low", "close", "volume"), reads_previous=True
)
def mfi_14(high: Tensor, low: Tensor, close: Tensor, volume: Tensor, *, window: int) -> Tensor:
    """Money flow index / 100.

    Formula: sum(p v where p > p[1]) / sum(p v where p != p[1]) over 14 bars, p = (h + l + c) / 3
    Source: Quong and Soudack (1989), Technical Analysis of Stocks and Commodities 7(3).
    Missing: NaN where the window or the bar before it holds a missing bar or volume. NaN too where
        no money flowed.
    """
    price = _typical_price(high, low, close)
    moves, money = change(price, close), price * volume
    inflow = trailing_sum(money * (moves > 0), window)
    return inflow / (inflow + trailing_sum(money * (moves < 0), window))


@feature(family=FAMILY, windows=(20,), inputs=("close",))
def bb_width_20(close: Tensor, *, window: int) -> Tensor:
    """Width of the Bollinger bands over their middle.

    Formula: 4 std(c) / mean(c) over 20 bars, ddof 0
    Source: Bollinger (2001), Bollinger on Bollinger Bands.
    Missing: NaN where the window holds a missing bar.
    """
    population = math.sqrt((window - 1) / window)
    return 4 * population * trailing_std(close, window) / trailing_mean(close, window)


@feature(family=FAMILY, windows=(18,), inputs=("high", "low", "close"))
def stoch_d_14(high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    """Slow stochastic %D (14, 3, 3) / 100.

    Formula: mean3(mean3((c - min(l)) / (max(h) - min(l)))), extremes over 14 bars
    Source: Lane (1984), Technical Analysis of Stocks and Commodities 2(3).
    Missing: NaN where the window of 18 bars holds a missing bar. NaN too where a range in it is
        below 1e-6 of the close.
    """
    lowest = trailing_min(low, 14)
    fast = difference(close, lowest, close) / difference(trailing_max(high, 14), lowest, close)
    return trailing_mean(trailing_mean(fast, 3), 3)
