"""Compiled loops over single sessions: arithmetic and comparisons of registers (`interpreter`).

The loops take places in the register file and cut the series out themselves: to hand an array to a
compiled function costs as much as a hundred additions.
"""

import math

from numba import njit

from turbomode_assets.features.compiler import logarithms
from turbomode_assets.features.compiler.kernels import Doubles
from turbomode_assets.features.compiler.opcodes import Op

_compiled = njit(nogil=True, error_model="numpy")  # cached as part of `interpreter.run`


@_compiled
def combine(op: int, file: Doubles, length: int, to: int, first: int, second: int) -> None:
    """Operations on two series."""
    out = file[to : to + length]
    x, y = file[first : first + length], file[second : second + length]
    if op == Op.ADD:
        for at in range(len(out)):
            out[at] = x[at] + y[at]
    elif op == Op.SUBTRACT:
        for at in range(len(out)):
            out[at] = x[at] - y[at]
    elif op == Op.MULTIPLY:
        for at in range(len(out)):
            out[at] = x[at] * y[at]
    elif op == Op.DIVIDE:
        for at in range(len(out)):
            out[at] = x[at] / y[at]
    elif op == Op.LARGER:
        for at in range(len(out)):
            # A comparison alone would lose a NaN on its left; the difference brings it back.
            out[at] = (x[at] if x[at] > y[at] else y[at]) + (x[at] - x[at])
    elif op == Op.SMALLER:
        for at in range(len(out)):
            out[at] = (x[at] if x[at] < y[at] else y[at]) + (x[at] - x[at])
    elif op == Op.IS_ABOVE:
        for at in range(len(out)):
            out[at] = 1.0 if x[at] > y[at] else 0.0
    elif op == Op.IS_BELOW:
        for at in range(len(out)):
            out[at] = 1.0 if x[at] < y[at] else 0.0


@_compiled
def transform(op: int, file: Doubles, length: int, to: int, first: int, number: float) -> None:
    """Operations on one series and a number."""
    out, x = file[to : to + length], file[first : first + length]
    if op == Op.ADD_NUMBER:
        for at in range(len(out)):
            out[at] = x[at] + number
    elif op == Op.SUBTRACT_FROM_NUMBER:
        for at in range(len(out)):
            out[at] = number - x[at]
    elif op == Op.SCALE:
        for at in range(len(out)):
            out[at] = x[at] * number
    elif op == Op.DIVIDE_NUMBER:
        for at in range(len(out)):
            out[at] = number / x[at]
    elif op == Op.IS_ABOVE_NUMBER:
        for at in range(len(out)):
            out[at] = 1.0 if x[at] > number else 0.0
    elif op == Op.IS_BELOW_NUMBER:
        for at in range(len(out)):
            out[at] = 1.0 if x[at] < number else 0.0
    elif op == Op.AT_LEAST_NUMBER:
        for at in range(len(out)):
            out[at] = (x[at] if x[at] > number else number) + (x[at] - x[at])
    elif op == Op.AT_MOST_NUMBER:
        for at in range(len(out)):
            out[at] = (x[at] if x[at] < number else number) + (x[at] - x[at])
    elif op == Op.ABSOLUTE:
        for at in range(len(out)):
            out[at] = abs(x[at])
    elif op == Op.SQUARE_ROOT:
        for at in range(len(out)):
            out[at] = math.sqrt(x[at])
    elif op == Op.LOG:
        logarithms.log(x, out)
    elif op == Op.LOG_OF_ONE_MORE:
        logarithms.log_of_one_more(x, out)
    elif op == Op.TANH:
        logarithms.tanh(x, out)
    elif op == Op.IS_FINITE:
        for at in range(len(out)):
            out[at] = 1.0 if x[at] - x[at] == 0.0 else 0.0
    elif op == Op.ZERO_FOR_MISSING:
        for at in range(len(out)):
            out[at] = x[at] if x[at] == x[at] else 0.0


@_compiled
def merge(
    op: int,
    file: Doubles,
    length: int,
    to: int,
    first: int,
    second: int,
    third: int,
    fourth: int,
    number: float,
) -> None:
    """Operations on up to four series and a number."""
    out = file[to : to + length]
    x, y = file[first : first + length], file[second : second + length]
    z, u = file[third : third + length], file[fourth : fourth + length]
    if op == Op.UNDEFINED_WHERE:
        for at in range(len(out)):
            out[at] = x[at] if y[at] == 0.0 else math.nan
    elif op == Op.UNDEFINED_BELOW:
        for at in range(len(out)):
            out[at] = math.nan if y[at] < z[at] else x[at]
    elif op == Op.DIFFERENCE:
        for at in range(len(out)):
            step = x[at] - y[at]
            out[at] = 0.0 if abs(step) < number * z[at] else step
    elif op == Op.PRODUCT_ON_TOP:
        for at in range(len(out)):
            out[at] = x[at] + y[at] * z[at] * number
    elif op == Op.PRODUCT_ON_SUM:
        for at in range(len(out)):
            out[at] = x[at] + y[at] + z[at] * u[at] * number
    elif op == Op.SCALED_ON_TOP:
        for at in range(len(out)):
            out[at] = x[at] + y[at] * number
    elif op == Op.SCALED_ON_SUM:
        for at in range(len(out)):
            out[at] = x[at] + y[at] + z[at] * number
    elif op == Op.CORRELATION:
        for at in range(len(out)):
            value = z[at] / math.sqrt(x[at] * y[at])
            constant = (x[at] < u[at]) | (y[at] < number)
            out[at] = math.nan if constant else value


@_compiled
def order_pair(
    file: Doubles, length: int, smaller: int, larger: int, first: int, second: int
) -> None:
    """The smaller and the larger of two series; of no use where one is NaN."""
    low, high = file[smaller : smaller + length], file[larger : larger + length]
    x, y = file[first : first + length], file[second : second + length]
    for at in range(len(low)):
        is_ordered = x[at] < y[at]
        low[at] = x[at] if is_ordered else y[at]
        high[at] = y[at] if is_ordered else x[at]
