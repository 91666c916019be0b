"""Pictures of market data: what it looks like and whether it is all there."""

from collections.abc import Collection

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, StrMethodFormatter

from turbomode_assets.contracts.columns import (
    CLOSE,
    DOLLAR_VOLUME,
    HIGH,
    LOW,
    OPEN,
    SESSION,
    SYMBOL,
)
from turbomode_assets.reports.canvas import (
    ACCENT,
    FAINT,
    INK,
    WARNING,
    day_numbers,
    empty_picture,
    name_axis,
    new_figure,
    session_bars,
    span_text,
    stacked_figure,
    time_axis,
    to_png,
)
from turbomode_assets.reports.wording import counted, vendor_mark
from turbomode_assets.sessions import sessions_between

LINE_COLOURS = ("#1f6f8b", "#c8443c", "#e0a030", "#6a8d3f", "#7b5ea7", "#5a6672")
NAMED_LINES = len(LINE_COLOURS)
NAMED_BARS = 60
DRAWN_SESSIONS = 600
NARROW_RANGE = 1.6
"""Below this ratio of highest to lowest the ticks of a logarithmic axis are evenly spaced."""


def close_and_volume_picture(
    bars: pl.DataFrame, *, vendors: Collection[str] | None = None
) -> bytes:
    """Closes (first bar of each symbol = 100, logarithmic) above the dollar volume of all.

    Up to `NAMED_LINES` symbols have a line each; of more, the median and the range that holds the
    middle 80 % are drawn. Prices are the bars' own, unadjusted: a split shows as a step. A single
    session shows each symbol's bar in percent of its open instead. `vendors` replaces the vendor
    column.
    """
    mark = vendor_mark(bars, vendors)
    if bars.is_empty():
        return empty_picture("bars", mark)
    sessions = bars[SESSION].unique().sort().to_list()
    symbols = counted(bars[SYMBOL].n_unique(), "symbol")
    title = f"bars {span_text(sessions)}: {symbols}, {counted(bars.height, 'row')}"
    if len(sessions) == 1:
        return _one_session_picture(bars, title, mark)
    figure, (prices, volumes) = stacked_figure(title, mark)
    _draw_closes(prices, bars)
    total = bars.group_by(SESSION).agg(pl.col(DOLLAR_VOLUME).sum() / 1e9).sort(SESSION)
    session_bars(volumes, sessions, total[DOLLAR_VOLUME].to_numpy(), ACCENT)
    volumes.set_ylim(bottom=0)
    name_axis(volumes, "USD bn")
    time_axis(volumes, sessions)
    return to_png(figure)


def coverage_picture(frame: pl.DataFrame, *, vendors: Collection[str] | None = None) -> bytes:
    """Rows for each session between the frame's first and last; sessions without any are marked.

    Works for every frame with a session column. `vendors` replaces the vendor column.
    """
    mark = vendor_mark(frame, vendors)
    if frame.is_empty():
        return empty_picture("coverage", mark)
    found = dict(frame.group_by(SESSION).len().iter_rows())
    sessions = sessions_between(min(found), max(found))
    rows = np.array([found.get(session, 0) for session in sessions], dtype=np.float64)
    holes = [session for session in sessions if session not in found]
    total = f"{counted(frame.height, 'row')}, {len(holes)} of {counted(len(sessions), 'session')}"
    figure, (plot,) = new_figure(f"coverage {span_text(sessions)}: {total} empty", mark)
    session_bars(plot, sessions, rows, ACCENT)
    if holes:
        days = day_numbers(holes)
        plot.plot(days, [0] * len(days), "|", color=WARNING, markersize=14, mew=2, clip_on=False)
    plot.set_ylim(bottom=0, top=max(rows) * 1.08)
    name_axis(plot, "rows")
    time_axis(plot, sessions)
    return to_png(figure)


