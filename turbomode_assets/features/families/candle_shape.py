"""Candle shape: body and shadows of the session's own bar (9 features of Alpha158)."""

import torch
from torch import Tensor

from turbomode_assets.features.conventions import EPSILON
from turbomode_assets.features.registry import feature

FAMILY = "candle_shape"


def _range(high: Tensor, low: Tensor) -> Tensor:
    return high - low + EPSILON


def _upper_shadow(open: Tensor, high: Tensor, close: Tensor) -> Tensor:
    return high - torch.maximum(open, close)


def _lower_shadow(open: Tensor, low: Tensor, close: Tensor) -> Tensor:
    return torch.minimum(open, close) - low


def _shift(high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    return 2 * close - high - low


@feature(family=FAMILY, windows=(1,), inputs=("open", "close"))
def kmid(open: Tensor, close: Tensor) -> Tensor:
    """Body over the open.

    Formula: (c - o) / o
    Source: Alpha158 as published with qlib.
    Missing: where the session has no bar.
    """
    return (close - open) / open


@feature(family=FAMILY, windows=(1,), inputs=("open", "high", "low"))
def klen(open: Tensor, high: Tensor, low: Tensor) -> Tensor:
    """Range over the open.

    Formula: (h - l) / o
    Source: Alpha158 as published with qlib.
    Missing: where the session has no bar.
    """
    return (high - low) / open


@feature(family=FAMILY, windows=(1,), inputs=("open", "high", "low", "close"))
def kmid2(open: Tensor, high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    """Body over the range.

    Formula: (c - o) / (h - l + 1e-12)
    Source: Alpha158 as published with qlib.
    Missing: where the session has no bar.
    """
    return (close - open) / _range(high, low)


@feature(family=FAMILY, windows=(1,), inputs=("open", "high", "close"))
def kup(open: Tensor, high: Tensor, close: Tensor) -> Tensor:
    """Upper shadow over the open.

    Formula: (h - max(o, c)) / o
    Source: Alpha158 as published with qlib.
    Missing: where the session has no bar.
    """
    return _upper_shadow(open, high, close) / open


@feature(family=FAMILY, windows=(1,), inputs=("open", "high", "low", "close"))
def kup2(open: Tensor, high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    """Upper shadow over the range.

    Formula: (h - max(o, c)) / (h - l + 1e-12)
    Source: Alpha158 as published with qlib.
    Missing: where the session has no bar.
    """
    return _upper_shadow(open, high, close) / _range(high, low)


@feature(family=FAMILY, windows=(1,), inputs=("open", "low", "close"))
def klow(open: Tensor, low: Tensor, close: Tensor) -> Tensor:
    """Lower shadow over the open.

    Formula: (min(o, c) - l) / o
    Source: Alpha158 as published with qlib.
    Missing: where the session has no bar.
    """
    return _lower_shadow(open, low, close) / open


@feature(family=FAMILY, windows=(1,), inputs=("open", "high", "low", "close"))
def klow2(open: Tensor, high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    """Lower shadow over the range.

    Formula: (min(o, c) - l) / (h - l + 1e-12)
    Source: Alpha158 as published with qlib.
    Missing: where the session has no bar.
    """
    return _lower_shadow(open, low, close) / _range(high, low)


@feature(family=FAMILY, windows=(1,), inputs=("open", "high", "low", "close"))
def ksft(open: Tensor, high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    """Where in its range the bar closed, over the open.

    Formula: (2c - h - l) / o
    Source: Alpha158 as published with qlib.
    Missing: where the session has no bar.
    """
    return _shift(high, low, close) / open


@feature(family=FAMILY, windows=(1,), inputs=("high", "low", "close"))
def ksft2(high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    """Where in its range the bar closed, over the range.

    Formula: (2c - h - l) / (h - l + 1e-12)
    Source: Alpha158 as published with qlib.
    Missing: where the session has no bar.
    """
    return _shift(high, low, close) / _range(high, low)
