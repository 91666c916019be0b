"""Picture of how far predictions and outcomes stand from what the champion learned from."""

from collections.abc import Collection

import polars as pl

from turbomode_assets.contracts.columns import SESSION
from turbomode_assets.reports.canvas import (
    CLASS_COLOURS,
    INK,
    LINES,
    VERDICT_COLOURS,
    day_numbers,
    empty_picture,
    name_axis,
    new_figure,
    time_axis,
    to_png,
)
from turbomode_assets.reports.wording import vendor_mark

STATISTICS = ("psi", "kl", "ks")
FARTHEST = 4.0
"""Farther is drawn here: what never moved in training is infinitely far as soon as it moves."""
_TITLE = "predictions and outcomes"
_COLOURS = {name.lower(): colour for name, colour in CLASS_COLOURS.items()} | {"return": INK}


def subject_drift_picture(drift: pl.DataFrame, *, vendors: Collection[str] | None) -> bytes:
    """Each probability and outcome in multiples of its largest move in training.

    `drift` has rows of drift_monitoring; those of features are passed over. Of the three statistics
    the second largest multiple counts: it takes two to exceed. A probability whose level moved is
    an alert however short its bar, and named as such. Predictions are drawn through, outcomes
    dashed.
    """
    mark = vendor_mark(drift, vendors)
    watched = drift.filter(pl.col("subject") != "feature").with_columns(_multiple())
    if watched.is_empty():
        return empty_picture(_TITLE, mark)
    sessions = watched[SESSION].unique().sort().to_list()
    last = watched.filter(pl.col(SESSION) == sessions[-1]).reverse()
    names = [
        f"{name}: level moved" if moved else name
        for name, moved in last.select("feature", "moved").iter_rows()
    ]
    figure, (ranking, history) = new_figure(
        f"drift of {_TITLE} on {sessions[-1]}",
        mark,
        width_ratios=(2, 3),
    )
    colours = [VERDICT_COLOURS[verdict] for verdict in last["verdict"]]
    ranking.barh(names, last["multiple"].to_list(), color=colours, height=0.7)
    ranking.axvline(1, color=INK, linewidth=0.8)
    ranking.grid(axis="y", visible=False)
    ranking.grid(axis="x", color=LINES, linewidth=0.7)
    ranking.set_xlim(0, max(1.5, float(last["multiple"].max() or 0) * 1.1))  # type: ignore[arg-type]  # a number
    ranking.set_xlabel("times its largest move in training", fontsize=8, color=INK)
    for (name, subject), rows in watched.group_by("feature", "subject", maintain_order=True):
        history.plot(
            day_numbers(rows[SESSION].to_list()),
            rows["multiple"].to_list(),
            color=_COLOURS[str(name).split("_")[-1]],
            linestyle="-" if subject == "prediction" else "--",
            marker="." if len(sessions) < 3 else None,
            linewidth=1.2,
            label=str(name),
        )
    history.axhline(1, color=INK, linewidth=0.8)
    tallest = float(watched["multiple"].max() or 0)  # type: ignore[arg-type]  # a number
    history.set_ylim(0, max(1.5, tallest) * 1.35)
    name_axis(history, "times its largest move in training")
    history.legend(fontsize=7, frameon=False, loc="upper left", ncols=3)
    time_axis(history, sessions)
    return to_png(figure)


def _multiple() -> pl.Expr:
    ratios = [
        pl.when(pl.col(name) <= 0).then(0.0).otherwise(pl.col(name) / pl.col(f"{name}_maximum"))
        for name in STATISTICS
    ]
    second = pl.concat_list(ratios).list.sort().list.get(1)
    return second.clip(0.0, FARTHEST).alias("multiple")
