"""Whether the world still looks as it did when the champion learned."""

from turbomode_assets.nightly.figures import Drift, NightlyReport
from turbomode_assets.nightly.page.sections.section import Section, SectionValues
from turbomode_assets.reports.html.charts import LineChart, line_chart
from turbomode_assets.reports.html.tables import Column, table
from turbomode_assets.reports.html.words import (
    between,
    count,
    day,
    number,
    percent,
    word,
)
from turbomode_assets.reports.wording import counted, percent_tick

TREND_COLUMNS = (
    Column("session", lambda point: day(point.session)),
    Column("share", lambda point: percent(point.share), "n"),
    Column("exceeding", lambda point: count(point.exceeding), "n"),
    Column("features", lambda point: count(point.features), "n"),
    Column("verdict", lambda point: word(point.verdict)),
)
WORST_COLUMNS = (
    Column("what", lambda each: each.feature),
    Column("kind", lambda each: each.subject),
    Column("verdict", lambda each: word(each.verdict)),
    Column("PSI", lambda each: number(each.psi), "n"),
    Column("largest in training", lambda each: number(each.psi_maximum), "n"),
    Column("KL", lambda each: number(each.kl), "n"),
    Column("KS", lambda each: number(each.ks), "n"),
)
LEVEL_COLUMNS = (
    Column("what", lambda each: each.feature),
    Column("level", lambda each: "moved" if each.moved else "as in training"),
    Column("mean", lambda each: number(each.mean), "n"),
    Column(
        "may be",
        lambda each: between(number(each.mean_least), " to ", number(each.mean_most)),
        "n",
    ),
    Column("step", lambda each: number(each.step), "n"),
    Column("at most", lambda each: number(each.step_limit), "n"),
)


def values(report: NightlyReport) -> SectionValues:
    """Give the verdict, its course, and what is furthest from what was learned."""
    drift = report.drift
    others = (("predictions", drift.predictions_verdict), ("outcomes", drift.outcomes_verdict))
    return SectionValues(
        drift.why_none,
        {
            "drift": drift,
            "others": [(name, verdict) for name, verdict in others if verdict is not None],
            "sessions": counted(len(drift.trend), "session"),
            "chart": _chart(drift) if drift.trend else None,
            "trend": table(TREND_COLUMNS, reversed(drift.trend)),
            "worst": table(WORST_COLUMNS, drift.worst),
            "levels": table(LEVEL_COLUMNS, drift.levels),
        },
    )


def _chart(drift: Drift) -> LineChart:
    return line_chart(
        [point.share for point in drift.trend],
        [str(point.session) for point in drift.trend],
        percent_tick,
        kind="share",
        limit=drift.alarm_share,
        from_zero=True,
        described="Share of features that exceed their limits, by session",
    )


SECTION = Section("drift", "Drift", values)
