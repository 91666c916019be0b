"""The compiled loop that runs a program (`programs`) over a panel on the CPU.

It takes one symbol after the other, a block of sessions at a time, so that all registers stay in
the second-level cache; where few sessions are asked for, it takes several symbols side by side,
whose values of a session then lie next to each other, to give each step enough to do. The
arithmetic of a cell depends on its window alone, not on the block or on who is beside it.
"""

import functools
import hashlib
import inspect
import math
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numba import njit

from turbomode_assets.features.compiler import kernels, logarithms, opcodes, pointwise
from turbomode_assets.features.compiler.kernels import Doubles, Singles
from turbomode_assets.features.compiler.opcodes import Op

Integers = npt.NDArray[np.int64]

# Not cached one by one: numba looks for changes in a function's own file alone, and these are made
# of what other files hold. `run` caches the whole under a digest of all of them.
_compiled = njit(nogil=True, error_model="numpy")
_SOURCES = (opcodes, kernels, logarithms, pointwise, sys.modules[__name__])


@functools.cache
def run() -> Callable[..., None]:
    """Return `_run`, compiled once for each state of the files that it is made of."""
    texts = "".join(inspect.getsource(module) for module in _SOURCES)
    sources = int(hashlib.sha256(texts.encode()).hexdigest()[:15], 16)

    @njit(nogil=True, cache=True, error_model="numpy")
    def whole(
        steps: Integers,
        numbers: Doubles,
        end: int,
        reach: int,
        block: int,
        beside: int,
        inputs: Doubles,
        benchmark: Doubles,
        present: npt.NDArray[np.bool_],
        first: int,
        row: int,
        out: Singles,
    ) -> None:
        # What a function closes over is part of its key in the cache.
        if sources >= 0:
            _run(
                steps,
                numbers,
                end,
                reach,
                block,
                beside,
                inputs,
                benchmark,
                present,
                first,
                row,
                out,
            )

    return whole


@_compiled
def _run(
    steps: Integers,
    numbers: Doubles,
    end: int,
    reach: int,
    block: int,
    beside: int,
    inputs: Doubles,
    benchmark: Doubles,
    present: npt.NDArray[np.bool_],
    first: int,
    row: int,
    out: Singles,
) -> None:
    """Run a program over some symbols, from session `first` on.

    Args:
        steps: operation, sessions to compute before the block's first, the registers of target and
            operands (as offsets of the block's first session but those, lags included), window,
            until: [steps, 9].
        numbers: number of each step.
        end: where the registers end; after them comes one of ones.
        reach: sessions before the block that the inputs are read for.
        block: sessions that are worked on at once.
        beside: symbols that are worked on at once.
        inputs: all inputs but the benchmark's close: [inputs, symbols, sessions].
        benchmark: close of the benchmark, the last input: [sessions].
        present: whether the symbol has a bar: [symbols, sessions].
        first: the first session to compute.
        row: where the rows of these symbols begin.
        out: what the features become: [features, bars of all symbols from `first` on].
    """
    symbols, sessions = present.shape
    width = (reach + block) * beside
    held = np.zeros((beside, sessions), np.int32)
    starts = np.zeros(beside, np.int64)
    file = np.empty(end + block * beside)
    file[end:] = 1.0
    for symbol in range(0, symbols, beside):
        together = min(beside, symbols - symbol)
        for lane in range(together):
            starts[lane] = row
            row += _count_bars_in_a_row(present[symbol + lane], first, held[lane])
        for begin in range(first, sessions, block):
            count = min(block, sessions - begin)
            for lane in range(beside):
                # Lanes without a symbol repeat the last one; nobody reads them.
                source = symbol + min(lane, together - 1)
                for number in range(len(inputs) + 1):
                    series = inputs[number, source] if number < len(inputs) else benchmark
                    at = number * width + lane
                    _load(series, begin - reach, reach + count, beside, file[at:])
            # A copy, as loops over parts of rows that lie apart are not vectorised.
            these = held[:together, begin : begin + count].copy()
            _run_block(steps, numbers, file, beside, these, starts, out)


@_compiled
def _load(series: Doubles, begin: int, count: int, beside: int, target: Doubles) -> None:
    """Copy sessions from `begin` on to every `beside`-th place; those before the first are NaN."""
    for at in range(count):
        target[at * beside] = series[begin + at] if begin + at >= 0 else math.nan


@_compiled
def _count_bars_in_a_row(
    present: npt.NDArray[np.bool_], first: int, held: npt.NDArray[np.int32]
) -> int:
    """Count the bars up to each session without a gap; return how many bars there are at all."""
    bars, rows = np.int32(0), 0
    for session in range(len(present)):
        bars = bars + np.int32(1) if present[session] else np.int32(0)
        held[session] = bars
        rows += (session >= first) & present[session]
    return rows


@_compiled
def _run_block(
    steps: Integers,
    numbers: Doubles,
    file: Doubles,
    beside: int,
    held: npt.NDArray[np.int32],
    starts: Integers,
    out: Singles,
) -> None:
    """Run all steps over a block, and move `starts` on to the rows of the next."""
    symbols, count = held.shape
    rows = np.zeros(symbols, np.int64)
    for lane in range(symbols):
        rows[lane] = np.count_nonzero(held[lane])
    for at in range(len(steps)):
        op, before, to, x, y, z, u, window, until = steps[at]
        number = numbers[at]
        length = (before + count) * beside
        if op <= Op.IS_BELOW:
            pointwise.combine(op, file, length, to, x, y)
        elif op <= Op.ZERO_FOR_MISSING:
            pointwise.transform(op, file, length, to, x, number)
        elif op <= Op.CORRELATION:
            pointwise.merge(op, file, length, to, x, y, z, u, number)
        elif op == Op.SMALLER_OF_PAIR:
            pointwise.order_pair(file, length, to, until, x, y)
        elif op == Op.WRITE:
            values, factors = file[x : x + length], file[y : y + length]
            column = out[window]
            if beside == 1:
                cells = column[starts[0] : starts[0] + rows[0]]
                kernels.write_product(values, factors, number, held[0], until, cells)
            else:
                kernels.write_beside(values, factors, number, beside, held, until, starts, column)
        else:
            _order(op, file, length, beside, to, x, y, window, until, number)
    for lane in range(symbols):
        starts[lane] += rows[lane]


@_compiled
def _order(
    op: int,
    file: Doubles,
    length: int,
    beside: int,
    to: int,
    x: int,
    y: int,
    window: int,
    until: int,
    number: float,
) -> None:
    """Operations that read a window of the series whose value at the first session is at `x`."""
    back = (until if op == Op.COUNT_LOWER else window) - 1
    series = file[x - back * beside : x + length]
    target = file[to : to + length]
    second = file[y : y + length]
    if op == Op.COUNT_LOWER:
        kernels.count_lower(series, second, beside, window, until, number, target)
    elif op == Op.FIRST_ABOVE:
        kernels.first_position(series, second, beside, window, target)
    elif op == Op.MEAN_DEVIATION:
        kernels.mean_deviation(series, second, beside, window, target)
    elif op == Op.DIRECTIONAL_INDEX:
        falls = file[y - back * beside : y + length]
        kernels.directional_index(series, falls, beside, until, window, target)
