"""Whether what was said with 60 % came true in 60 of 100 cases."""

from turbomode_assets.nightly.figures import CalibrationPoint, NightlyReport
from turbomode_assets.nightly.page.sections.section import Section, SectionValues
from turbomode_assets.reports.html.charts import reliability
from turbomode_assets.reports.html.tables import Column, table
from turbomode_assets.reports.html.words import between, count, percent

COLUMNS = (
    Column("side", lambda point: point.side),
    Column(
        "said between",
        lambda point: between(percent(point.lower), " to ", percent(point.upper)),
    ),
    Column("signals", lambda point: count(point.rows), "n"),
    Column("said on average", lambda point: percent(point.mean_probability), "n"),
    Column("came true", lambda point: percent(point.observed_share), "n"),
)


def values(report: NightlyReport) -> SectionValues:
    """Give the reliability chart and its numbers."""
    calibration = report.calibration
    sides: dict[str, list[CalibrationPoint]] = {}
    for point in calibration.points:
        sides.setdefault(point.side, []).append(point)
    chart = reliability(
        {
            side: [(point.mean_probability, point.observed_share) for point in points]
            for side, points in sides.items()
        }
    )
    return SectionValues(
        calibration.why_none,
        {
            "calibration": calibration,
            "chart": chart,
            "legend": {side.lower(): side for side in sides} | {"limit": "said = came true"},
            "numbers": table(COLUMNS, calibration.points),
        },
    )


SECTION = Section("calibration", "Calibration", values)
