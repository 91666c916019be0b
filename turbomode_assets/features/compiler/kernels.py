"""Compiled loops for order, position, nested recursion and ranks, and to write features.

Each has the meaning of the function of `ordering`, `smoothing` or `cross_section` that calls for
it, and is tested against its version in torch. `series` begins `window` - 1 bars before the first
session of `out`; values of `beside` symbols lie next to each other. NaN where a bar of the window
is missing. The arithmetic of a cell depends on its window alone. Compiled code is cached beside
this module.
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
        in_fours = window + (until - window) // 4 * 4
        for bars in range(window, in_fours, 4):
            _count_four(series[newest - (bars + 3) * beside :], beside, last, tie, halves)
        for bars in range(in_fours, until):
            earlier = series[newest - bars * beside :]
            for lane in range(lanes):
                margin = tie * last[lane]
                step = last[lane] - earlier[lane]
                # A missing bar makes it all NaN.
                halves[lane] += (step >= margin) + (step > -margin) + (step - step)


@_compiled
def _count_four(series: Doubles, beside: int, last: Doubles, tie: float, halves: Doubles) -> None:
    """Count four bars at once, for which the count is loaded and stored only once."""
    a, b, c, d = series, series[beside:], series[2 * beside :], series[3 * beside :]
    for lane in range(len(halves)):
        margin = tie * last[lane]
        w, x = last[lane] - a[lane], last[lane] - b[lane]
        y, z = last[lane] - c[lane], last[lane] - d[lane]
        lower = (w >= margin) + (x >= margin) + (y >= margin) + (z >= margin)
        not_higher = (w > -margin) + (x > -margin) + (y > -margin) + (z > -margin)
        steps = w + x + y + z
        halves[lane] += lower + not_higher + (steps - steps)


@_compiled
def first_position(
    series: Doubles, threshold: Doubles, beside: int, window: int, out: Doubles
) -> None:
    """Position 1..window, from the oldest bar, of the first price above the session's threshold."""
    for begin in range(0, len(out), LANES):
        lanes = min(LANES, len(out) - begin)
        bound, found = threshold[begin : begin + lanes], out[begin : begin + lanes]
        for lane in range(lanes):
            found[lane] = window + (bound[lane] - bound[lane])
        # From the newest bar to the oldest, so that the oldest one found stays; some are looked at
        # twice where the window is no multiple of five.
        for newest in range(window - 1, -1, -5):
            oldest = max(newest - 4, 0)
            _look_at_five(series[begin:], oldest, window - 1, beside, bound, found)


@_compiled
def _look_at_five(
    series: Doubles, oldest: int, newest: int, beside: int, bound: Doubles, found: Doubles
) -> None:
    """Look at five bars from `oldest` on, but none after `newest`: see `_count_four`."""
    one, two = min(oldest + 1, newest), min(oldest + 2, newest)
    three, four = min(oldest + 3, newest), min(oldest + 4, newest)
    a, b, c = series[oldest * beside :], series[one * beside :], series[two * beside :]
    d, e = series[three * beside :], series[four * beside :]
    for lane in range(len(found)):
        limit, place = bound[lane], found[lane]
        place = four + 1.0 if e[lane] > limit else place
        place = three + 1.0 if d[lane] > limit else place
        place = two + 1.0 if c[lane] > limit else place
        place = one + 1.0 if b[lane] > limit else place
        found[lane] = oldest + 1.0 if a[lane] > limit else place


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

    It follows the sum of both smoothed moves and their difference, neither divided by the period,
    as only their ratio counts. In float32: a move's share fades with each step, and rounding with
    it (1e-6 in the end).
    """
    both, lead = (plus + minus).astype(np.float32), (plus - minus).astype(np.float32)
    weights, fade = _weights_of_index(period, window), np.float32(1.0 - 1.0 / period)
    in_fours = period + (window - period) % 4
    state = np.empty(3 * LANES, np.float32)
    for oldest in range(0, len(out), LANES):
        lanes = min(LANES, len(out) - oldest)
        state[:] = np.float32(0.0)
        for step in range(in_fours):
            at = oldest + step * beside
            kept = np.float32(1.0) if step < period else fade
            _take_one(state, lanes, both[at:], lead[at:], kept, weights[step])
        for step in range(in_fours, window, 4):
            at = oldest + step * beside
            _take_four(state, lanes, beside, both[at:], lead[at:], fade, weights[step:])
        for lane in range(lanes):
            out[oldest + lane] = state[2 * LANES + lane]


@_compiled
def _weights_of_index(period: int, window: int) -> Singles:
    """Weights of the directional index after each move in Wilder's mean: none before the first."""
    weights = np.zeros(window, np.float32)
    for step in range(period - 1, window):
        faded = min(window - 1 - step, window - 2 * period + 1)
        weights[step] = (1.0 - 1.0 / period) ** faded / period
    return weights


