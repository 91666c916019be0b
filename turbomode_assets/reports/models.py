"""Pictures of labels, and of how far probabilities mean what they say."""

from collections.abc import Collection

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from turbomode_assets.contracts.columns import CLASSES, DECISION_SESSION, LABEL
from turbomode_assets.reports.canvas import (
    CLASS_COLOURS,
    FAINT,
    INK,
    empty_picture,
    name_axis,
    new_figure,
    span_text,
    time_axis,
    to_png,
)
from turbomode_assets.reports.wording import counted, vendor_mark


def label_balance_picture(labels: pl.DataFrame, *, vendors: Collection[str] | None) -> bytes:
    """Shares of SELL, HOLD and BUY by month of decision (by session below four months)."""
    mark = vendor_mark(labels, vendors)
    if labels.is_empty():
        return empty_picture("labels", mark)
    sessions = labels[DECISION_SESSION].unique().sort().to_list()
    by_month = (sessions[-1] - sessions[0]).days > 120
    period = pl.col(DECISION_SESSION).dt.truncate("1mo") if by_month else pl.col(DECISION_SESSION)
    counts = (
        labels.group_by(period.alias("period"))
        .agg((pl.col(LABEL) == code).sum().alias(name) for code, name in enumerate(CLASSES))
        .sort("period")
    )
    total = counts.select(pl.sum_horizontal(CLASSES)).to_series().to_numpy()
    unit = "month" if by_month else "session"
    figure, (plot,) = new_figure(
        f"labels by {unit} of decision, {span_text(sessions)}: {counted(labels.height, 'row')}",
        mark,
    )
    floor = np.zeros(len(total))
    for name in CLASSES:
        share = 100 * counts[name].to_numpy() / total
        plot.bar(
            counts["period"].to_list(),
            share,
            width=31 if by_month else 1,
            align="edge" if by_month else "center",
            bottom=floor,
            color=CLASS_COLOURS[name],
            label=f"{name} {counts[name].sum():,} ({counts[name].sum() / labels.height:.0%})",
        )
        floor = floor + share
    plot.set_ylim(0, 100)
    name_axis(plot, "% of labels")
    time_axis(plot, counts["period"].to_list() + sessions[-1:])
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return to_png(figure)


def calibration_picture(curve: pl.DataFrame, *, vendors: Collection[str]) -> bytes:
    """How often each class came true where it was given that probability.

    `curve` is a `reliability_curve`. Whiskers are two binomial standard errors (rows of one session
    are not independent, so they are too short). On the diagonal, probabilities mean what they say.
    """
    mark = vendor_mark(curve, vendors)
    if curve.is_empty():
        return empty_picture("calibration", mark)
    rows = int(curve.filter(pl.col("class") == CLASSES[0])["rows"].sum())
    figure, plots = new_figure(f"calibration: {counted(rows, 'row')}", mark, width_ratios=(1, 1, 1))
    for name, plot in zip(CLASSES, plots, strict=True):
        colour = INK if name == "HOLD" else CLASS_COLOURS[name]
        _draw_reliability(plot, curve.filter(pl.col("class") == name), colour)
        plot.set_title(name, fontsize=9, color=INK)
        plot.set_xlabel("probability given", fontsize=8, color=INK)
    name_axis(plots[0], "share that came true")
    return to_png(figure)


def _draw_reliability(plot: Axes, curve: pl.DataFrame, colour: str) -> None:
    mean, share, rows = (
        curve[name].to_numpy() for name in ("mean_probability", "observed_share", "rows")
    )
    error = 2 * np.sqrt(mean * (1 - mean) / rows)
    top = min(1.0, float(max(mean.max(), (share + error).max()) * 1.05))
    plot.plot([0, top], [0, top], color=FAINT, lw=1)
    plot.errorbar(mean, share, yerr=error, fmt="o-", color=colour, ms=3.5, lw=1, elinewidth=0.8)
    plot.set_xlim(0, top)
    plot.set_ylim(0, top)
