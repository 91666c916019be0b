"""The nightly page: one HTML file that needs no other, and the same figures as JSON.

The page is the list of its sections; what it says is `NightlyReport`.
"""

from pathlib import Path

from turbomode_assets.nightly.figures import SCHEMA, NightlyReport, nightly_json
from turbomode_assets.nightly.page.sections import (
    alerts,
    backtest,
    calibration,
    coverage,
    drift,
    outcomes,
    runs,
    signals,
)
from turbomode_assets.nightly.page.sections.section import Section
from turbomode_assets.reports.html.rendering import render
from turbomode_assets.reports.wording import SIMULATED, counted, share_text

PAGE: tuple[Section, ...] = (
    signals.SECTION,
    outcomes.SECTION,
    calibration.SECTION,
    drift.SECTION,
    coverage.SECTION,
    backtest.SECTION,
    runs.SECTION,
    alerts.SECTION,
)
"""The sections in the order of the page."""

SECTIONS = {section.name: section.heading for section in PAGE}
"""Heading of every section, by its name."""

VERDICTS = {
    "well": "All is well.",
    "look": "Signals may be used; {things} to look at.",
    "act": "Something is wrong: look at {things} before you use any signal.",
}
_TEMPLATES = Path(__file__).with_name("templates")

__all__ = ["PAGE", "SECTIONS", "nightly_json", "nightly_page"]


def nightly_page(report: NightlyReport) -> str:
    """Write the page; every text is escaped."""
    green = report.green
    return render(
        "page.html",
        _TEMPLATES,
        report=report,
        title=f"Night of {report.session}",
        weekday=f"{report.session:%A}",
        vendors=", ".join(report.vendors) or "none",
        is_simulated=SIMULATED in report.vendors,
        verdict=VERDICTS[report.level].format(things=counted(len(report.concerns), "thing")),
        headings=SECTIONS,
        sections=[(section, section.values(report)) for section in PAGE],
        green_share=share_text(green.green, green.expected) if green.share is not None else "–",
        schema=SCHEMA,
    )
