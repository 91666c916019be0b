"""Tonight's signals: what to do about each symbol, the surest first."""

from collections.abc import Sequence

from markupsafe import Markup

from turbomode_assets.nightly.figures import NightlyReport, Signal
from turbomode_assets.nightly.page.sections.section import Section, SectionValues
from turbomode_assets.reports.html.tables import Column, Table, table
from turbomode_assets.reports.html.words import count, day, percent, price, word


def bold(text: str) -> Markup:
    """Write the name of what a row is about."""
    return Markup("<b>{}</b>").format(text)


def _probabilities(row: Signal) -> Markup:
    """The three as a bar and in figures, and whose they are where that is not the champion."""
    kinds = (("sell", row.p_sell), ("hold", row.p_hold), ("buy", row.p_buy))
    part = Markup('<i class="{}" style="width:{:.3g}%"></i>')
    bar = Markup("").join(part.format(kind, 100 * share) for kind, share in kinds)
    shares = Markup(" / ").join(percent(share) for _, share in kinds)
    written = Markup(
        '<span class="bar" aria-hidden="true">{}</span><span class="soft small">{}</span>'
    ).format(bar, shares)
    if row.role == "champion":
        return written
    return written + Markup('<div class="soft small">{}</div>').format(row.model_version)


COLUMNS = (
    Column("symbol", lambda row: bold(row.symbol)),
    Column("rank", lambda row: count(row.rank), "n"),
    Column("signal", lambda row: word(row.signal)),
    Column("confidence", lambda row: percent(row.confidence), "n"),
    Column("entry (estimate)", lambda row: price(row.entry_price_estimate), "n"),
    Column("take profit", lambda row: price(row.profit_take_price), "n"),
    Column("stop loss", lambda row: price(row.stop_loss_price), "n"),
    Column("enters", lambda row: day(row.entry_session)),
    Column("expires", lambda row: day(row.expiry_session)),
    Column("sell / hold / buy", _probabilities),
)


def values(report: NightlyReport) -> SectionValues:
    """Give the signals apart from the HOLD, and what is said beside them."""
    rows = report.signals.rows
    sided = [row for row in rows if row.signal != "HOLD"]
    held = [row for row in rows if row.signal == "HOLD"]
    return SectionValues(
        report.signals.why_none,
        {
            "gate_overrides": report.signals.gate_overrides,
            "nothing": bool(rows) and not sided,
            "sided": _table(sided),
            "without_terms": any(row.entry_price_estimate is None for row in sided),
            "held": _table(held),
            "count_held": len(held),
            "models": report.signals.models,
        },
    )


def _table(rows: Sequence[Signal]) -> Table | None:
    return table(COLUMNS, rows)


SECTION = Section("signals", "Signals", values)

__all__ = ["SECTION", "bold"]
