"""A picture laid out pixel by pixel, for grids whose cells must not be smoothed away."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from turbomode_assets.reports.canvas import (
    DOTS_PER_INCH,
    FAINT,
    INK,
    to_png,
    write_title,
)
from turbomode_assets.reports.pixels import Pixels

LEGEND_TOP = 25


class Sheet:
    """A titled figure of a given size in pixels; places count from its upper left corner."""

    def __init__(self, title: str, mark: str, *, width: int, height: int) -> None:
        self._width, self._height = width, height
        inches = width / DOTS_PER_INCH, height / DOTS_PER_INCH
        self._figure = Figure(figsize=inches, dpi=DOTS_PER_INCH)
        write_title(self._figure, title, mark, height=height)

    def image(self, pixels: Pixels, left: int, top: int) -> None:
        """Copy pixels as they are."""
        bottom = self._height - top - pixels.shape[0]
        self._figure.figimage(pixels, left, bottom, origin="upper", zorder=-1)

    def axes(
        self, left: int, top: int, width: int, height: int, *, columns: int, rows: int
    ) -> Axes:
        """Return see-through axes over an image: x counts its columns, y its rows from the top."""
        bottom = (self._height - top - height) / self._height
        rect = (left / self._width, bottom, width / self._width, height / self._height)
        plot = self._figure.add_axes(rect)
        plot.patch.set_visible(False)
        plot.spines[:].set_visible(False)
        plot.tick_params(colors=INK, labelsize=8, length=3, color=FAINT, pad=2)
        plot.set_xlim(0, columns)
        plot.set_ylim(rows, 0)
        return plot

    def write(self, text: str, left: int, top: int, *, right: bool = False) -> None:
        """Write one line; `right` makes `left` its right end."""
        side = "right" if right else "left"
        x, y = left / self._width, 1 - top / self._height
        self._figure.text(x, y, text, fontsize=8, color=INK, va="top", ha=side)

    def legend(self, colours: Mapping[str, str], left: int) -> None:
        """Name colours in one line under the title."""
        self._figure.legend(
            handles=[Patch(facecolor=colour, label=name) for name, colour in colours.items()],
            loc="upper left",
            bbox_to_anchor=(left / self._width, 1 - LEGEND_TOP / self._height),
            ncols=len(colours),
            fontsize=8,
            labelcolor=INK,
            frameon=False,
            borderaxespad=0,
            borderpad=0.4,
            handlelength=1.2,
        )

    def png(self) -> bytes:
        """Render it in all its colours."""
        return to_png(self._figure, exact=True)
