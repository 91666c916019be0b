"""What lasts and people were told of, as of now."""

from markupsafe import Markup

from turbomode_assets.nightly.figures import Alert, NightlyReport
from turbomode_assets.nightly.page.sections.section import Section, SectionValues
from turbomode_assets.reports.html.tables import Column, table
from turbomode_assets.reports.html.words import count, minute, word


def _what(alert: Alert) -> Markup:
    return Markup('<b>{}</b><div>{}</div><div class="soft">Remedy: {}</div>').format(
        alert.title, alert.detail, alert.remedy
    )


COLUMNS = (
    Column("severity", lambda alert: word(alert.severity)),
    Column("kind", lambda alert: alert.kind),
    Column("what", _what, "wide"),
    Column("times", lambda alert: count(alert.times), "n"),
    Column("first seen", lambda alert: minute(alert.first_seen)),
    Column("last seen", lambda alert: minute(alert.last_seen)),
    Column("acknowledged by", lambda alert: alert.acknowledged_by or "nobody"),
)


def values(report: NightlyReport) -> SectionValues:
    """Give the open alerts, the most severe first."""
    return SectionValues(report.alerts.why_none, {"table": table(COLUMNS, report.alerts.rows)})


SECTION = Section("alerts", "Open alerts", values)
