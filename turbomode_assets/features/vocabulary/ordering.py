"""The vocabulary of formulas: order and position among the last bars of each symbol.

Tensors are [symbols, sessions] in float64. At session t an operation reads the `window` bars that
end at t; where one of them is NaN or lies before the first session, the result is NaN. Traced
for the CPU compiled loops do the work (`kernels`), elsewhere torch does.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from turbomode_assets.features.compiler.opcodes import Op
from turbomode_assets.features.compiler.tracing import TracedSeries, is_traced
from turbomode_assets.features.conventions import TIE
from turbomode_assets.features.vocabulary.elementwise import lagged, undefined_where
from turbomode_assets.features.vocabulary.merging import trailing_max, trailing_mean, trailing_min
from turbomode_assets.features.vocabulary.operations import operation
from turbomode_assets.features.vocabulary.sharing import shared

COUNTED_ON = (5, 10, 20, 30, 60)
"""Windows at which ranks go on counting from the next shorter one."""


@operation(version=1)
def trailing_rank(price: Tensor, window: int) -> Tensor:
    """Percentile rank of the last price, in (0, 1]; ties share the average rank."""
    return _halves(price, window) / (2 * window)


@shared
def _halves(price: Tensor, window: int) -> Tensor:
    """Twice the rank of the last price; it goes on counting where the window before ended."""
    earlier = max((each for each in COUNTED_ON if each < window), default=1)
    before = _halves(price, earlier) if earlier > 1 else (price - price) + 2
    if is_traced(price):
        return price.note(Op.COUNT_LOWER, before, number=TIE, window=earlier, until=window)
    return count_lower_in_torch(price, before, earlier, window)


@operation(version=1)
def trailing_position_of_max(price: Tensor, close: Tensor, window: int) -> Tensor:
    """Position, counted 1..window from the oldest bar, of the first price that ties the highest."""
    threshold = trailing_max(price, window) - TIE * close
    if is_traced(price):
        return price.note(Op.FIRST_ABOVE, threshold, window=window)
    return first_position_in_torch(price, threshold, window, torch.gt)


@operation(version=1)
def trailing_position_of_min(price: Tensor, close: Tensor, window: int) -> Tensor:
    """Position, counted 1..window from the oldest bar, of the first price that ties the lowest."""
    threshold = trailing_min(price, window) + TIE * close
    if is_traced(price):
        mirrored = cast(TracedSeries, -price)
        return mirrored.note(Op.FIRST_ABOVE, -threshold, window=window)
    return first_position_in_torch(price, threshold, window, torch.lt)


@operation(version=1)
def trailing_mean_deviation(series: Tensor, window: int) -> Tensor:
    """Mean absolute deviation from the mean."""
    mean = trailing_mean(series, window)
    if is_traced(series):
        return series.note(Op.MEAN_DEVIATION, mean, window=window)
    return mean_deviation_in_torch(series, mean, window)


def count_lower_in_torch(price: Tensor, before: Tensor, window: int, until: int) -> Tensor:
    """`before`, and for each bar from `window` to `until` ago two if it is lower, one for a tie."""
    margin, halves = TIE * price, before.clone()
    for bars in range(window, until):
        # A missing bar makes it all NaN.
        step = price - lagged(price, bars)
        halves += (step - step) + (step >= margin)
        halves += step > -margin
    return halves


def first_position_in_torch(
    price: Tensor, threshold: Tensor, window: int, is_beyond: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Position of the first price beyond the session's threshold, by torch alone."""
    position = torch.full_like(price, float(window))
    for bars in range(1, window):
        position.masked_fill_(is_beyond(lagged(price, bars), threshold), float(window - bars))
    return undefined_where(position, threshold.isnan())


def mean_deviation_in_torch(series: Tensor, mean: Tensor, window: int) -> Tensor:
    """`trailing_mean_deviation` by torch alone."""
    total = (series - mean).abs()
    for bars in range(1, window):
        total = total + (lagged(series, bars) - mean).abs()
    return total / window
