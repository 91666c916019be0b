"""The nightly page: one HTML file that needs no other, and the same figures as JSON.

The page is laid out here and in `nightly_*`; what it says is `NightlyReport`. It loads nothing
and runs nothing: its own security policy forbids both to the browser.
"""

from turbomode_assets.nightly.figures import SCHEMA, Concern, NightlyReport, nightly_json
from turbomode_assets.nightly.page.markup import Markup, figure, joined, tag, void
from turbomode_assets.nightly.page.operations import alerts_section, runs_section
from turbomode_assets.nightly.page.platform import (
    backtest_section,
    coverage_section,
    drift_section,
)
from turbomode_assets.nightly.page.signals import (
    calibration_section,
    outcomes_section,
    signals_section,
)
from turbomode_assets.nightly.page.words import (
    count,
    minute,
    percent,
    signed_percent,
    tile,
    tiles,
    word,
)
from turbomode_assets.nightly.style import STYLE
from turbomode_assets.reports.canvas import SIMULATED, counted, share_text

SECTIONS = {
    "signals": "Signals",
    "outcomes": "How past signals did",
    "calibration": "Calibration",
    "drift": "Drift",
    "coverage": "Data coverage",
    "backtest": "Backtest",
    "runs": "Runs of the last nights",
    "alerts": "Open alerts",
}
"""Id and heading of every section, in the order of the page."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

__all__ = ["SECTIONS", "nightly_json", "nightly_page"]


def nightly_page(report: NightlyReport) -> str:
    """Write the page; every text is escaped."""
    title = f"Night of {report.session}"
    head = tag(
        "head",
        void("meta", charset="utf-8"),
        void("meta", name="viewport", content="width=device-width,initial-scale=1"),
        void("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        void("link", rel="icon", href="data:,"),
        tag("title", f"{title} vendor={_vendors(report)}"),
        tag("style", Markup(STYLE)),
    )
    body = tag(
        "body",
        _stamp(report),
        _header(report, title),
        tag(
            "main",
            signals_section(report.signals),
            outcomes_section(report.outcomes),
            calibration_section(report.calibration),
            drift_section(report.drift),
            coverage_section(report.coverage, report.green),
            backtest_section(report.backtest),
            runs_section(report.runs),
            alerts_section(report.alerts),
        ),
        _footer(report),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _vendors(report: NightlyReport) -> str:
    return ", ".join(report.vendors) or "none"


def _stamp(report: NightlyReport) -> Markup | None:
    if SIMULATED not in report.vendors:
        return None
    said = "SIMULATED MARKET: these prices were made up, and so is everything that follows"
    return tag("div", said, class_="simulated", role="note")


def _header(report: NightlyReport, title: str) -> Markup:
    links = (tag("a", name, href=f"#{key}") for key, name in SECTIONS.items())
    return tag(
        "header",
        tag("h1", title),
        tag(
            "p",
            f"{report.session:%A}, session ",
            figure(report.session, str(report.session)),
            f". vendor={_vendors(report)}. Tenant {report.tenant}.",
            class_="soft",
        ),
        _verdict(report),
        _glance(report),
        tag("nav", *links, aria_label="Sections"),
    )


def _verdict(report: NightlyReport) -> Markup:
    things = counted(len(report.concerns), "thing")
    said = {
        "well": "All is well.",
        "look": f"Signals may be used; {things} to look at.",
        "act": f"Something is wrong: look at {things} before you use any signal.",
    }[report.level]
    concerns = [tag("li", _concern(each)) for each in report.concerns]
    return tag(
        "div",
        tag("strong", figure(report.level, said)),
        tag("ul", *concerns) if concerns else None,
        class_=f"verdict {report.level}",
    )


def _concern(each: Concern) -> Markup:
    link = tag("a", figure(each.section, SECTIONS[each.section]), href=f"#{each.section}")
    urgent = "Act: " if each.level == "act" else ""
    return joined(tag("b", figure(each.level, urgent)), f"{each.text} (", link, ")")


def _glance(report: NightlyReport) -> Markup:
    """The figures that most people come for."""
    signals, drift, green = report.signals, report.drift, report.green
    overall = report.outcomes.overall
    open_alerts = len(report.alerts.rows)
    return tiles(
        tile(
            joined(*(_sided(signals.count(side), side) for side in ("BUY", "SELL"))),
            f"signals; {signals.count('HOLD')} HOLD",
        ),
        tile(
            joined("–")
            if green.share is None
            else tag("span", share_text(green.green, green.expected)),
            "of ",
            count(green.expected),
            " daily candles are GREEN",
        ),
        tile(percent(overall.hit_rate if overall else None), "of past signals won"),
        tile(signed_percent(overall.expectancy if overall else None), "a position, before costs"),
        tile(word(drift.verdict), "drift: ", percent(drift.share), " of features exceed"),
        tile(joined(f"{open_alerts}"), f"open alert{'' if open_alerts == 1 else 's'}"),
    )


def _sided(number: int, side: str) -> Markup:
    return tag(
        "span",
        f"{number} {side} ",
        class_=f"t-{side.lower()}",
        style="display:inline-block;margin-right:.4rem",
    )


def _footer(report: NightlyReport) -> Markup:
    return tag(
        "footer",
        tag(
            "p",
            "Written ",
            minute(report.written_at),
            ". Runs and alerts are as of then; everything else is what was known at the close of "
            "the session. The same figures for machines: ",
            tag("a", f"{report.session}.json", href=f"{report.session}.json"),
            f" ({SCHEMA}).",
            class_="soft small",
        ),
    )
