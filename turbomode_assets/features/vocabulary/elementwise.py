"""The vocabulary of formulas: operations on single bars and the bar before.

Tensors are [symbols, sessions] in float64; NaN in, NaN out.
"""

import math

import torch
from torch import Tensor

from turbomode_assets.features.compiler.opcodes import Op
from turbomode_assets.features.compiler.tracing import is_traced
from turbomode_assets.features.conventions import TIE
from turbomode_assets.features.vocabulary.operations import operation


@operation(version=1)
def lagged(series: Tensor, bars: int) -> Tensor:
    """Value `bars` bars earlier."""
    if is_traced(series):
        return series.lagged(bars)
    out = torch.empty_like(series)
    out[:, :bars] = math.nan
    if bars < series.shape[1]:
        out[:, bars:] = series[:, : series.shape[1] - bars]
    return out


@operation(version=1)
def ones(series: Tensor) -> Tensor:
    """One where there is a value."""
    return (series - series) + 1


@operation(version=1)
def log(series: Tensor) -> Tensor:
    """Natural logarithm."""
    return series.log()


@operation(version=1)
def log_of_one_more(series: Tensor) -> Tensor:
    """Natural logarithm of the value plus one."""
    return series.log1p()


@operation(version=1)
def growth(series: Tensor) -> Tensor:
    """Ratio to the bar before."""
    return series / lagged(series, 1)


@operation(version=1)
def difference(minuend: Tensor, subtrahend: Tensor, close: Tensor) -> Tensor:
    """Difference of two prices of one symbol; 0 where they are equal within `TIE` of the close."""
    if is_traced(minuend):
        return minuend.note(Op.DIFFERENCE, subtrahend, close, number=TIE)
    plain = minuend - subtrahend
    # A product keeps NaN where a comparison would lose it.
    return plain.mul_(plain.abs() >= TIE * close)


@operation(version=1)
def change(price: Tensor, close: Tensor) -> Tensor:
    """Change of a price since the bar before; 0 for a tie."""
    return difference(price, lagged(price, 1), close)


@operation(version=1)
def step(series: Tensor) -> Tensor:
    """Difference to the bar before, exactly: for volumes, which know no ties."""
    return series - lagged(series, 1)


@operation(version=1)
def rises(close: Tensor) -> Tensor:
    """1 where the close rose since the bar before, else 0."""
    moves = change(close, close)
    return (moves > 0) + (moves - moves)


@operation(version=1)
def falls(close: Tensor) -> Tensor:
    """1 where the close fell since the bar before, else 0."""
    moves = change(close, close)
    return (moves < 0) + (moves - moves)


@operation(version=1)
def absolute(series: Tensor) -> Tensor:
    """Absolute value."""
    return series.abs()


@operation(version=1)
def positive_part(series: Tensor) -> Tensor:
    """The value where it is positive, else 0."""
    return series.clamp(min=0.0)


@operation(version=1)
def negative_part(series: Tensor) -> Tensor:
    """Minus the value where it is negative, else 0."""
    return (-series).clamp_(min=0.0)


def scaled_on_top(base: Tensor, series: Tensor, scale: float) -> Tensor:
    """Base plus the series times a number."""
    if is_traced(base):
        return base.note(Op.SCALED_ON_TOP, series, number=scale)
    return base + series * scale


def product_on_top(base: Tensor, x: Tensor, y: Tensor, scale: float) -> Tensor:
    """Base plus the product of two series and a number."""
    if is_traced(base):
        return base.note(Op.PRODUCT_ON_TOP, x, y, number=scale)
    return base + x * y * scale


@operation(version=1)
def undefined_where(values: Tensor, condition: Tensor) -> Tensor:
    """Set the values to NaN where the condition holds, in place."""
    return values.masked_fill(condition, math.nan)
