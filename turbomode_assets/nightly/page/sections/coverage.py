"""What daily candles there are and are not."""

from turbomode_assets.nightly.figures import NightlyReport
from turbomode_assets.nightly.page.sections.section import Section, SectionValues
from turbomode_assets.reports.html.charts import heat_map
from turbomode_assets.reports.html.tables import Column, table
from turbomode_assets.reports.html.words import count, day
from turbomode_assets.reports.wording import counted

COLOURS = {"G": "green", "A": "amber", "R": "red"}
LEGEND = {"green": "GREEN", "amber": "AMBER", "red": "RED", "none": "not expected"}
SESSION_COLUMNS = (
    Column("session", lambda each: day(each.session)),
    Column("GREEN", lambda each: count(each.green), "n"),
    Column("AMBER", lambda each: count(each.amber), "n"),
    Column("RED", lambda each: count(each.red), "n"),
)
REASON_COLUMNS = (
    Column("reason", lambda each: each.reason),
    Column("verdict", lambda each: each.verdict),
    Column("candles", lambda each: count(each.cells), "n"),
)


def values(report: NightlyReport) -> SectionValues:
    """Give the map of symbols and sessions, and why what is not GREEN is not."""
    coverage = report.coverage
    rows = [(row.symbol, row.verdicts) for row in coverage.rows]
    days = [str(each.session) for each in coverage.sessions]
    return SectionValues(
        coverage.why_none,
        {
            "green": report.green,
            "coverage": coverage,
            "sessions": counted(len(coverage.sessions), "session"),
            "legend": LEGEND,
            "map": heat_map(rows, days, COLOURS) if rows else None,
            "reasons": table(REASON_COLUMNS, coverage.reasons),
            "numbers": table(SESSION_COLUMNS, reversed(coverage.sessions)),
        },
    )


SECTION = Section("coverage", "Data coverage", values)
