"""Pictures of what the ledger adds up to: reasons, and the age of the newest good data."""

import datetime as dt

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from turbomode_assets.completeness.ledger_counts import (
    NEVER,
    age_buckets,
    age_of_data,
    reason_counts,
    vendors_of,
)
from turbomode_assets.contracts.tables.master import VERDICTS
from turbomode_assets.reports.canvas import (
    INK,
    LEDGER_COLOURS,
    LINES,
    empty_picture,
    new_figure,
    to_png,
)
from turbomode_assets.reports.pixels import FEW_COLOURS
from turbomode_assets.reports.wording import counted, share_text, vendor_mark

DRAWN_REASONS = 12
LEAST_BAR = 0.004
"""Share of the longest bar that every bar has at least: one cell stays visible."""

AGE_COLOURS = {
    "0": LEDGER_COLOURS["GREEN"],
    "1": FEW_COLOURS["AMBER"],
    "2": FEW_COLOURS["AMBER"],
    "3-5": LEDGER_COLOURS["AMBER"],
    "6-20": FEW_COLOURS["RED"],
    "21+": LEDGER_COLOURS["RED"],
    NEVER: LEDGER_COLOURS["RED"],
}
FULL_ROWS = 5
WHITE_ON = {FEW_COLOURS["RED"], LEDGER_COLOURS["RED"]}


def reason_breakdown(ledger: pl.DataFrame) -> bytes:
    """Bars of the cells under each reason, by verdict, with counts and shares of all cells.

    A cell with several reasons is in several bars. The `DRAWN_REASONS` most frequent are drawn.
    """
    mark = vendor_mark(ledger, vendors_of(ledger))
    if ledger.is_empty():
        return empty_picture("reasons", mark)
    counts = reason_counts(ledger)
    reasons = counts.group_by("reason").agg(pl.col("cells").sum())
    reasons = reasons.sort(["cells", "reason"], descending=[True, False])
    title = f"reasons in {counted(ledger.height, 'cell')}: {counted(reasons.height, 'code')}"
    if reasons.height > DRAWN_REASONS:
        title += f", the {DRAWN_REASONS} most frequent"
    if reasons.is_empty():
        return empty_picture(f"{title}, everything is GREEN", mark)
    figure, (plot,) = new_figure(title, mark)
    drawn = reasons.head(DRAWN_REASONS)
    ends = _draw_reasons(plot, counts, drawn["reason"].to_list(), drawn["cells"][0])
    for place, cells in enumerate(drawn["cells"]):
        text = f" {cells:,} ({share_text(cells, ledger.height)})"
        plot.text(ends[place], place, text, va="center", fontsize=8, color=INK)
    plot.set_xlim(0, 1.25 * ends.max())
    plot.set_ylim(max(drawn.height, 4) - 0.4, -0.6)
    plot.grid(visible=False)
    plot.set_xticks([])
    plot.spines["bottom"].set_visible(False)
    plot.legend(fontsize=8, frameon=False, loc="lower right")
    return to_png(figure)


def age_picture(ledger: pl.DataFrame, as_of: dt.date) -> bytes:
    """How many symbols are how many sessions behind `as_of`, for each timeframe.

    Raises:
        InputError: `as_of` is not a session.
    """
    mark = vendor_mark(ledger, vendors_of(ledger))
    ages = age_of_data(ledger, as_of)
    title = f"sessions since the last GREEN candle, as of {as_of}"
    if ages.is_empty():
        return empty_picture(title, mark)
    found = {(t, b): n for t, b, n in age_buckets(ages).iter_rows()}
    timeframes = ages["timeframe"].unique().sort().to_list()
    figure, (plot,) = new_figure(title, mark)
    for row, timeframe in enumerate(timeframes):
        symbols = ages.filter(timeframe=timeframe).height
        for column, bucket in enumerate(AGE_COLOURS):
            _draw_age(plot, column, row, found.get((timeframe, bucket), 0), symbols)
    for text in plot.texts if len(timeframes) > FULL_ROWS else []:
        text.set(text=text.get_text().replace("\n", "  "), fontsize=7)
    plot.set_xlim(0, len(AGE_COLOURS))
    plot.set_ylim(max(len(timeframes), 3), 0)
    plot.grid(visible=False)
    plot.spines[:].set_visible(False)
    plot.set_xticks(np.arange(len(AGE_COLOURS)) + 0.5, list(AGE_COLOURS))
    plot.set_yticks(np.arange(len(timeframes)) + 0.5, timeframes)
    plot.xaxis.tick_top()
    plot.xaxis.set_label_position("top")
    plot.tick_params(length=0)
    plot.set_xlabel("symbols by sessions behind", fontsize=8, color=INK)
    return to_png(figure)


def _draw_reasons(
    plot: Axes, counts: pl.DataFrame, reasons: list[str], longest: int
) -> NDArray[np.float64]:
    """Draw a bar for each reason, the worst verdict first; return where the bars end."""
    ends = np.zeros(len(reasons))
    for verdict in reversed(VERDICTS):
        found = dict(counts.filter(verdict=verdict).select("reason", "cells").iter_rows())
        cells = np.array([found.get(reason, 0) for reason in reasons], dtype=np.float64)
        widths = np.where(cells > 0, np.maximum(cells, LEAST_BAR * longest), 0)
        if widths.any():
            colour, label = LEDGER_COLOURS[verdict], f"{verdict} cells"
            plot.barh(reasons, widths, left=ends, color=colour, label=label, height=0.7)
        ends += widths
    return ends


def _draw_age(plot: Axes, column: int, row: int, count: int, symbols: int) -> None:
    colour = list(AGE_COLOURS.values())[column] if count else LINES
    corner = column + 0.03, row + 0.04
    plot.add_patch(Rectangle(corner, 0.94, 0.92, facecolor=colour, linewidth=0))
    text = f"{count:,}\n{share_text(count, symbols)}" if count else "0"
    ink = "white" if colour in WHITE_ON else INK
    plot.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9, color=ink)
