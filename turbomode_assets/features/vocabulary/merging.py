"""The vocabulary of formulas: sums, extremes and moments over the last bars of each symbol.

Windows are merged from neighbouring ones (60 = 30 + 30, 30 = 20 + 10, 20 = 10 + 10, ...), never
kept as running totals. So a value depends on its own window alone, bit for bit: not on how long the
tensor is, nor on where in it the window lies, and a NaN stays inside the windows that hold it.

Tensors are [symbols, sessions] in float64. At session t an operation reads the `window` bars that
end at t; where one of them is NaN or lies before the first session, the result is NaN.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from turbomode_assets.features.compiler.tracing import is_traced
from turbomode_assets.features.vocabulary.elementwise import lagged, product_on_top, scaled_on_top
from turbomode_assets.features.vocabulary.operations import operation
from turbomode_assets.features.vocabulary.sharing import shared

Merge = Callable[..., Tensor]


@operation(version=1)
def trailing_sum(series: Tensor, window: int) -> Tensor:
    """Sum."""
    if window == 1:
        return series
    newer, older = parts_of(window)
    return _merge(trailing_sum(series, newer), trailing_sum(series, older), newer, torch.add)


@operation(version=1)
def trailing_mean(series: Tensor, window: int) -> Tensor:
    """Arithmetic mean."""
    return trailing_sum(series, window) / window


@operation(version=1)
def trailing_max(series: Tensor, window: int) -> Tensor:
    """Highest value."""
    if window == 1:
        return series
    newer, older = parts_of(window)
    return _merge(trailing_max(series, newer), trailing_max(series, older), newer, torch.maximum)


@operation(version=1)
def trailing_min(series: Tensor, window: int) -> Tensor:
    """Lowest value."""
    if window == 1:
        return series
    newer, older = parts_of(window)
    return _merge(trailing_min(series, newer), trailing_min(series, older), newer, torch.minimum)


@operation(version=1)
def trailing_codeviation(x: Tensor, y: Tensor, window: int) -> Tensor:
    """Sum of the products of both series' deviations from their means.

    Parts are merged with the exact update of Chan, Golub and LeVeque (1983), which subtracts
    means and never large sums of squares.
    """
    if window == 1:
        return (x - x) * (y - y)
    newer, older = parts_of(window)
    within = _within(partial(trailing_codeviation, x, y), newer, older)
    x_step, y_step = _step(x, newer, older), _step(y, newer, older)
    share = older / (newer * window)
    if within is None:
        return x_step * y_step * share
    return product_on_top(within, x_step, y_step, share)


@shared
def trailing_trend(series: Tensor, window: int) -> Tensor:
    """Sum of the products of the deviations of position (1..window) and value from their means."""
    if window == 1:
        return series - series
    newer, older = parts_of(window)
    within = _within(partial(trailing_trend, series), newer, older)
    # Between the mean positions of the two parts lie window / 2 bars.
    step, share = _step(series, newer, older), older / 2
    return step * share if within is None else scaled_on_top(within, step, share)


@shared
def trailing_third_moment(series: Tensor, window: int) -> Tensor:
    """Sum of cubed deviations from the mean, merged as in Pebay (2008)."""
    if window == 1:
        return series - series
    newer, older = parts_of(window)
    step = _step(series, newer, older)
    within = _within(partial(trailing_third_moment, series), newer, older)
    if within is None:
        return step - step
    spread = trailing_codeviation(series, series, newer)
    if older > 1:
        earlier = trailing_codeviation(series, series, older)
        spread = _merge(spread, earlier, newer, partial(torch.add, alpha=-newer / older))
    moment = product_on_top(within, step, spread, 3 * older / (newer * window))
    if newer == older:
        return moment
    cubes = older * (older - newer) / (newer * window) ** 2
    return product_on_top(moment, step, step.square(), cubes)


@shared
def decaying_sum(series: Tensor, decay: float, window: int) -> Tensor:
    """Sum of decay^k x the value k bars ago, k < window."""
    if window == 1:
        return series
    newer, older = parts_of(window)
    early = lagged(decaying_sum(series, decay, older), newer)
    return scaled_on_top(decaying_sum(series, decay, newer), early, decay**newer)


def parts_of(window: int) -> tuple[int, int]:
    """Cut a window into a newer and an older part, so that windows share their parts."""
    if window == 30:
        return 20, 10
    return (window // 2, window // 2) if window % 2 == 0 else (window - 1, 1)


@shared
def _step(series: Tensor, newer: int, older: int) -> Tensor:
    """Mean of the newer part of a window less the mean of its older part, times `newer`."""
    late, early = trailing_sum(series, newer), trailing_sum(series, older)
    return _merge(late, early, newer, partial(torch.add, alpha=-newer / older))


def _within(moment: Callable[[int], Tensor], newer: int, older: int) -> Tensor | None:
    """Sum of both parts' own moments; a single bar has none, as it does not deviate from itself."""
    if newer == 1:
        return None
    if older == 1:
        return moment(newer)
    return _merge(moment(newer), moment(older), newer, torch.add)


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
