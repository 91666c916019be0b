"""Pictures of a training run: learning curves, importance, errors by regime, what models add."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import CLASSES, LABEL
from turbomode_assets.reports.canvas import (
    ACCENT,
    CLASS_COLOURS,
    DOTS_PER_INCH,
    FAINT,
    HEIGHT_INCHES,
    INK,
    LINES,
    WARNING,
    WIDTH_INCHES,
    empty_picture,
    name_axis,
    new_figure,
    plain,
    rgb_of,
    to_png,
    write_title,
)
from turbomode_assets.reports.wording import counted, vendor_mark

PLOTS_IN_A_ROW = 4
ROW_INCHES = 1.9
BAR_INCHES = 0.155
DRAWN_FAMILIES = 12
NAMED_FOLDS = 10
FEW_ROUNDS = 15
NO_REGIME = "no regime"


def learning_curves_picture(
    curves: Mapping[str, Sequence[tuple[int, Sequence[float]]]], *, vendors: Collection[str]
) -> bytes:
    """Loss on the rows held out after each round or epoch: a plot per model, a line per fold.

    `curves` holds for each model (fold number, losses). Drawn is by how much a loss exceeds the
    line's best, which is marked: folds lie further apart than the rounds of one.
    Models without any loss are left out.
    """
    mark = vendor_mark(pl.DataFrame(), vendors)
    known = {
        model: [(fold, _finite(losses)) for fold, losses in lines if np.isfinite(losses).any()]
        for model, lines in curves.items()
    }
    drawn = {model: lines for model, lines in known.items() if lines}
    if not drawn:
        return empty_picture("learning curves", mark)
    folds = sorted({fold for lines in drawn.values() for fold, _ in lines})
    title = (
        f"learning curves, held out: {counted(len(drawn), 'model')}, {counted(len(folds), 'fold')}"
    )
    figure, plots = _grid(title, mark, len(drawn))
    colours = dict(zip(folds, _shades(len(folds)), strict=True))
    for plot, (model, lines) in zip(plots, drawn.items(), strict=True):
        _draw_curves(plot, lines, colours)
        plot.set_title(model, fontsize=8, color=INK)
    for plot in plots[::PLOTS_IN_A_ROW]:
        name_axis(plot, "log loss above the best")
    for plot in plots[-PLOTS_IN_A_ROW:]:
        plot.set_xlabel("round or epoch", fontsize=8, color=INK)
    named = folds if len(folds) <= NAMED_FOLDS else [folds[0], folds[-1]]
    entries = [Line2D([], [], color=colours[fold], lw=1.4, label=f"fold {fold}") for fold in named]
    entries.append(Line2D([], [], color=WARNING, marker="o", ls="", ms=4, label="best"))
    figure.legend(handles=entries, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return to_png(figure)


def importance_picture(table: pl.DataFrame, *, top: int, vendors: Collection[str]) -> bytes:
    """The `top` most important features, split by class, beside the families.

    `table` has scope, group, feature, importance, rank, as `importance_table` of the ensemble
    gives it. A feature's bar is the mean over the classes; its parts are a third of each class's.
    """
    mark = vendor_mark(pl.DataFrame(), vendors)
    overall = table.filter(pl.col("scope") == "all").sort("rank", "feature")
    if overall.is_empty():
        return empty_picture("feature importance", mark)
    shown = overall.head(top)["feature"].to_list()
    families = table.filter(pl.col("scope") == "family").sort("rank", "group")
    families = families.head(DRAWN_FAMILIES)
    title = f"feature importance, mean |SHAP|: {len(shown)} of {counted(overall.height, 'feature')}"
    height = max(HEIGHT_INCHES, 1.1 + BAR_INCHES * len(shown))
    figure = _titled(title, mark, height)
    ranking, beside = (plain(plot) for plot in figure.subplots(1, 2, width_ratios=(3, 2)))
    _draw_importance(ranking, table, shown)
    _draw_families(beside, families, slots=len(shown))
    return to_png(figure)


def regime_confusion_picture(frame: pl.DataFrame, *, vendors: Collection[str]) -> bytes:
    """Predicted class (rows) against what came true (columns), one matrix for each regime.

    `frame` has regime (null: none), label and predicted, both class numbers. Cells hold counts
    and the share of their row.
    """
    mark = vendor_mark(pl.DataFrame(), vendors)
    if frame.is_empty():
        return empty_picture("predictions by regime", mark)
    frame = frame.with_columns(pl.col("regime").fill_null(NO_REGIME))
    found = frame["regime"].unique().to_list()
    regimes = sorted(found, key=lambda name: (name == NO_REGIME, name))
    title = f"predictions by regime: {counted(frame.height, 'row')}"
    figure, plots = _grid(title, mark, len(regimes))
    for plot, regime in zip(plots, regimes, strict=True):
        rows = frame.filter(pl.col("regime") == regime)
        _draw_confusion(plot, _confusion(rows))
        plot.set_title(f"{regime}: {rows.height:,}", fontsize=8, color=INK)
        plot.set_xlabel("came true", fontsize=8, color=INK)
    for plot in plots[::PLOTS_IN_A_ROW]:
        name_axis(plot, "predicted")
    return to_png(figure)


def ablation_picture(table: pl.DataFrame, *, vendors: Collection[str]) -> bytes:
    """What each base model adds: its own loss, and what the ensemble loses without it.

    `table` has model, log_loss, log_loss_without and gain = log_loss_without - log loss of the
    ensemble; unknown figures are null or NaN.
    """
    mark = vendor_mark(pl.DataFrame(), vendors)
    if table.is_empty():
        return empty_picture("what each model adds", mark)
    figures = ("log_loss", "log_loss_without", "gain")
    table = table.with_columns(pl.col(figures).cast(pl.Float64).fill_nan(None))
    table = table.sort(["gain", "model"], descending=[True, False], nulls_last=True)
    title = f"what each of {counted(table.height, 'model')} adds to the ensemble"
    figure, (losses, gains) = new_figure(title, mark, width_ratios=(1, 1))
    _draw_losses(losses, table)
    _draw_gains(gains, table)
    for plot in (losses, gains):
        plot.set_ylim(max(table.height, 3) - 0.4, -0.6)
        _vertical_lines(plot)
    return to_png(figure)


def _draw_curves(
    plot: Axes,
    lines: Sequence[tuple[int, NDArray[np.float64]]],
    colours: Mapping[int, tuple[float, float, float]],
) -> None:
    longest = max(len(losses) for _, losses in lines)
    highest = 0.0
    for fold, losses in lines:
        best = int(np.nanargmin(losses))
        above = losses - losses[best]
        highest = max(highest, float(np.nanmax(above)))
        # Points show a round between two without a figure, where no line is drawn.
        style = "o-" if len(losses) <= FEW_ROUNDS else "-"
        rounds = np.arange(1, len(losses) + 1)
        plot.plot(rounds, above, style, color=colours[fold], lw=1.1, ms=2)
        plot.plot(best + 1, 0, "o", color=WARNING, ms=3, zorder=3)
    margin = 0.5 if longest <= FEW_ROUNDS else 0.03 * longest
    plot.set_xlim(1 - margin, longest + margin)
    whole = FixedLocator([1]) if longest == 1 else MaxNLocator(4, integer=True)
    plot.xaxis.set_major_locator(whole)
    plot.set_ylim(-0.06 * (highest or 1), 1.06 * (highest or 1))
    plot.yaxis.set_major_locator(MaxNLocator(4))
    plot.ticklabel_format(axis="y", useOffset=False)
    plot.tick_params(labelsize=7)


def _draw_importance(plot: Axes, table: pl.DataFrame, shown: list[str]) -> None:
    start = np.zeros(len(shown))
    for name in CLASSES:
        rows = table.filter(pl.col("scope") == "class", pl.col("group") == name)
        found = dict(rows.select("feature", "importance").iter_rows())
        part = np.array([found.get(feature) or 0.0 for feature in shown]) / len(CLASSES)
        part = np.nan_to_num(part)
        plot.barh(shown, part, left=start, color=CLASS_COLOURS[name], label=name, height=0.7)
        start += part
    _finish_bars(plot, len(shown), float(start.max()))
    plot.legend(fontsize=8, frameon=False, loc="lower right")
    plot.set_xlabel("mean |contribution| to the log-odds", fontsize=8, color=INK)


def _draw_families(plot: Axes, families: pl.DataFrame, *, slots: int) -> None:
    lengths = np.nan_to_num(families["importance"].to_numpy())
    plot.barh(families["group"].to_list(), lengths, color=ACCENT, height=0.7)
    _finish_bars(plot, max(families.height, slots), float(lengths.max(initial=0)))
    plot.set_xlabel("families: features summed", fontsize=8, color=INK)


def _finish_bars(plot: Axes, count: int, longest: float) -> None:
    plot.set_ylim(max(count, 4) - 0.4, -0.6)
    plot.set_xlim(0, 1.05 * longest if longest > 0 else 1)
    plot.xaxis.set_major_locator(MaxNLocator(4))
    _vertical_lines(plot)


def _confusion(rows: pl.DataFrame) -> NDArray[np.int64]:
    counts = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    np.add.at(counts, (rows["predicted"].to_numpy(), rows[LABEL].to_numpy()), 1)
    return counts


def _draw_confusion(plot: Axes, counts: NDArray[np.int64]) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    plot.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*counts.shape):
        plot.text(
            column,
            row,
            f"{_short(int(counts[row, column]))}\n{shares[row, column]:.0%}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if shares[row, column] > 0.55 else INK,
        )
    plot.grid(visible=False)
    plot.tick_params(labelsize=7, length=0)
    plot.set_xticks(range(len(CLASSES)), CLASSES)
    plot.set_yticks(range(len(CLASSES)), CLASSES)


def _draw_losses(plot: Axes, table: pl.DataFrame) -> None:
    places = np.arange(table.height)
    own, without = (_numbers(table, name) for name in ("log_loss", "log_loss_without"))
    plot.plot(own, places, "o", color=ACCENT, ms=5, label="alone")
    whole = without - _numbers(table, "gain")
    if np.isfinite(whole).any():
        plot.plot(without, places, "|", color=WARNING, ms=10, mew=2, label="ensemble without it")
        plot.axvline(float(np.nanmedian(whole)), color=INK, lw=0.9, label="ensemble")
    plot.set_yticks(places, table["model"].to_list())
    plot.xaxis.set_major_locator(MaxNLocator(4))
    plot.ticklabel_format(axis="x", useOffset=False)
    plot.set_xlabel("log loss", fontsize=8, color=INK)
    figure = plot.get_figure()
    if isinstance(figure, Figure):
        figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)


def _draw_gains(plot: Axes, table: pl.DataFrame) -> None:
    gain = 1000 * _numbers(table, "gain")
    known = np.nan_to_num(gain)
    reach = float(np.abs(known).max()) or 1.0
    plot.barh(np.arange(len(gain)), known, color=np.where(known < 0, WARNING, ACCENT), height=0.6)
    for place, value in enumerate(gain):
        text = "unknown" if np.isnan(value) else f"{value:+.2f}"
        plot.text(max(known[place], 0) + 0.03 * reach, place, text, va="center", fontsize=8)
    plot.axvline(0, color=INK, lw=0.6)
    plot.set_xlim(1.1 * min(0.0, float(known.min())), max(0.0, float(known.max())) + 0.45 * reach)
    plot.set_yticks([])
    plot.xaxis.set_major_locator(MaxNLocator(4))
    plot.set_xlabel("gain, thousandths of a nat per row", fontsize=8, color=INK)


def _grid(title: str, mark: str, count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` plots in rows of `PLOTS_IN_A_ROW`."""
    rows = -(-count // PLOTS_IN_A_ROW)
    figure = _titled(title, mark, max(HEIGHT_INCHES, 0.6 + ROW_INCHES * rows))
    grid = figure.subplots(rows, min(count, PLOTS_IN_A_ROW), squeeze=False)
    for spare in grid.flat[count:]:
        spare.set_axis_off()
    return figure, [plain(plot) for plot in grid.flat[:count]]


def _titled(title: str, mark: str, height: float) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained")
    write_title(figure, title, mark)
    return figure


def _vertical_lines(plot: Axes) -> None:
    plot.grid(axis="y", visible=False)
    plot.grid(axis="x", color=LINES, linewidth=0.7)


def _shades(count: int) -> list[tuple[float, float, float]]:
    """Colours from faint to strong, so that later folds stand out."""
    faint, strong = (np.array(rgb_of(colour)) / 255 for colour in (FAINT, ACCENT))
    steps = np.linspace(0, 1, count) if count > 1 else np.ones(1)
    blended = faint + steps[:, None] * (strong - faint)
    return [(float(red), float(green), float(blue)) for red, green, blue in blended]


def _finite(losses: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(losses, dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _numbers(table: pl.DataFrame, name: str) -> NDArray[np.float64]:
    return table[name].fill_null(np.nan).to_numpy()


def _short(count: int) -> str:
    """Write a count that fits into a small cell: `9,999`, `123k`."""
    return f"{count:,}" if count < 100_000 else f"{count / 1000:,.0f}k"
