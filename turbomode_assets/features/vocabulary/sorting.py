"""The vocabulary of formulas: quantiles of the last bars, from windows that are kept sorted.

A sorted window is merged from two shorter ones, as sums are (`merging`), by a bitonic merging
network (Batcher, 1968): which places are compared does not depend on the values, so that all
sessions go through the same comparisons side by side, and windows share their parts. Of long
windows only the ends are kept that quantiles are read from.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from turbomode_assets.features.compiler.opcodes import Op
from turbomode_assets.features.compiler.tracing import is_traced
from turbomode_assets.features.vocabulary.elementwise import lagged, scaled_on_top
from turbomode_assets.features.vocabulary.merging import parts_of, trailing_sum
from turbomode_assets.features.vocabulary.operations import operation
from turbomode_assets.features.vocabulary.sharing import shared

KEPT = 13
"""Values kept at each end of a sorted window: enough for the outer fifths of 60 bars."""


@operation(version=1)
def trailing_quantile(series: Tensor, quantile: float, window: int) -> Tensor:
    """Quantile with linear interpolation between the two nearest values.

    It must lie within the `KEPT` lowest or highest values of the window.
    """
    place, share = divmod(quantile * (window - 1), 1)
    at = int(place)
    if quantile < 0.5:
        low, high = _sorted_end(series, window, False)[at : at + 2]
    else:
        high, low = _sorted_end(series, window, True)[window - 2 - at : window - at]
    total = trailing_sum(series, window)
    # The difference is zero, or NaN where a bar is missing, which comparisons may lose.
    return scaled_on_top(low, high - low, share) + (total - total)


@shared
def _sorted_end(series: Tensor, window: int, highest: bool) -> tuple[Tensor, ...]:
    """Return the lowest values from the lowest on, or the highest from the highest on."""
    if window <= 2 * KEPT:
        rising = _sorted_window(series, window)
        return rising[::-1] if highest else rising
    newer, older = parts_of(window)
    one = _sorted_end(series, newer, highest)
    other = [lagged(each, newer) for each in _sorted_end(series, older, highest)]
    # The n-th of one need only be compared with the (k - n)-th of the other: there are n before
    # the one and k - n before the other, so that the better of both is among the k best.
    best = torch.maximum if highest else torch.minimum
    met = []
    for at in range(KEPT):
        pair = [
            each[place] for each, place in ((one, at), (other, KEPT - 1 - at)) if place < len(each)
        ]
        met.append(best(*pair) if len(pair) == 2 else pair[0])
    return _bitonic_sorted(met, falling=highest)


@shared
def _sorted_window(series: Tensor, window: int) -> tuple[Tensor, ...]:
    """Return all values of a window, from the lowest on."""
    if window == 1:
        return (series,)
    newer, older = parts_of(window)
    late = _sorted_window(series, newer)
    early = [lagged(each, newer) for each in _sorted_window(series, older)]
    return _bitonic_sorted((*late, *reversed(early)), falling=False)


def _bitonic_sorted(values: Sequence[Tensor], falling: bool) -> tuple[Tensor, ...]:
    """Sort values that rise and then fall; or, falling, values that fall and then rise.

    The network takes a power of two; the places that are missing come first, as if they held what
    sorts before everything, and need no comparison.
    """
    size = 1 << (len(values) - 1).bit_length()
    missing = size - len(values)
    places = [*[values[0]] * missing, *values]
    gap = size // 2
    while gap:
        for at in range(missing, size):
            if not at & gap:
                smaller, larger = _ordered_pair(places[at], places[at + gap])
                places[at], places[at + gap] = (larger, smaller) if falling else (smaller, larger)
        gap //= 2
    return tuple(places[missing:])


def _ordered_pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smaller and the larger."""
    if is_traced(x):
        return x.note(Op.SMALLER_OF_PAIR, y), x.note(Op.LARGER_OF_PAIR, y)
    return torch.minimum(x, y), torch.maximum(x, y)
