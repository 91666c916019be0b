"""How signals of the last year ended."""

from collections.abc import Callable

from markupsafe import Markup

from turbomode_assets.nightly.figures import NightlyReport, OutcomeGroup, Outcomes
from turbomode_assets.nightly.page.sections.section import Section, SectionValues
from turbomode_assets.nightly.page.sections.signals import bold
from turbomode_assets.reports.html.tables import Column, Table, table
from turbomode_assets.reports.html.words import (
    between,
    count,
    day,
    figure,
    percent,
    signed_percent,
    word,
)
from turbomode_assets.reports.wording import counted

GROUPINGS = {
    "side": "By side",
    "confidence": "By confidence of the side that was signalled",
    "hold confidence": "HOLD, by its confidence",
    "regime": "By regime of the market when it was signalled",
}
FOLDED_ROWS = 12
"""A list that is longer than this is folded away."""
TOUCHED = {"profit_take": "upper barrier", "stop_loss": "lower barrier", "expiry": "time"}
"""What ended a position. Barriers are named as a BUY has them: a SELL wins at the lower one."""


def _ended(name: str) -> Callable[[OutcomeGroup], Markup]:
    """Write how many ended so; HOLD is no position: it neither wins nor loses."""

    def cell(group: OutcomeGroup) -> Markup:
        number = getattr(group, name)
        is_held = group.by == "hold confidence" or group.group == "HOLD"
        return figure(number, "–") if is_held else count(number)

    return cell


GROUP_COLUMNS = (
    Column("group", lambda group: group.group),
    Column("signals", lambda group: count(group.rows), "n"),
    Column("won", _ended("wins"), "n"),
    Column("lost", _ended("losses"), "n"),
    Column("expired", _ended("expired"), "n"),
    Column("hit rate", lambda group: percent(group.hit_rate), "n"),
    Column("expectancy", lambda group: signed_percent(group.expectancy), "n"),
    Column("said", lambda group: percent(group.mean_probability), "n"),
    Column("came true", lambda group: percent(group.came_true), "n"),
)
SETTLED_COLUMNS = (
    Column("symbol", lambda row: bold(row.symbol)),
    Column("signal", lambda row: word(row.signal)),
    Column("outcome", lambda row: word(row.outcome)),
    Column("return", lambda row: signed_percent(row.return_), "n"),
    Column(
        "ended by",
        lambda row: figure(row.exit_reason, TOUCHED.get(row.exit_reason, row.exit_reason)),
    ),
    Column("signalled", lambda row: day(row.signalled)),
    Column("left", lambda row: day(row.exit_session)),
)


def values(report: NightlyReport) -> SectionValues:
    """Give figures of all that was due, and what was settled tonight."""
    outcomes, overall = report.outcomes, report.outcomes.overall
    said = (
        between(percent(overall.came_true), " / ", percent(overall.mean_probability))
        if overall
        else None
    )
    return SectionValues(
        outcomes.why_none,
        {
            "outcomes": outcomes,
            "overall": overall,
            "came_true": said,
            "groupings": _groupings(outcomes),
            "settled": table(SETTLED_COLUMNS, outcomes.settled),
            "settled_summary": _summary(outcomes),
            "is_folded": len(outcomes.settled) > FOLDED_ROWS,
        },
    )


def _groupings(outcomes: Outcomes) -> list[tuple[Markup, Table]]:
    found = []
    for by, title in GROUPINGS.items():
        chosen = [group for group in outcomes.groups if group.by == by]
        if by == "side":
            chosen = [*(group for group in outcomes.groups if group.by == "all"), *chosen]
        if (laid_out := table(GROUP_COLUMNS, chosen)) is not None:
            found.append((figure(by, title), laid_out))
    return found


def _summary(outcomes: Outcomes) -> str:
    ended = [row.outcome for row in outcomes.settled]
    words = ", ".join(f"{ended.count(name)} {name}" for name in dict.fromkeys(sorted(ended)))
    return f"{counted(len(ended), 'position')}: {words}"


SECTION = Section("outcomes", "How past signals did", values)