@_compiled
def _take_one(
    state: Singles, lanes: int, both: Singles, lead: Singles, kept: np.float32, weight: np.float32
) -> None:
    """Take all lanes one move further. The state is the sum, the difference and the average."""
    for lane in range(lanes):
        total = state[lane] * kept + both[lane]
        ahead = state[LANES + lane] * kept + lead[lane]
        if weight > 0.0:
            state[2 * LANES + lane] += abs(ahead) / total * weight
        state[lane] = total
        state[LANES + lane] = ahead


@_compiled
def _take_four(
    state: Singles,
    lanes: int,
    beside: int,
    both: Singles,
    lead: Singles,
    kept: np.float32,
    weights: Singles,
) -> None:
    """Take all lanes four moves further: the state is loaded and stored only once for them.

    The state is one array, as a loop over too many arrays is not vectorised.
    """
    both_2, both_3, both_4 = both[beside:], both[2 * beside :], both[3 * beside :]
    lead_2, lead_3, lead_4 = lead[beside:], lead[2 * beside :], lead[3 * beside :]
    weight_1, weight_2, weight_3, weight_4 = weights[0], weights[1], weights[2], weights[3]
    for lane in range(lanes):
        total = state[lane] * kept + both[lane]
        ahead = state[LANES + lane] * kept + lead[lane]
        average = state[2 * LANES + lane] + abs(ahead) / total * weight_1
        total = total * kept + both_2[lane]
        ahead = ahead * kept + lead_2[lane]
        average += abs(ahead) / total * weight_2
        total = total * kept + both_3[lane]
        ahead = ahead * kept + lead_3[lane]
        average += abs(ahead) / total * weight_3
        total = total * kept + both_4[lane]
        ahead = ahead * kept + lead_4[lane]
        state[2 * LANES + lane] = average + abs(ahead) / total * weight_4
        state[lane] = total
        state[LANES + lane] = ahead


@_compiled
def rank_shares(values: Doubles, order: npt.NDArray[np.int64], tie: float, out: Doubles) -> None:
    """Average rank over count in each row, given its order; infinite values are not counted."""
    for row in range(len(values)):
        count = int(np.count_nonzero(values[row] < math.inf))
        first = 0
        while first < count:
            end = first + 1
            while end < count and (
                values[row, order[row, end]] - values[row, order[row, end - 1]] <= tie
            ):
                end += 1
            for place in range(first, end):
                out[row, order[row, place]] = (first + end + 1) / 2 / count
            first = end


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
def write_product(
    values: Doubles,
    factors: Doubles,
    number: float,
    bars_in_a_row: npt.NDArray[np.int32],
    bars: int,
    out: Singles,
) -> None:
    """`write_row` for values times factors times a number."""
    needed, nothing = np.int32(bars), np.float32(math.nan)
    if len(out) == len(values):
        for at in range(len(out)):
            single = np.float32(values[at] * number * factors[at])
            finite = single + (single - single)
            out[at] = finite if bars_in_a_row[at] >= needed else nothing
        return
    row = 0
    for at in range(len(values)):
        if bars_in_a_row[at]:
            single = np.float32(values[at] * number * factors[at])
            finite = single + (single - single)
            out[row] = finite if bars_in_a_row[at] >= needed else nothing
            row += 1


@_compiled
def write_beside(
    values: Doubles,
    factors: Doubles,
    number: float,
    beside: int,
    bars_in_a_row: npt.NDArray[np.int32],
    bars: int,
    starts: npt.NDArray[np.int64],
    out: Singles,
) -> None:
    """`write_product` for symbols beside one another, whose rows begin at `starts`."""
    symbols, count = bars_in_a_row.shape
    for symbol in range(symbols):
        row = starts[symbol]
        for session in range(count):
            held = bars_in_a_row[symbol, session]
            if held:
                at = session * beside + symbol
                single = np.float32(values[at] * number * factors[at])
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
