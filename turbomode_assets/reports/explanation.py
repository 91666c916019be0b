"""Why a signal is what it is, for people: one set of blocks, as terminal lines or as a page."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import polars as pl
from rich.text import Text

from turbomode_assets.reports.blocks import Block, block_lines
from turbomode_assets.reports.html.charts import Bar, bars
from turbomode_assets.reports.html.rendering import render
from turbomode_assets.reports.html.tables import Column, Table, table
from turbomode_assets.reports.wording import SIMULATED

NARROWEST = 80


@dataclass(frozen=True)
class ExplainedSignal:
    """Everything that is told about one signal.

    `signal` and `origin` are names and what is said of them. `live` has role, model_version,
    effective_session, decision and decided_by; `decisions` follows the promotions log.
    `probabilities` has model, p_sell, p_hold, p_buy, and `probabilities_source` says whether they
    were recorded or computed again; `contributions` class, rank, feature, value,
    contribution, percentile, sessions and formula; `bars` the prices with volume, vendor and the
    ledger's verdict; `ledger` the rows of partition_status for the session. `check` says whether
    they give what went out, and `warnings` what does not fit.
    """

    title: str
    vendor: str
    signal: Mapping[str, str]
    origin: Mapping[str, str]
    live: pl.DataFrame
    decisions: pl.DataFrame
    probabilities: pl.DataFrame
    probabilities_source: str
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
    """Return one HTML page with the same content and charts of it; it needs no other file."""
    return render(
        "explanation.html",
        title=told.title,
        vendor=told.vendor,
        is_simulated=SIMULATED in told.vendor,
        blocks=[
            (block, _laid_out(block), charts.get(block.title), f"bars of: {block.title}")
            for charts in [_charts(told.contributions)]
            for block in explanation_blocks(told)
        ],
    )


def _laid_out(block: Block) -> Table | None:
    """The table of a block, whose columns are cells by their places."""
    headings = block.headings or [""] * len(block.rows[0] if block.rows else ())
    columns = [
        Column(heading, itemgetter(at), "n" if at in block.numeric else "")
        for at, heading in enumerate(headings)
    ]
    notes = dict(zip(map(tuple, block.rows), block.notes, strict=True)) if block.notes else {}
    return table(columns, map(tuple, block.rows), note=notes.get)


def _charts(contributions: pl.DataFrame) -> dict[str, list[Bar]]:
    """What each feature adds to the log-odds of a side, under the title of its block."""
    return {
        _moved(str(side)): bars(
            [(name, added, f"{added:+.4f}") for name, added in rows.iter_rows()]
        )
        for (side,), rows in contributions.sort("rank", maintain_order=True)
        .select("class", "feature", "contribution")
        .partition_by("class", as_dict=True, include_key=False)
        .items()
    }


def _moved(side: str) -> str:
    return f"What moved {side} most"


def _probability_block(told: ExplainedSignal) -> Block:
    rows = [
        (model, *(f"{value:.6f}" for value in values))
        for model, *values in told.probabilities.iter_rows()
    ]
    return Block(
        f"Probabilities, {told.probabilities_source}",
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
        _moved(side),
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
