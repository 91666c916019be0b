"""The common form of every picture: size, colours, title with the vendor, PNG bytes.

Figures are drawn on an Agg canvas of their own. pyplot, whose open figures and settings are shared
by the whole process, is not used.
"""

import datetime as dt
import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.reports.wording import SIMULATED

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 7.6, 3.6, 100
PALETTE_COLOURS = 128
INK, FAINT, LINES = "#22303c", "#b4bec8", "#e6eaee"
ACCENT, WARNING = "#1f6f8b", "#c8443c"
CLASS_COLOURS = dict(zip(CLASSES, (WARNING, FAINT, ACCENT), strict=True))
VERDICT_COLOURS = {"stable": FAINT, "warn": "#e0a030", "alert": WARNING}
LEDGER_COLOURS = {"GREEN": "#b4dcc8", "AMBER": "#de8a00", "RED": "#7f0d1c"}
"""Verdicts of the ledger: light, middle, dark, so that they differ without any sense of hue."""
NOT_EXPECTED = "#eceff2"
NAMED_SESSIONS = 5
SEPARATE_BARS = 90
"""Above so many sessions bars would be narrower than the gaps that pixels leave between them."""


def new_figure(
    title: str, mark: str, *, width_ratios: Sequence[float] = (1,)
) -> tuple[Figure, list[Axes]]:
    """Return a figure with plots side by side, titled on the left, the vendor on the right."""
    figure = _titled(title, mark)
    grid = figure.subplots(1, len(width_ratios), squeeze=False, width_ratios=width_ratios)
    return figure, [plain(plot) for plot in grid[0]]


def stacked_figure(title: str, mark: str) -> tuple[Figure, list[Axes]]:
    """Return a figure with a tall plot above a low one; they share the horizontal axis."""
    figure = _titled(title, mark)
    grid = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    return figure, [plain(plot) for plot in grid]


def empty_picture(title: str, mark: str) -> bytes:
    """Say that there is nothing to show: some sessions rightly have no rows."""
    figure, (plot,) = new_figure(title, mark)
    plot.set_axis_off()
    plot.text(0.5, 0.5, "no rows", ha="center", va="center", color=FAINT, fontsize=16)
    return to_png(figure)


def to_png(figure: Figure, *, exact: bool = False) -> bytes:
    """Render a figure in `PALETTE_COLOURS` colours; the same figure gives the same bytes.

    `exact` keeps every colour: a reduced palette would drop one that few pixels have.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    rendered = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    picture = Image.fromarray(rendered).convert("RGB")
    buffer = io.BytesIO()
    if exact:
        picture.save(buffer, "PNG")
        return buffer.getvalue()
    # A palette takes a third of the bytes; event logs keep these pictures inline.
    picture.quantize(PALETTE_COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def plain(plot: Axes) -> Axes:
    """Leave only what carries information: two spines, small ticks, faint horizontal lines."""
    plot.spines[["top", "right"]].set_visible(False)
    plot.spines[["left", "bottom"]].set_color(FAINT)
    plot.tick_params(colors=INK, labelsize=8, length=3, color=FAINT)
    plot.grid(axis="y", color=LINES, linewidth=0.7)
    plot.set_axisbelow(True)
    return plot


def name_axis(plot: Axes, name: str) -> None:
    """Name the vertical axis."""
    plot.set_ylabel(name, fontsize=8, color=INK)


def time_axis(plot: Axes, sessions: Sequence[dt.date]) -> None:
    """Scale and label a horizontal axis of sessions; a single session stays in the middle."""
    days = day_numbers(sessions)
    first, last = min(days), max(days)
    margin = max(0.015 * (last - first), 0.7) if last > first else 3
    plot.set_xlim(first - margin, last + margin)
    named = sorted(set(sessions))
    if len(named) <= NAMED_SESSIONS:
        plot.set_xticks(day_numbers(named), [str(session) for session in named])
        return
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    plot.xaxis.set_major_locator(locator)
    plot.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    plot.xaxis.get_offset_text().set_fontsize(8)


def day_numbers(sessions: Sequence[dt.date]) -> list[float]:
    """Place sessions on the axis that `time_axis` labels."""
    return [float(date2num(session)) for session in sessions]  # type: ignore[no-untyped-call]


def session_bars(
    plot: Axes,
    sessions: Sequence[dt.date],
    heights: NDArray[np.float64],
    colour: str,
    *,
    bottom: NDArray[np.float64] | float = 0.0,
    label: str | None = None,
) -> None:
    """Draw one bar for each session; many sessions become one filled outline."""
    days = day_numbers(sessions)
    top = bottom + heights
    if len(days) > SEPARATE_BARS:
        plot.fill_between(days, bottom, top, step="mid", color=colour, lw=0, label=label)
    else:
        plot.bar(days, heights, width=0.8, bottom=bottom, color=colour, label=label)


def span_text(sessions: Sequence[dt.date]) -> str:
    """Write first and last session as the partition range that people type."""
    first, last = min(sessions), max(sessions)
    return str(first) if first == last else f"{first}...{last}"


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of `#rrggbb`."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def write_title(figure: Figure, title: str, mark: str, *, height: int | None = None) -> None:
    """Write the title on the left and the vendor on the right, red where it is simulated.

    `height` in pixels is for figures without a layout engine: where there is one, it makes room
    for a title only while that has no place of its own.
    """
    place = {} if height is None else {"y": 1 - 8 / height}
    vendor_from_top = 0.015 if height is None else 6 / height
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=INK, fontweight="bold", **place)
    written = figure.text(0.99, 1 - vendor_from_top, mark, ha="right", va="top")
    written.set(fontsize=9, color=INK)
    if SIMULATED in mark:
        written.set(color=WARNING, fontweight="bold")


def _titled(title: str, mark: str) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DOTS_PER_INCH, layout="constrained")
    write_title(figure, title, mark)
    return figure
