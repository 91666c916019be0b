"""The vocabulary of formulas: sums, extremes and moments over the last bars of each symbol.

Windows are merged from neighbouring ones (60 = 30 + 30, 30 = 20 + 10, 20 = 10 + 10, ...), never
kept as running totals. So a value depends on its own window alone, bit for bit: not on how long the
tensor is, nor on where in it the window lies, and a NaN stays inside the windows that hold it.

Tensors are [symbols, sessions] in float64. At session t an operation reads the `window` bars that
end at t; where one of them is NaN or lies before the first session, the result is NaN.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from turbomode_assets.features.elementwise import lagged
from turbomode_assets.features.opcodes import Op
from turbomode_assets.features.sharing import shared
from turbomode_assets.features.tracing import is_traced

Merge = Callable[..., Tensor]


@shared
def trailing_sum(series: Tensor, window: int) -> Tensor:
    """Sum."""
    if window == 1:
        return series
    newer, older = parts_of(window)
    return _merge(trailing_sum(series, newer), trailing_sum(series, older), newer, torch.add)


@shared
def trailing_mean(series: Tensor, window: int) -> Tensor:
    """Arithmetic mean."""
    return trailing_sum(series, window) / window


@shared
def trailing_max(series: Tensor, window: int) -> Tensor:
    """Highest value."""
    if window == 1:
        return series
    newer, older = parts_of(window)
    return _merge(trailing_max(series, newer), trailing_max(series, older), newer, torch.maximum)


@shared
def trailing_min(series: Tensor, window: int) -> Tensor:
    """Lowest value."""
    if window == 1:
        return series
    newer, older = parts_of(window)
    return _merge(trailing_min(series, newer), trailing_min(series, older), newer, torch.minimum)


@shared
def trailing_codeviation(x: Tensor, y: Tensor, window: int) -> Tensor:
    """Sum of the products of both series' deviations from their means.

    Parts are merged with the exact update of Chan, Golub and LeVeque (1983), which subtracts
    means and never large sums of squares.
    """
    if window == 1:
        return (x - x) * (y - y)
    newer, older = parts_of(window)
    late, early = trailing_codeviation(x, y, newer), trailing_codeviation(x, y, older)
    x_step, y_step = _mean_step(x, newer, older), _mean_step(y, newer, older)
    share = newer * older / window
    if is_traced(late):
        return late.note(Op.PRODUCT_ON_TOP, lagged(early, newer), x_step, y_step, number=share)
    return _merge(late, early, newer, torch.add) + x_step * y_step * share


@shared
def trailing_trend(series: Tensor, window: int) -> Tensor:
    """Sum of the products of the deviations of position (1..window) and value from their means."""
    if window == 1:
        return series - series
    newer, older = parts_of(window)
    late, early = trailing_trend(series, newer), trailing_trend(series, older)
    # Between the mean positions of the two parts lie window / 2 bars.
    step, share = _mean_step(series, newer, older), newer * older / 2
    return _scaled_on_top(_merge(late, early, newer, torch.add), step, share)


@shared
def trailing_third_moment(series: Tensor, window: int) -> Tensor:
    """Sum of cubed deviations from the mean, merged as in Pebay (2008)."""
    if window == 1:
        return series - series
    newer, older = parts_of(window)
    late, early = trailing_third_moment(series, newer), trailing_third_moment(series, older)
    within = _merge(late, early, newer, torch.add)
    step = _mean_step(series, newer, older)
    spread = _merge(
        trailing_codeviation(series, series, newer) * older,
        trailing_codeviation(series, series, older) * newer,
        newer,
        torch.sub,
    )
    cubes = step * step.square() * (newer * older * (older - newer) / window**2)
    return within + cubes + 3 / window * step * spread


@shared
def decaying_sum(series: Tensor, decay: float, window: int) -> Tensor:
    """Sum of decay^k x the value k bars ago, k < window."""
    if window == 1:
        return series
    newer, older = parts_of(window)
    early = lagged(decaying_sum(series, decay, older), newer)
    return _scaled_on_top(decaying_sum(series, decay, newer), early, decay**newer)


def parts_of(window: int) -> tuple[int, int]:
    """Cut a window into a newer and an older part, so that windows share their parts."""
    if window == 30:
        return 20, 10
    return (window // 2, window // 2) if window % 2 == 0 else (window - 1, 1)


@shared
def _mean_step(series: Tensor, newer: int, older: int) -> Tensor:
    """Mean of the newer part of a window less the mean of its older part."""
    return _merge(trailing_mean(series, newer), trailing_mean(series, older), newer, torch.sub)


def _scaled_on_top(base: Tensor, series: Tensor, scale: float) -> Tensor:
    """Base plus the series times a number."""
    if is_traced(base):
        return base.note(Op.SCALED_ON_TOP, series, number=scale)
    return base + series * scale


def _merge(newer: Tensor, older: Tensor, lag: int, operation: Merge) -> Tensor:
    """Apply `operation` to the newer part and to the older one, which ends `lag` bars earlier."""
    if is_traced(newer):
        return operation(newer, lagged(older, lag))
    out = torch.empty_like(newer)
    sessions = newer.shape[1]
    out[:, :lag] = math.nan
    if lag < sessions:
        operation(newer[:, lag:], older[:, : sessions - lag], out=out[:, lag:])
    return out
