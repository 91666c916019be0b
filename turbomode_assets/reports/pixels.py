"""Grids of verdicts painted pixel for pixel: binning, shades, marks that stay visible."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from turbomode_assets.reports.canvas import (
    LEDGER_COLOURS,
    NOT_EXPECTED,
    rgb_of,
)

Codes = NDArray[np.uint8]
Pixels = NDArray[np.uint8]
Starts = NDArray[np.intp]

ABSENT, GREEN, AMBER, RED = range(4)
"""Codes of a grid: nothing expected, then the verdicts from best to worst."""

SHADES = 8
"""Steps from the lightest AMBER or RED (one of a pixel's many cells) to the darkest (all)."""

SEPARATE_PIXELS = 8
"""From so many pixels on, cells are set apart by a white line."""

LONE_RADIUS, LONE_PIXELS = 10, 4
"""A RED pixel is alone with at most so many in the square around it, itself included."""

MOST_LONE_SHARE = 0.002
"""Up to this share of a picture's pixels, lone ones are grown; more are seen without."""

FEW_COLOURS = {"AMBER": "#f5c66a", "RED": "#d43d2c"}
"""Lightest shades; the darkest are those of `LEDGER_COLOURS`."""


def palette() -> Pixels:
    """Colours of the levels that `levels_of` gives: absent, GREEN, AMBER shades, RED shades."""
    colours = [rgb_of(NOT_EXPECTED), rgb_of(LEDGER_COLOURS["GREEN"])]
    for verdict, few in FEW_COLOURS.items():
        ends = np.array([rgb_of(few), rgb_of(LEDGER_COLOURS[verdict])])
        steps = np.linspace(0, 1, SHADES)[:, None]
        colours.extend(np.round(ends[0] + steps * (ends[1] - ends[0])).tolist())
    return np.array(colours, dtype=np.uint8)


def pixel_starts(cells: int, pixels: int) -> Starts:
    """First cell of each of `pixels` equal stretches of `cells`; stretches hold one at least."""
    return np.arange(pixels) * cells // pixels


def levels_of(codes: Codes, rows: int, columns: int) -> NDArray[np.uint8]:
    """Bin a grid of codes into rows x columns pixels, each a place in `palette`.

    A pixel has the hue of its worst cell, so that one RED cell of thousands is not lost, in the
    shade for the square root of that verdict's share of its expected cells.
    """
    across, down = pixel_starts(codes.shape[1], columns), pixel_starts(codes.shape[0], rows)
    expected = _counted(codes > ABSENT, across, down)
    levels = np.where(expected > 0, 1, 0).astype(np.uint8)
    for code, first in ((AMBER, 2), (RED, 2 + SHADES)):
        found = _counted(codes == code, across, down)
        shade = np.maximum(np.ceil(SHADES * np.sqrt(found / np.maximum(expected, 1))), 1) - 1
        np.copyto(levels, (first + shade).astype(np.uint8), where=found > 0)
    return levels


def with_lone_marks_grown(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grow RED pixels that have hardly any RED around them to 3 x 3 pixels.

    Nothing grows where many are alone: marks would cover more than their share of the picture.
    """
    red = levels >= 2 + SHADES
    lone = red & (_around(red, LONE_RADIUS) <= LONE_PIXELS)
    rows, columns = np.nonzero(lone)
    if len(rows) > max(1, MOST_LONE_SHARE * levels.size):
        return levels
    grown = levels.copy()
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            to_row = np.clip(rows + down, 0, levels.shape[0] - 1)
            to_column = np.clip(columns + across, 0, levels.shape[1] - 1)
            worst = np.maximum(grown[to_row, to_column], levels[rows, columns])
            grown[to_row, to_column] = worst
    return grown


def paint(codes: Codes, rows: int, columns: int) -> Pixels:
    """Paint a grid of codes as [rows, columns, 3]; large cells are set apart by white lines."""
    painted = palette()[with_lone_marks_grown(levels_of(codes, rows, columns))]
    if columns >= SEPARATE_PIXELS * codes.shape[1]:
        painted[:, _borders(codes.shape[1], columns)] = 255
    if rows >= SEPARATE_PIXELS * codes.shape[0]:
        painted[_borders(codes.shape[0], rows)] = 255
    return painted


def _borders(cells: int, pixels: int) -> Starts:
    starts = pixel_starts(cells, pixels)
    return np.flatnonzero(np.diff(starts)) + 1


def _counted(
    chosen: NDArray[np.bool_], across: Starts, down: Starts
) -> NDArray[np.unsignedinteger[Any]]:
    """Count chosen cells per pixel; with more pixels than cells, a cell fills several."""
    # Rows first: whole rows are summed at once, and the second sum sees far fewer cells.
    by_row = _summed(chosen, down, axis=0)
    return _summed(by_row, across, axis=1)


def _summed(cells: NDArray[Any], starts: Starts, *, axis: int) -> NDArray[np.unsignedinteger[Any]]:
    one = 1 if cells.dtype == np.bool_ else int(cells.max(initial=0))
    if len(starts) >= cells.shape[axis]:
        return np.take(cells, starts, axis=axis).astype(np.min_scalar_type(one), copy=False)
    most = one * int(np.diff(starts, append=cells.shape[axis]).max())
    # Narrow counts are summed several times as fast as 32 bits.
    return np.add.reduceat(cells, starts, axis=axis, dtype=np.min_scalar_type(most))


def _around(chosen: NDArray[np.bool_], radius: int) -> NDArray[np.int64]:
    """Count chosen pixels in the square of `radius` around each pixel."""
    total = chosen.astype(np.int64)
    for axis in (0, 1):
        size = total.shape[axis]
        padding = [(0, 0), (0, 0)]
        padding[axis] = (1, 0)
        running = np.pad(total.cumsum(axis=axis), padding)
        last = np.minimum(np.arange(size) + radius + 1, size)
        first = np.maximum(np.arange(size) - radius, 0)
        total = np.take(running, last, axis=axis) - np.take(running, first, axis=axis)
    return total