def _draw_closes(plot: Axes, bars: pl.DataFrame) -> None:
    rebased = bars.sort(SYMBOL, SESSION).select(
        SYMBOL, SESSION, (100 * pl.col(CLOSE) / pl.col(CLOSE).first().over(SYMBOL)).alias(CLOSE)
    )
    sessions = rebased[SESSION].unique().sort()
    # More points than pixels only make the file larger. The last session always stays.
    drawn = sessions.reverse().gather_every(1 + sessions.len() // DRAWN_SESSIONS).implode()
    rebased = rebased.filter(pl.col(SESSION).is_in(drawn))
    lines = rebased.partition_by(SYMBOL, maintain_order=True)
    if len(lines) <= NAMED_LINES:
        for line, colour in zip(lines, LINE_COLOURS, strict=False):
            days, name = day_numbers(line[SESSION].to_list()), line[SYMBOL][0]
            plot.plot(days, line[CLOSE].to_list(), color=colour, lw=1.1, label=name)
        low, high = rebased.select(low=pl.col(CLOSE).min(), high=pl.col(CLOSE).max()).row(0)
    else:
        low, high = _draw_spread(plot, rebased)
    plot.set_yscale("log")
    plot.minorticks_off()
    narrow = high / low < NARROW_RANGE
    plot.yaxis.set_major_locator(
        MaxNLocator(5) if narrow else LogLocator(subs=(1, 1.5, 2, 3, 5, 7))
    )
    plot.yaxis.set_major_formatter(StrMethodFormatter("{x:,.4g}"))
    plot.set_ylim(0.995 * low / (high / low) ** 0.05, 1.005 * high * (high / low) ** 0.2)
    plot.legend(fontsize=8, frameon=False, ncols=NAMED_LINES, loc="upper left")
    name_axis(plot, "close, first bar = 100")


def _draw_spread(plot: Axes, rebased: pl.DataFrame) -> tuple[float, float]:
    """Draw median and middle 80 % of the symbols; return lowest and highest value drawn."""
    quantiles = (
        pl.col(CLOSE).quantile(share, "linear").alias(name)
        for name, share in (("low", 0.1), ("median", 0.5), ("high", 0.9))
    )
    spread = rebased.group_by(SESSION).agg(*quantiles).sort(SESSION)
    days = day_numbers(spread[SESSION].to_list())
    low, high = spread["low"].to_numpy(), spread["high"].to_numpy()
    plot.fill_between(days, low, high, color=FAINT, alpha=0.5, lw=0, label="middle 80 % of symbols")
    plot.plot(days, spread["median"].to_list(), color=ACCENT, lw=1.3, label="median")
    return float(low.min()), float(high.max())


def _one_session_picture(bars: pl.DataFrame, title: str, mark: str) -> bytes:
    relative = bars.select(
        SYMBOL,
        *((100 * pl.col(name) / pl.col(OPEN) - 100).alias(name) for name in (HIGH, LOW, CLOSE)),
        (pl.col(DOLLAR_VOLUME).fill_null(0) / 1e9).alias(DOLLAR_VOLUME),
    ).sort(CLOSE, SYMBOL)
    figure, (prices, volumes) = stacked_figure(title, mark)
    places = np.arange(relative.height)
    colours = np.where(relative[CLOSE].to_numpy() < 0, WARNING, ACCENT).tolist()
    width = 0.7 if relative.height <= NAMED_BARS else 1.0
    prices.vlines(places, relative[LOW].to_list(), relative[HIGH].to_list(), color=FAINT, lw=1)
    prices.bar(places, relative[CLOSE].to_list(), width=width, color=colours)
    prices.axhline(0, color=INK, lw=0.6)
    name_axis(prices, "% of the open")
    volumes.bar(places, relative[DOLLAR_VOLUME].to_list(), width=width, color=ACCENT)
    name_axis(volumes, "USD bn")
    if relative.height <= NAMED_BARS:
        volumes.set_xticks(places, relative[SYMBOL].to_list(), rotation=90, fontsize=7)
    else:
        volumes.set_xticks([])
        volumes.set_xlabel("symbols, by return from open to close", fontsize=8, color=INK)
    return to_png(figure)
