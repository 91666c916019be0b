"""Sections of the nightly page that are as of now: runs and alerts."""

from turbomode_assets.nightly.figures import Alerts, Run, Runs
from turbomode_assets.nightly.page.markup import Markup, figure, joined, tag
from turbomode_assets.nightly.page.words import count, duration, minute, section, table, word


def runs_section(runs: Runs) -> Markup:
    """What ran in the last nights, as of now."""
    headings = ("job", "status", "sessions", "started", "took", "run")
    return section(
        "runs",
        "Runs of the last nights",
        runs.why_none,
        table(
            headings,
            [_run_row(run) for run in runs.rows],
            numeric=(4,),
            wide=(0,),
            notes=[run.failure for run in runs.rows],
        )
        if runs.rows
        else None,
    )


def _run_row(run: Run) -> tuple[object, ...]:
    return (
        run.job,
        word(run.status),
        run.sessions or "–",
        minute(run.created_at),
        duration(run.seconds),
        figure(run.run_id, run.run_id[:8]),
    )


def alerts_section(alerts: Alerts) -> Markup:
    """What lasts and people were told of, as of now."""
    rows = [
        (
            word(alert.severity),
            alert.kind,
            joined(
                tag("b", alert.title),
                tag("div", alert.detail),
                tag("div", "Remedy: ", alert.remedy, class_="soft"),
            ),
            count(alert.times),
            minute(alert.first_seen),
            minute(alert.last_seen),
            alert.acknowledged_by or "nobody",
        )
        for alert in alerts.rows
    ]
    headings = ("severity", "kind", "what", "times", "first seen", "last seen", "acknowledged by")
    return section(
        "alerts",
        "Open alerts",
        alerts.why_none,
        table(headings, rows, numeric=(3,), wide=(2,)) if rows else None,
    )
