"""Exponential smoothing over a finite window, for formulas that are recursive in the textbook.

The textbook's recursion runs from the beginning of time; here it starts anew, at the beginning of
each declared window, so that a value depends on the bars of its window alone. Windows are long
enough for the seed's share to fall below 1e-6.
"""

import torch
from torch import Tensor

from turbomode_assets.features.compiler.opcodes import Op
from turbomode_assets.features.compiler.tracing import is_traced
from turbomode_assets.features.vocabulary.elementwise import lagged, scaled_on_top
from turbomode_assets.features.vocabulary.merging import decaying_sum, trailing_mean, trailing_sum
from turbomode_assets.features.vocabulary.operations import operation


@operation(version=1)
def exponential_mean(series: Tensor, span: int, window: int) -> Tensor:
    """Exponential moving average, weight 2 / (span + 1), seeded with the window's first value."""
    weight = 2 / (span + 1)
    recent = decaying_sum(series, 1 - weight, window - 1)
    seed = lagged(series, window - 1)
    return scaled_on_top(recent, seed, (1 - weight) ** (window - 1) / weight) * weight


@operation(version=1)
def wilder_mean(series: Tensor, period: int, window: int) -> Tensor:
    """Wilder's smoothing, weight 1 / period, seeded with the mean of the first `period` values."""
    weight = 1 / period
    steps = window - period
    recent = decaying_sum(series, 1 - weight, steps)
    seed = lagged(trailing_sum(series, period), steps)
    # The seed is a mean, 1 / period of the sum, and so is the weight that all is multiplied by.
    return scaled_on_top(recent, seed, (1 - weight) ** steps) * weight


@operation(version=1)
def wilder_directional_index(plus: Tensor, minus: Tensor, period: int, window: int) -> Tensor:
    """Wilder's ADX as a fraction, from up-moves and down-moves, over `window` moves.

    Both are smoothed from the window's start on, seeded with the mean of their first `period`
    values; so is their directional index |plus - minus| / (plus + minus), which makes the recursion
    run once for every window. A directional index without any move is undefined.
    """
    if is_traced(plus):
        return plus.note(Op.DIRECTIONAL_INDEX, minus, window=window, until=period)
    return directional_index_in_torch(plus, minus, period, window)


def directional_index_in_torch(plus: Tensor, minus: Tensor, period: int, window: int) -> Tensor:
    """`wilder_directional_index` by torch alone."""
    seed_plus, seed_minus = trailing_mean(plus, period), trailing_mean(minus, period)
    smooth_plus = lagged(seed_plus, window - period)
    smooth_minus = lagged(seed_minus, window - period)
    average = torch.zeros_like(plus)
    for step in range(window - period + 1):
        if step:
            ago = window - period - step
            smooth_plus = smooth_plus + (lagged(plus, ago) - smooth_plus) / period
            smooth_minus = smooth_minus + (lagged(minus, ago) - smooth_minus) / period
        index = (smooth_plus - smooth_minus).abs() / (smooth_plus + smooth_minus)
        if step < period:
            average = average + index / period
        else:
            average = average + (index - average) / period
    return average
