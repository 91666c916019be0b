"""Picture of a backtest: its equity, and how far it fell from its highest."""

import textwrap
from collections.abc import Collection

import numpy as np
import polars as pl
from matplotlib.ticker import FuncFormatter, MaxNLocator

from turbomode_assets.contracts.columns import SESSION
from turbomode_assets.reports.canvas import (
    ACCENT,
    FAINT,
    INK,
    WARNING,
    day_numbers,
    empty_picture,
    name_axis,
    stacked_figure,
    time_axis,
    to_png,
)
from turbomode_assets.reports.wording import amount_tick, vendor_mark

FEW_POINTS = 30
NOTE_COLUMNS = 150


def backtest_picture(
    curve: pl.DataFrame, *, vendors: Collection[str], note: str | None = None
) -> bytes:
    """Equity in USD above its drawdown in percent, and below them a note on what to make of it.

    `curve` is an `equity_curve` of the backtest room.
    """
    mark = vendor_mark(curve, vendors)
    if curve.is_empty():
        return empty_picture("backtest", mark)
    sessions = curve.get_column(SESSION).to_list()
    values, drawdown = (curve.get_column(name).to_numpy() for name in ("equity", "drawdown"))
    deepest = int(drawdown.argmax())
    title = f"backtest: ${values[-1]:,.0f} at the end, {drawdown[deepest]:.1%} down at worst"
    figure, (above, below) = stacked_figure(title, mark)
    days = day_numbers(sessions)
    # A line of few points would hide which of them it passes through.
    style = "o-" if len(days) <= FEW_POINTS else "-"
    above.axhline(values[0], color=FAINT, lw=0.8, ls="--")
    above.plot(days, values, style, color=ACCENT, lw=1.2, ms=3)
    above.yaxis.set_major_locator(MaxNLocator(5))
    above.yaxis.set_major_formatter(FuncFormatter(lambda value, _: amount_tick(value)))
    name_axis(above, "equity, USD")
    below.fill_between(days, -100 * drawdown, 0, color=WARNING, alpha=0.35, lw=0)
    below.plot(days, -100 * drawdown, style, color=WARNING, lw=0.8, ms=2)
    if drawdown[deepest] > 0:
        below.plot(days[deepest], -100 * drawdown[deepest], "o", color=INK, ms=4)
    below.set_ylim(-max(110 * float(np.max(drawdown)), 1.0), 0)
    below.yaxis.set_major_locator(MaxNLocator(3))
    name_axis(below, "drawdown, %")
    time_axis(below, sessions)
    if note is not None:
        written = "\n".join(textwrap.wrap(note, NOTE_COLUMNS))
        figure.supxlabel(written, x=0.01, ha="left", fontsize=6.5, color=INK)
    return to_png(figure)
