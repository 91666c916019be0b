"""A picture of the months of tables: which are complete."""

import datetime as dt
from collections.abc import Collection

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from numpy.typing import NDArray

from turbomode_assets.reports.canvas import (
    INK,
    LEDGER_COLOURS,
    NOT_EXPECTED,
    empty_picture,
    rgb_of,
)
from turbomode_assets.reports.pixels import FEW_COLOURS, SEPARATE_PIXELS, Pixels, pixel_starts
from turbomode_assets.reports.sheet import Sheet
from turbomode_assets.reports.wording import counted, vendor_mark

MAP_WIDTH, ROW_HEIGHT = 960, 26
LEFT, RIGHT, TOP, BOTTOM = 124, 18, 46, 42
WRITTEN_MONTHS, NAMED_MONTHS, MOST_YEARS = 36, 48, 25
"""Up to so many months, their shares are written in the cells; up to the second, months named."""

STEPS = (
    (1.0, "complete", LEDGER_COLOURS["GREEN"]),
    (0.99, "99 % and more", FEW_COLOURS["AMBER"]),
    (0.9, "90 % and more", LEDGER_COLOURS["AMBER"]),
    (0.5, "half and more", FEW_COLOURS["RED"]),
    (0.0, "less", LEDGER_COLOURS["RED"]),
)
"""Least share, name and colour."""

DARK_BELOW = 0.9

Shares = NDArray[np.float64]


def month_table_heatmap(counts: pl.DataFrame, *, vendors: Collection[str]) -> bytes:
    """Month x table by the share that is there; columns table, month (Date), share.

    A month without a row means that nothing was expected. Tables keep their order.
    """
    mark = vendor_mark(counts, vendors)
    if counts.is_empty():
        return empty_picture("tables by month", mark)
    tables = counts["table"].unique(maintain_order=True).to_list()
    months = _months(counts["month"])
    shares = np.full((len(tables), len(months)), np.nan)
    for table, month, share in counts.select("table", "month", "share").iter_rows():
        shares[tables.index(table), months.index(month)] = share
    return _draw(tables, months, shares, mark)


def _draw(tables: list[str], months: list[dt.date], shares: Shares, mark: str) -> bytes:
    complete, known = int((shares >= 1).sum()), int((~np.isnan(shares)).sum())
    height = ROW_HEIGHT * len(tables)
    sheet = Sheet(
        f"tables by month {months[0]:%Y-%m}...{months[-1]:%Y-%m}: {complete:,} of"
        f" {counted(known, 'cell')} complete",
        mark,
        width=LEFT + MAP_WIDTH + RIGHT,
        height=TOP + height + BOTTOM,
    )
    sheet.image(_paint(shares, height), LEFT, TOP)
    plot = sheet.axes(LEFT, TOP, MAP_WIDTH, height, columns=len(months), rows=len(tables))
    plot.set_yticks(np.arange(len(tables)) + 0.5, tables)
    plot.set_xticks(*_month_ticks(months))
    _write_shares(plot, shares)
    sheet.legend({name: colour for _, name, colour in STEPS} | {"not expected": NOT_EXPECTED}, LEFT)
    return sheet.png()


def _months(days: pl.Series) -> list[dt.date]:
    first, last = days.min(), days.max()
    assert isinstance(first, dt.date)
    assert isinstance(last, dt.date)
    return [
        dt.date(number // 12, number % 12 + 1, 1)
        for number in range(12 * first.year + first.month - 1, 12 * last.year + last.month)
    ]


def _paint(shares: Shares, height: int) -> Pixels:
    colours = np.array([rgb_of(NOT_EXPECTED), *(rgb_of(c) for *_, c in STEPS)], dtype=np.uint8)
    levels = np.zeros(shares.shape, dtype=np.intp)
    for level, (least, *_) in reversed(list(enumerate(STEPS, 1))):
        levels[shares >= least] = level
    down = pixel_starts(shares.shape[0], height)
    across = pixel_starts(shares.shape[1], MAP_WIDTH)
    painted = colours[levels[np.ix_(down, across)]]
    painted[np.flatnonzero(np.diff(down)) + 1] = 255
    if SEPARATE_PIXELS * shares.shape[1] <= MAP_WIDTH:
        painted[:, np.flatnonzero(np.diff(across)) + 1] = 255
    return painted


def _write_shares(plot: Axes, shares: Shares) -> None:
    if shares.shape[1] > WRITTEN_MONTHS:
        return
    for row, column in np.argwhere(shares < 1):
        share = shares[row, column]
        # Rounded down: what is not complete never reads 100.
        text = f"{np.floor(100 * share):.0f}"
        ink = "white" if share < DARK_BELOW else INK
        place = column + 0.5, row + 0.52
        plot.text(*place, text, ha="center", va="center", fontsize=8, color=ink)


def _month_ticks(months: list[dt.date]) -> tuple[list[float], list[str]]:
    if len(months) <= NAMED_MONTHS:
        every = 1 if len(months) <= NAMED_MONTHS // 2 else 3
        named = [m for m, month in enumerate(months) if (month.month - 1) % every == 0]
        first = named[0] if named else 0
        return [m + 0.5 for m in named], [
            f"{months[m]:%b\n%Y}" if months[m].month == 1 or m == first else f"{months[m]:%b}"
            for m in named
        ]
    begins = [m for m, month in enumerate(months) if month.month == 1]
    begins = begins[:: 1 + len(begins) // MOST_YEARS]
    return [float(m) for m in begins], [str(months[m].year) for m in begins]
