"""Price level: the session's other prices against its close (4 features of Alpha158)."""

from torch import Tensor

from turbomode_assets.features.registry import feature

FAMILY = "price_level"


@feature(family=FAMILY, windows=(1,), inputs=("open", "close"))
def open0(open: Tensor, close: Tensor) -> Tensor:
    """Open over the close.

    Formula: o / c
    Source: Alpha158 as published with qlib.
    Missing: where the session has no bar.
    """
    return open / close


@feature(family=FAMILY, windows=(1,), inputs=("high", "close"))
def high0(high: Tensor, close: Tensor) -> Tensor:
    """High over the close.

    Formula: h / c
    Source: Alpha158 as published with qlib.
    Missing: where the session has no bar.
    """
    return high / close


@feature(family=FAMILY, windows=(1,), inputs=("low", "close"))
def low0(low: Tensor, close: Tensor) -> Tensor:
    """Low over the close.

    Formula: l / c
    Source: Alpha158 as published with qlib.
    Missing: where the session has no bar.
    """
    return low / close


@feature(family=FAMILY, windows=(1,), inputs=("high", "low", "close"))
def vwap0(high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    """Typical price over the close.

    Formula: (h + l + c) / 3 / c
    Source: Alpha158 as published with qlib; the typical price stands in for a vendor's VWAP, so
        that vendors cannot disagree.
    Missing: where the session has no bar.
    """
    return (high + low + close) / 3 / close
