"""Rolling flow: rises and falls, volume, and how price and volume move together (14 x 5)."""

import math

from torch import Tensor

from turbomode_assets.features.conventions import EPSILON
from turbomode_assets.features.registry import feature
from turbomode_assets.features.vocabulary.elementwise import (
    change,
    falls,
    growth,
    lagged,
    log_of_one_more,
    negative_part,
    ones,
    positive_part,
    rises,
    step,
)
from turbomode_assets.features.vocabulary.merging import trailing_mean, trailing_sum
from turbomode_assets.features.vocabulary.rolling import trailing_correlation, trailing_std

FAMILY = "rolling_flow"
WINDOWS = (5, 10, 20, 30, 60)


def _total(moves: Tensor, window: int) -> Tensor:
    up, down = positive_part(moves), negative_part(moves)
    return trailing_sum(up, window) + trailing_sum(down, window) + EPSILON


def _net(moves: Tensor, window: int) -> Tensor:
    up, down = positive_part(moves), negative_part(moves)
    return (trailing_sum(up, window) - trailing_sum(down, window)) / _total(moves, window)


def _nonzero(volume: Tensor) -> Tensor:
    return (volume + EPSILON).masked_fill(volume < EPSILON, math.nan)


def _weighted_moves(close: Tensor, volume: Tensor) -> Tensor:
    return (change(close, close) / lagged(close, 1)).abs() * volume


@feature(family=FAMILY, windows=WINDOWS, inputs=("close", "volume"))
def corr(close: Tensor, volume: Tensor, *, window: int) -> Tensor:
    """Correlation of the close with log volume.

    Formula: correlation(c, ln(v + 1)) over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar or volume.
        NaN too where std(c) is below 2e-5 of mean(c), or std(ln(v + 1)) below 2e-5.
    """
    return trailing_correlation(
        close, log_of_one_more(volume), window, trailing_mean(close, window)
    )


@feature(family=FAMILY, windows=WINDOWS, inputs=("close", "volume"), reads_previous=True)
def cord(close: Tensor, volume: Tensor, *, window: int) -> Tensor:
    """Correlation of the close's growth with that of volume.

    Formula: correlation(c / c[1], ln(v / v[1] + 1)) over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window or the bar before it holds a missing bar or volume.
        NaN too where a standard deviation is below 2e-5 or a v[1] is zero.
    """
    return trailing_correlation(growth(close), log_of_one_more(growth(volume)), window, ones(close))


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",), reads_previous=True)
def cntp(close: Tensor, *, window: int) -> Tensor:
    """Share of bars that rose.

    Formula: mean(c > c[1]) over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window or the bar before it holds a missing bar.
    """
    return trailing_mean(rises(close), window)


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",), reads_previous=True)
def cntn(close: Tensor, *, window: int) -> Tensor:
    """Share of bars that fell.

    Formula: mean(c < c[1]) over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window or the bar before it holds a missing bar.
    """
    return trailing_mean(falls(close), window)


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",), reads_previous=True)
def cntd(close: Tensor, *, window: int) -> Tensor:
    """Share of bars that rose less the share that fell.

    Formula: mean(c > c[1]) - mean(c < c[1]) over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window or the bar before it holds a missing bar.
    """
    return (trailing_sum(rises(close), window) - trailing_sum(falls(close), window)) / window


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",), reads_previous=True)
def sump(close: Tensor, *, window: int) -> Tensor:
    """Rises as a share of all moves.

    Formula: sum(max(c - c[1], 0)) / (sum(abs(c - c[1])) + 1e-12) over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window or the bar before it holds a missing bar.
    """
    moves = change(close, close)
    return trailing_sum(positive_part(moves), window) / _total(moves, window)


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",), reads_previous=True)
def sumn(close: Tensor, *, window: int) -> Tensor:
    """Falls as a share of all moves.

    Formula: sum(max(c[1] - c, 0)) / (sum(abs(c - c[1])) + 1e-12) over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window or the bar before it holds a missing bar.
    """
    moves = change(close, close)
    return trailing_sum(negative_part(moves), window) / _total(moves, window)


@feature(family=FAMILY, windows=WINDOWS, inputs=("close",), reads_previous=True)
def sumd(close: Tensor, *, window: int) -> Tensor:
    """Rises less falls, as a share of all moves.

    Formula: sump - sumn
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window or the bar before it holds a missing bar.
    """
    return _net(change(close, close), window)


@feature(family=FAMILY, windows=WINDOWS, inputs=("volume",))
def vma(volume: Tensor, *, window: int) -> Tensor:
    """Mean volume over the volume.

    Formula: mean(v) / (v + 1e-12) over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar or volume.
        NaN too where v is zero.
    """
    return trailing_mean(volume, window) / _nonzero(volume)


@feature(family=FAMILY, windows=WINDOWS, inputs=("volume",))
def vstd(volume: Tensor, *, window: int) -> Tensor:
    """Standard deviation of volume over the volume.

    Formula: std(v) / (v + 1e-12) over d bars, ddof 1
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window holds a missing bar or volume.
        NaN too where v is zero.
    """
    return trailing_std(volume, window) / _nonzero(volume)


@feature(family=FAMILY, windows=WINDOWS, inputs=("close", "volume"), reads_previous=True)
def wvma(close: Tensor, volume: Tensor, *, window: int) -> Tensor:
    """Variation of volume-weighted absolute returns.

    Formula: std(x) / (mean(x) + 1e-12), x = abs(c / c[1] - 1) v, over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window or the bar before it holds a missing bar or volume.
    """
    weighted = _weighted_moves(close, volume)
    return trailing_std(weighted, window) / (trailing_mean(weighted, window) + EPSILON)


@feature(family=FAMILY, windows=WINDOWS, inputs=("volume",), reads_previous=True)
def vsump(volume: Tensor, *, window: int) -> Tensor:
    """Rises of volume as a share of all its moves.

    Formula: sum(max(v - v[1], 0)) / (sum(abs(v - v[1])) + 1e-12) over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window or the bar before it holds a missing bar or volume.
    """
    moves = step(volume)
    return trailing_sum(positive_part(moves), window) / _total(moves, window)


@feature(family=FAMILY, windows=WINDOWS, inputs=("volume",), reads_previous=True)
def vsumn(volume: Tensor, *, window: int) -> Tensor:
    """Falls of volume as a share of all its moves.

    Formula: sum(max(v[1] - v, 0)) / (sum(abs(v - v[1])) + 1e-12) over d bars
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window or the bar before it holds a missing bar or volume.
    """
    moves = step(volume)
    return trailing_sum(negative_part(moves), window) / _total(moves, window)


@feature(family=FAMILY, windows=WINDOWS, inputs=("volume",), reads_previous=True)
def vsumd(volume: Tensor, *, window: int) -> Tensor:
    """Rises of volume less its falls, as a share of all its moves.

    Formula: vsump - vsumn
    Source: Alpha158 as published with qlib.
    Missing: NaN where the window or the bar before it holds a missing bar or volume.
    """
    return _net(step(volume), window)
