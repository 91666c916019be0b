"""Pictures of how far features, predictions and outcomes stand from what was learned from."""

from collections.abc import Collection

import polars as pl
from matplotlib.axes import Axes

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
    session_bars,
    time_axis,
    to_png,
)
from turbomode_assets.reports.wording import vendor_mark

SHOWN_FEATURES = 15
FARTHEST = 4.0
"""Farther is drawn here: what never moved in training is infinitely far as soon as it moves."""
_TITLE = "predictions and outcomes"
_MULTIPLE = "times its largest move in training"
_COLOURS = {name.lower(): colour for name, colour in CLASS_COLOURS.items()} | {"return": INK}


def feature_drift_picture(
    drift: pl.DataFrame, verdicts: pl.DataFrame, *, alarm_share: float, vendors: Collection[str]
) -> bytes:
    """The features that are first in the last session, beside the share that exceeds over time.

    `drift` is of `rank_drift`, `verdicts` of `drift_verdicts`; from `alarm_share` on it is time to
    train again. Bars of a reference that does not know its own windows are PSI.
    """
    mark = vendor_mark(drift, vendors)
    features = drift.filter(pl.col("subject") == "feature")
    if features.is_empty():
        return empty_picture("drift of features", mark)
    sessions = verdicts[SESSION].to_list()
    last = features.filter(pl.col(SESSION) == sessions[-1])
    counts = dict(last.group_by("verdict").len().iter_rows())
    summary = ", ".join(f"{counts.get(name, 0)} {name}" for name in VERDICT_COLOURS)
    figure, (ranking, history) = new_figure(
        f"drift of features on {sessions[-1]}: {summary}", mark, width_ratios=(3, 2)
    )
    shown = last.head(SHOWN_FEATURES)
    _draw_ranking(ranking, shown, shown["feature"].to_list())
    shares = 100 * verdicts["share"].to_numpy()
    session_bars(history, sessions, shares, VERDICT_COLOURS["warn"])
    history.axhline(100 * alarm_share, color=VERDICT_COLOURS["alert"], linewidth=0.8, ls="--")
    history.set_ylim(0, 1.25 * max(float(shares.max()), 100 * alarm_share))
    name_axis(history, f"% of {last.height} features that exceed")
    time_axis(history, sessions)
    return to_png(figure)


def subject_drift_picture(drift: pl.DataFrame, *, vendors: Collection[str]) -> bytes:
    """Each probability and outcome in multiples of its largest move in training.

    `drift` is of `rank_drift`; rows of features are passed over. A probability whose level moved is
    an alert however short its bar, and named as such. Predictions are drawn through, outcomes
    dashed.
    """
    mark = vendor_mark(drift, vendors)
    watched = drift.filter(pl.col("subject") != "feature")
    if watched.is_empty():
        return empty_picture(_TITLE, mark)
    sessions = watched[SESSION].unique().sort().to_list()
    last = watched.filter(pl.col(SESSION) == sessions[-1])
    names = [
        f"{name}: level moved" if moved else name
        for name, moved in last.select("feature", "moved").iter_rows()
    ]
    figure, (ranking, history) = new_figure(
        f"drift of {_TITLE} on {sessions[-1]}",
        mark,
        width_ratios=(2, 3),
    )
    _draw_ranking(ranking, last, names)
    lines = watched.sort("subject", "feature", SESSION, descending=[True, False, False])
    for (name, subject), rows in lines.group_by("feature", "subject", maintain_order=True):
        history.plot(
            day_numbers(rows[SESSION].to_list()),
            rows["multiple"].clip(upper_bound=FARTHEST).to_list(),
            color=_COLOURS[str(name).split("_")[-1]],
            linestyle="-" if subject == "prediction" else "--",
            marker="." if len(sessions) < 3 else None,
            linewidth=1.2,
            label=str(name),
        )
    history.axhline(1, color=INK, linewidth=0.8)
    history.set_ylim(0, max(1.5, _tallest(watched["multiple"])) * 1.35)
    name_axis(history, _MULTIPLE)
    history.legend(fontsize=7, frameon=False, loc="upper left", ncols=3)
    time_axis(history, sessions)
    return to_png(figure)


def _draw_ranking(plot: Axes, rows: pl.DataFrame, names: list[str]) -> None:
    """Draw a bar for each row, the first on top, in the colour of its verdict."""
    has_multiple = rows["multiple"].null_count() == 0
    lengths = rows["multiple" if has_multiple else "psi"].clip(upper_bound=FARTHEST)
    colours = [VERDICT_COLOURS[verdict] for verdict in rows["verdict"]]
    plot.barh(names, lengths.to_list(), color=colours, height=0.7)
    plot.invert_yaxis()
    if has_multiple:
        plot.axvline(1, color=INK, linewidth=0.8)
    plot.grid(axis="y", visible=False)
    plot.grid(axis="x", color=LINES, linewidth=0.7)
    plot.set_xlim(0, max(1.5, _tallest(lengths) * 1.1))
    plot.set_xlabel(_MULTIPLE if has_multiple else "PSI", fontsize=8, color=INK)


def _tallest(lengths: pl.Series) -> float:
    return min(float(lengths.max() or 0), FARTHEST)  # type: ignore[arg-type]  # a number
