"""Liquidity from daily bars: price impact and spread (2 features)."""

import math

import torch
from torch import Tensor

from turbomode_assets.features.registry import feature
from turbomode_assets.features.vocabulary.elementwise import growth, lagged, log, positive_part
from turbomode_assets.features.vocabulary.merging import trailing_mean

FAMILY = "liquidity"


@feature(family=FAMILY, windows=(20,), inputs=("close", "dollar_volume"), reads_previous=True)
def amihud_20(close: Tensor, dollar_volume: Tensor, *, window: int) -> Tensor:
    """Logarithm of Amihud's illiquidity, per billion USD.

    Formula: ln(1 + 1e9 mean(abs(c / c[1] - 1) / dollar volume)) over 20 bars, the dollar volume
        unadjusted
    Source: Amihud (2002), Journal of Financial Markets 5(1); the logarithm is ours.
    Missing: NaN where the window or the bar before it holds a missing bar, or a dollar volume in
        the window is missing or zero.
    """
    impact = (growth(close) - 1).abs() / dollar_volume
    return (1e9 * trailing_mean(impact, window)).log1p()


@feature(family=FAMILY, windows=(20,), inputs=("high", "low", "close"), reads_previous=True)
def corwin_schultz_20(high: Tensor, low: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Mean two-bar high-low spread estimate, as a fraction of the price.

    Formula: mean(max(2 (e^a - 1) / (1 + e^a), 0)) over 20 pairs of bars,
        a = (sqrt(2 b) - sqrt(b)) / (3 - 2 sqrt 2) - sqrt(g / (3 - 2 sqrt 2)), b the sum of both
        bars' ln(h / l)^2, g = ln(highest / lowest)^2 of the pair, after the second bar is moved by
        the gap between its range and the close before it
    Source: Corwin and Schultz (2012), Journal of Finance 67(2).
    Missing: NaN where the window or the bar before it holds a missing bar.
    """
    before = lagged(close, 1)
    gap = positive_part(low - before) - positive_part(before - high)
    moved_high, moved_low = high - gap, low - gap
    highest = torch.maximum(moved_high, lagged(high, 1))
    lowest = torch.minimum(moved_low, lagged(low, 1))
    range_before = lagged(log(high), 1) - lagged(log(low), 1)
    both = (moved_high / moved_low).log().square() + range_before.square()
    pair = (highest / lowest).log()
    divisor = 3 - 2 * math.sqrt(2)
    alpha = (math.sqrt(2) - 1) * both.sqrt() / divisor - pair / math.sqrt(divisor)
    # 2 (e^a - 1) / (1 + e^a) = 2 tanh(a / 2), which cannot overflow.
    return trailing_mean(positive_part(2 * (alpha / 2).tanh()), window)
