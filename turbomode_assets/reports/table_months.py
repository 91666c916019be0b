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
NOTE_HEIGHT, LISTED_NOTES, NOTE_LENGTH = 14, 6, 150
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
Note = tuple[int, int, str]
"""Row and column of the cell, and what to say of it."""


def month_table_heatmap(counts: pl.DataFrame, *, vendors: Collection[str] | None = None) -> bytes:
    """Month x table by the share that is there; columns table, month (Date), share, note.

    A share of null, and a month without a row, mean that nothing was expected. Cells with a note
    carry its number; the first `LISTED_NOTES` notes are written below. Tables keep their order.
    `vendors` replaces the vendor column.
    """
    mark = vendor_mark(counts, vendors)
    if counts.is_empty():
        return empty_picture("tables by month", mark)
    tables = counts["table"].unique(maintain_order=True).to_list()
    months = _months(counts["month"])
    shares = np.full((len(tables), len(months)), np.nan)
    notes: list[Note] = []
    rows = counts.select("table", pl.col("month").dt.truncate("1mo"), "share", "note")
    for table, month, share, note in rows.iter_rows():
        row, column = tables.index(table), months.index(month)
        shares[row, column] = np.nan if share is None else share
        if note:
            notes.append((row, column, f"{table} {month:%Y-%m}: {note}"))
    return _draw(tables, months, shares, sorted(notes), mark)


def _draw(
    tables: list[str], months: list[dt.date], shares: Shares, notes: list[Note], mark: str
) -> bytes:
    listed = [f"{number}  {text}" for number, (*_, text) in enumerate(notes[:LISTED_NOTES], 1)]
    if len(notes) > len(listed):
        listed.append(f"... and {counted(len(notes) - len(listed), 'more note')}")
    complete, known = int((shares >= 1).sum()), int((~np.isnan(shares)).sum())
    height = ROW_HEIGHT * len(tables)
    sheet = Sheet(
        f"tables by month {months[0]:%Y-%m}...{months[-1]:%Y-%m}: {complete:,} of"
        f" {counted(known, 'cell')} complete",
        mark,
        width=LEFT + MAP_WIDTH + RIGHT,
        height=TOP + height + BOTTOM + NOTE_HEIGHT * len(listed),
    )
    sheet.image(_paint(shares, height), LEFT, TOP)
    plot = sheet.axes(LEFT, TOP, MAP_WIDTH, height, columns=len(months), rows=len(tables))
    plot.set_yticks(np.arange(len(tables)) + 0.5, tables)
    plot.set_xticks(*_month_ticks(months))
    _write_cells(plot, shares, notes)
    sheet.legend({name: colour for _, name, colour in STEPS} | {"not expected": NOT_EXPECTED}, LEFT)
    for line, text in enumerate(listed):
        sheet.write(text[:NOTE_LENGTH], LEFT, TOP + height + BOTTOM - 6 + NOTE_HEIGHT * line)
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


def _write_cells(plot: Axes, shares: Shares, notes: list[Note]) -> None:
    if shares.shape[1] <= WRITTEN_MONTHS:
        for row, column in np.argwhere(shares < 1):
            share = shares[row, column]
            # Rounded down: what is not complete never reads 100.
            text = f"{np.floor(100 * share):.0f}"
            place = column + 0.5, row + 0.52
            plot.text(*place, text, ha="center", va="center", fontsize=8, color=_ink_on(share))
    for number, (row, column, _) in enumerate(notes, 1):
        place = column + 0.96, row + 0.08
        colour = _ink_on(shares[row, column])
        plot.text(*place, str(number), ha="right", va="top", fontsize=6, color=colour)


def _ink_on(share: float) -> str:
    return "white" if share < DARK_BELOW else INK


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
