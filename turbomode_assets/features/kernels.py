"""Compiled loops over one series for order, position and nested recursion, and to write features.

Each has the meaning of the function of `ordering` or `smoothing` that notes it, and is tested
against its version in torch. `series` begins `window` - 1 bars before the first session of `out`;
values of `beside` symbols lie next to each other. NaN where a bar of the window is missing. The
arithmetic of a cell depends on its window alone. Compiled code is cached beside this module.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

LANES = 256
"""Sessions worked on side by side, so that their state stays in the first-level cache."""

_compiled = njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def quantiles(series: Doubles, window: int, lower: float, low: Doubles, high: Doubles) -> None:
    """Quantiles `lower` and 1 - `lower`, linearly interpolated, from a window kept sorted."""
    upper = 1.0 - lower
    low_at, high_at = int(lower * (window - 1)), int(upper * (window - 1))
    low_share, high_share = lower * (window - 1) - low_at, upper * (window - 1) - high_at
    ordered = np.empty(window)
    held = 0
    for newest in range(len(series)):
        session = newest - window + 1
        if session >= 0:
            low[session] = math.nan
            high[session] = math.nan
        value = series[newest]
        if math.isnan(value):
            held = 0
            continue
        if held < window:
            place = held
            held += 1
        else:
            place = np.searchsorted(ordered, series[newest - window])
            while place + 1 < window and ordered[place + 1] < value:
                ordered[place] = ordered[place + 1]
                place += 1
        while place > 0 and ordered[place - 1] > value:
            ordered[place] = ordered[place - 1]
            place -= 1
        ordered[place] = value
        if held == window:
            step = ordered[low_at + 1] - ordered[low_at]
            low[session] = ordered[low_at] + step * low_share
            step = ordered[high_at + 1] - ordered[high_at]
            high[session] = ordered[high_at] + step * high_share


@_compiled
def count_lower(
    series: Doubles,
    before: Doubles,
    beside: int,
    window: int,
    until: int,
    tie: float,
    out: Doubles,
) -> None:
    """`before`, and for each bar from `window` to `until` ago two if it is lower, one for a tie.

    Prices closer than `tie` of the last one are a tie. `series` begins `until` - 1 bars before.
    """
    for begin in range(0, len(out), LANES):
        lanes = min(LANES, len(out) - begin)
        newest = begin + (until - 1) * beside
        last, halves = series[newest : newest + lanes], out[begin : begin + lanes]
        halves[:] = before[begin : begin + lanes]
        for bars in range(window, until):
            oldest = newest - bars * beside
            earlier = series[oldest : oldest + lanes]
            for lane in range(lanes):
                # A missing bar makes it all NaN.
                step = last[lane] - earlier[lane]
                margin = tie * last[lane]
                halves[lane] += (step >= margin) + (step > -margin) + (step - step)


@_compiled
def first_position(
    series: Doubles, threshold: Doubles, beside: int, window: int, sign: float, out: Doubles
) -> None:
    """Position 1..window, from the oldest bar, of the first price beyond the session's threshold.

    Beyond is above for `sign` 1, below for -1.
    """
    for begin in range(0, len(out), LANES):
        lanes = min(LANES, len(out) - begin)
        newest = begin + (window - 1) * beside
        bound, found = threshold[begin : begin + lanes], out[begin : begin + lanes]
        found[:] = window
        # From the newest bar to the oldest, so that the oldest one found stays.
        for bars in range(1, window):
            oldest = newest - bars * beside
            earlier = series[oldest : oldest + lanes]
            place = float(window - bars)
            for lane in range(lanes):
                is_beyond = sign * earlier[lane] > sign * bound[lane]
                found[lane] = place if is_beyond else found[lane]
        for lane in range(lanes):
            found[lane] += bound[lane] - bound[lane]


@_compiled
def mean_deviation(series: Doubles, mean: Doubles, beside: int, window: int, out: Doubles) -> None:
    """Mean absolute deviation of each window from its mean."""
    out[:] = 0.0
    for bars in range(window):
        row = series[(window - 1 - bars) * beside :]
        for at in range(len(out)):
            out[at] += abs(row[at] - mean[at])
    for at in range(len(out)):
        out[at] /= window


@_compiled
def directional_index(
    plus: Doubles, minus: Doubles, beside: int, period: int, window: int, out: Doubles
) -> None:
    """Wilder's ADX as a fraction, its recursion run once inside every window of moves.

    In float32: a move's share fades with each step, and rounding with it (1e-6 in the end).
    """
    up, down = plus.astype(np.float32), minus.astype(np.float32)
    lanes_up, lanes_down = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    lanes_average = np.empty(LANES, np.float32)
    share, nothing = np.float32(1.0 / period), np.float32(0.0)
    for oldest in range(0, len(out), LANES):
        lanes = min(LANES, len(out) - oldest)
        smooth_up, smooth_down = lanes_up[:lanes], lanes_down[:lanes]
        average = lanes_average[:lanes]
        smooth_up[:] = nothing
        smooth_down[:] = nothing
        for step in range(period):
            at = oldest + step * beside
            rises, falls = up[at:], down[at:]
            for lane in range(lanes):
                smooth_up[lane] += rises[lane] * share
                smooth_down[lane] += falls[lane] * share
        for lane in range(lanes):
            total = smooth_up[lane] + smooth_down[lane]
            average[lane] = abs(smooth_up[lane] - smooth_down[lane]) / total * share
        for step in range(period, window):
            fade = nothing if step < 2 * period - 1 else share
            at = oldest + step * beside
            rises, falls = up[at:], down[at:]
            _smooth(smooth_up, smooth_down, average, rises, falls, share, fade)
        for lane in range(lanes):
            out[oldest + lane] = average[lane]


@_compiled
def _smooth(
    smooth_up: Singles,
    smooth_down: Singles,
    average: Singles,
    rises: Singles,
    falls: Singles,
    share: np.float32,
    fade: np.float32,
) -> None:
    """Take all lanes one move further."""
    for lane in range(len(average)):
        up = smooth_up[lane] + (rises[lane] - smooth_up[lane]) * share
        down = smooth_down[lane] + (falls[lane] - smooth_down[lane]) * share
        smooth_up[lane] = up
        smooth_down[lane] = down
        average[lane] += abs(up - down) / (up + down) * share - average[lane] * fade


@_compiled
def write_row(
    values: npt.NDArray[np.floating],
    bars_in_a_row: npt.NDArray[np.int32],
    bars: int,
    out: Singles,
) -> None:
    """Write the sessions that have a bar, in order; NaN where a window is not complete or defined.

    Infinities become NaN. `out` has a place for each session that has a bar.
    """
    needed, nothing = np.int32(bars), np.float32(math.nan)
    if len(out) == len(values):
        for at in range(len(out)):
            single = np.float32(values[at])
            finite = single + (single - single)
            out[at] = finite if bars_in_a_row[at] >= needed else nothing
        return
    row = 0
    for at in range(len(values)):
        if bars_in_a_row[at]:
            single = np.float32(values[at])
            finite = single + (single - single)
            out[row] = finite if bars_in_a_row[at] >= needed else nothing
            row += 1


@_compiled
def write_beside(
    values: Doubles,
    beside: int,
    bars_in_a_row: npt.NDArray[np.int32],
    bars: int,
    starts: npt.NDArray[np.int64],
    out: Singles,
) -> None:
    """`write_row` for symbols beside one another, whose rows begin at `starts`."""
    symbols, count = bars_in_a_row.shape
    for symbol in range(symbols):
        row = starts[symbol]
        for at in range(count):
            held = bars_in_a_row[symbol, at]
            if held:
                single = np.float32(values[at * beside + symbol])
                finite = single + (single - single)
                out[row] = finite if held >= bars else np.float32(math.nan)
                row += 1


@_compiled
def write_rows(
    values: npt.NDArray[np.floating],
    bars_in_a_row: npt.NDArray[np.int32],
    bars: int,
    out: Singles,
) -> None:
    """`write_row` for one symbol after the other: [symbols, sessions]."""
    row = 0
    for symbol in range(len(values)):
        held = bars_in_a_row[symbol]
        rows = int(np.count_nonzero(held))
        write_row(values[symbol], held, bars, out[row : row + rows])
        row += rows
