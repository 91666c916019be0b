"""Why a signal is what it is, for people: one set of blocks, as terminal lines or as a page."""

import base64
import datetime as dt
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.text import Text

from turbomode_assets.reports.blocks import Block, block_html, block_lines
from turbomode_assets.reports.canvas import (
    ACCENT,
    DOTS_PER_INCH,
    HEIGHT_INCHES,
    INK,
    LINES,
    SIMULATED,
    WARNING,
    WIDTH_INCHES,
    empty_picture,
    plain,
    to_png,
    vendor_mark,
    write_title,
)

NARROWEST = 80
BAR_INCHES = 0.24

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#22303c;max-width:52rem;margin:1.5rem auto;
padding:0 1rem}h1{font-size:1.3rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
div{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}
th,td{padding:.2rem .9rem .2rem 0;text-align:left;vertical-align:top}
td:first-child{white-space:nowrap}td:last-child{overflow-wrap:anywhere}
th{color:#5a6873;font-weight:600;border-bottom:1px solid #b4bec8}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.f td:first-child{color:#5a6873;font-size:.85rem;padding-top:0;white-space:normal;max-width:0}
p{margin:.3rem 0}.w{color:#c8443c;font-weight:600}img{max-width:100%;min-width:34rem;height:auto;
margin-top:.8rem}@media(max-width:30rem){body{font-size:13px}th,td{padding-right:.5rem}}
"""


@dataclass(frozen=True)
class ExplainedSignal:
    """Everything that is told about one signal.

    `signal` and `origin` are names and what is said of them. `live` has role, model_version,
    effective_session, decision and decided_by; `decisions` follows the promotions log.
    `probabilities` has model, p_sell, p_hold, p_buy; `contributions` class, rank, feature, value,
    contribution, percentile, sessions and formula; `bars` the prices with volume, vendor and the
    ledger's verdict; `ledger` the rows of partition_status for the session. `check` says whether
    the stack's probabilities equal the stored ones, and `warnings` what does not fit.
    """

    title: str
    vendor: str
    signal: Mapping[str, str]
    origin: Mapping[str, str]
    live: pl.DataFrame
    decisions: pl.DataFrame
    probabilities: pl.DataFrame
    contributions: pl.DataFrame
    bars: pl.DataFrame
    ledger: pl.DataFrame
    check: str
    check_failed: bool
    warnings: Sequence[str] = ()


def explanation_blocks(told: ExplainedSignal) -> list[Block]:
    """Write everything that is told as blocks, most wanted first."""
    sides = told.contributions.get_column("class").unique(maintain_order=True)
    return [
        Block("Signal", rows=list(told.signal.items()), warnings=told.warnings),
        _probability_block(told),
        *(_contribution_block(told.contributions, side) for side in sides),
        _bar_block(told),
        _people_block(told),
        Block("Made from", rows=list(told.origin.items())),
    ]


def explanation_lines(told: ExplainedSignal, *, width: int = NARROWEST) -> list[Text]:
    """Return lines of at most `width` characters (`NARROWEST` at least) for a terminal."""
    width = max(width, NARROWEST)
    title = Text(told.title, style="bold")
    mark = f"  vendor={told.vendor}"
    lines = [title.append(mark, style="bold red" if SIMULATED in mark else "bold")]
    for block in explanation_blocks(told):
        lines += [Text(), *block_lines(block, width)]
    return lines


def explanation_page(told: ExplainedSignal) -> str:
    """Return one HTML page with the same content and the picture; it needs no other file."""
    picture = contributions_picture(told.contributions, title=told.title, vendor=told.vendor)
    encoded = base64.b64encode(picture).decode()
    sides = ", ".join(told.contributions.get_column("class").unique(maintain_order=True))
    described = f"Contributions to {sides or 'the signal'}; the numbers stand in the tables"
    image = f'<div><img alt="{html.escape(described)}" src="data:image/png;base64,{encoded}"></div>'
    title, vendor = html.escape(told.title), html.escape(f"vendor={told.vendor}")
    marked = ' class="w"' if SIMULATED in told.vendor else ""
    first, *others = (block_html(block) for block in explanation_blocks(told))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title} {vendor}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{title} <span{marked}>{vendor}</span></h1>\n"
        + "\n".join([first, image, *others])
        + "\n</body></html>\n"
    )


def contributions_picture(contributions: pl.DataFrame, *, title: str, vendor: str) -> bytes:
    """Bars of what each feature adds to the raw score of a class: a plot for each class.

    `contributions` has class, rank, feature and contribution.
    """
    mark = vendor_mark(pl.DataFrame(), [vendor])
    if contributions.is_empty():
        return empty_picture(title, mark)
    by_class = contributions.sort("rank", maintain_order=True).partition_by("class", as_dict=True)
    longest = max(rows.height for rows in by_class.values())
    height = max(HEIGHT_INCHES * 0.6, 1.0 + BAR_INCHES * longest)
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained")
    write_title(figure, title, mark)
    grid = figure.subplots(1, len(by_class), squeeze=False, sharex=True)
    reach = float(contributions.get_column("contribution").abs().max() or 0) or 1.0  # type: ignore[arg-type]
    for plot, ((side,), rows) in zip(grid[0], by_class.items(), strict=True):
        _draw_bars(plain(plot), str(side), rows, slots=longest, reach=reach)
    return to_png(figure)


def _draw_bars(plot: Axes, side: str, rows: pl.DataFrame, *, slots: int, reach: float) -> None:
    lengths = rows.get_column("contribution").to_numpy()
    places = np.arange(len(lengths))
    plot.barh(places, lengths, color=np.where(lengths < 0, WARNING, ACCENT), height=0.7)
    plot.set_yticks(places, rows.get_column("feature").to_list())
    plot.set_ylim(max(slots, 4) - 0.4, -0.6)
    plot.set_xlim(-1.1 * reach, 1.1 * reach)
    plot.axvline(0, color=INK, lw=0.6)
    plot.xaxis.set_major_locator(MaxNLocator(5))
    plot.grid(axis="y", visible=False)
    plot.grid(axis="x", color=LINES, linewidth=0.7)
    plot.set_xlabel(f"added to the log-odds of {side}", fontsize=8, color=INK)


def _probability_block(told: ExplainedSignal) -> Block:
    rows = [
        (model, *(f"{value:.6f}" for value in values))
        for model, *values in told.probabilities.iter_rows()
    ]
    return Block(
        "Probabilities, recomputed from the stored features",
        rows,
        ("model", "P(SELL)", "P(HOLD)", "P(BUY)"),
        numeric=(1, 2, 3),
        remarks=() if told.check_failed else (told.check,),
        warnings=(told.check,) if told.check_failed else (),
    )


def _contribution_block(contributions: pl.DataFrame, side: str) -> Block:
    rows, notes = [], []
    for row in contributions.filter(pl.col("class") == side).sort("rank").iter_rows(named=True):
        place = (
            "missing"
            if row["percentile"] is None
            else f"{row['percentile']:.1f} of {row['sessions']:,}"
        )
        value = "missing" if row["value"] is None else f"{row['value']:.6g}"
        rows.append((row["feature"], value, place, f"{row['contribution']:+.4f}"))
        notes.append(row["formula"])
    return Block(
        f"What moved {side} most",
        rows,
        ("feature", "value", "percentile", "adds"),
        numeric=(1, 2, 3),
        notes=notes,
        remarks=(
            f"adds: mean SHAP contribution to the log-odds of {side} over the models that have "
            "exact ones (the four LightGBM models and the logistic regression). Percentile: among "
            "this symbol's stored sessions up to then that have a value.",
        ),
    )


def _bar_block(told: ExplainedSignal) -> Block:
    rows = [
        (
            str(row["session"]),
            *(f"{row[name]:.7g}" for name in ("open", "high", "low", "close")),
            "-" if row["volume"] is None else f"{row['volume']:,.0f}",
            row["vendor"],
            row["verdict"] or "not audited",
        )
        for row in told.bars.iter_rows(named=True)
    ]
    remarks = [
        f"ledger {row['session']} {row['timeframe']}: {row['verdict']}, {row['actual_rows']} of "
        f"{row['expected_rows']} candles, from {row['delivered_by'] or 'nobody'}, reasons: "
        f"{row['reasons'] or 'none'}; checked {_minute(row['checked_at'])}"
        for row in told.ledger.iter_rows(named=True)
    ]
    headings = ("session", "open", "high", "low", "close", "volume", "vendor", "ledger")
    return Block(
        "Last bars used (unadjusted)",
        rows,
        headings,
        numeric=(1, 2, 3, 4, 5),
        remarks=remarks,
        warnings=() if told.ledger.height else ("the ledger has no row of this session",),
    )


def _people_block(told: ExplainedSignal) -> Block:
    columns = ("role", "model_version", "effective_session", "decision", "decided_by")
    rows = [tuple(str(value) for value in row) for row in told.live.select(columns).iter_rows()]
    remarks = []
    for row in told.decisions.iter_rows(named=True):
        since = f" from {row['effective_session']} on" if row["effective_session"] else ""
        replaced = f", in place of {row['replaced']}" if row["replaced"] else ""
        remarks.append(
            f"{_minute(row['decided_at'])}: {row['model_version']} {row['decision']}{since} by "
            f"{row['decided_by']}{replaced}: {row['reason']}"
        )
    headings = ("role", "model", "from", "decision", "by")
    return Block("Who was live, and who decided it", rows, headings, remarks=remarks)


def _minute(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
