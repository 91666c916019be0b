"""Is anything wrong? The first thing that the nightly page says."""

import datetime as dt
from collections.abc import Iterable, Sequence

from turbomode_assets.nightly.figures import (
    Alerts,
    Concern,
    Drift,
    Green,
    Level,
    Outcomes,
    Run,
    Runs,
    Signals,
)
from turbomode_assets.reports.wording import counted, share_text
from turbomode_assets.runs.failures import ALL_OF_IT

LEVELS: tuple[Level, ...] = ("well", "look", "act")
QUIET = ("stable", "warn", None)
"""Verdicts of drift that nobody needs to act on: one feature of many exceeds by chance."""
NAMED_RUNS = 3


def concerns_of(
    session: dt.date,
    green: Green,
    signals: Signals,
    outcomes: Outcomes,
    drift: Drift,
    runs: Runs,
    alerts: Alerts,
) -> tuple[Concern, ...]:
    """List what is not as it should be, the worst first."""
    found = [
        *_about_signals(session, signals),
        *_about_data(session, green),
        *_about_runs(runs.rows),
        *_about_alerts(alerts),
        *_about_drift(session, drift),
        *_about_outcomes(outcomes),
    ]
    return tuple(sorted(found, key=lambda concern: -LEVELS.index(concern.level)))


def worst_level(concerns: Iterable[Concern]) -> Level:
    """Return the level of the worst concern."""
    return max((concern.level for concern in concerns), key=LEVELS.index, default="well")


def _about_signals(session: dt.date, signals: Signals) -> list[Concern]:
    if not signals.rows:
        why = signals.why_none or "the reason is not known"
        return [Concern("act", f"There are no signals of {session}: {why}", "signals")]
    return [
        Concern("look", f"Signals went out past the GREEN gate: {reason}", "signals")
        for reason in signals.gate_overrides
    ]


def _about_data(session: dt.date, green: Green) -> list[Concern]:
    if green.share is None:
        return [Concern("act", f"No daily candle of {session} was audited", "coverage")]
    if green.share >= green.wanted_share:
        return []
    is_poor = green.share < green.floor_share
    limit = green.floor_share if is_poor else green.wanted_share
    return [
        Concern(
            "act" if is_poor else "look",
            f"Only {share_text(green.green, green.expected)} of the daily candles of {session} "
            f"are GREEN ({green.amber:,} AMBER, {green.red:,} RED); the limit is "
            f"{100 * limit:.10g} %",
            "coverage",
        )
    ]


def _about_runs(runs: Sequence[Run]) -> list[Concern]:
    failed = [run for run in runs if run.left_undone is not None]
    told = [
        Concern(
            "act" if run.covers_session else "look",
            f"Run {run.job} of {run.sessions or 'no session'} "
            f"{'was canceled' if run.status == 'CANCELED' else 'failed'}"
            + (f": {run.failure}" if run.failure else "")
            + ("" if run.left_undone == ALL_OF_IT else f"; left undone: {run.left_undone}"),
            "runs",
        )
        for run in failed[:NAMED_RUNS]
    ]
    if len(failed) > NAMED_RUNS:
        rest = f"{counted(len(failed) - NAMED_RUNS, 'more run')} failed"
        told.append(Concern("look", rest, "runs"))
    return told


def _about_alerts(alerts: Alerts) -> list[Concern]:
    return [
        Concern("act" if alert.severity == "critical" else "look", alert.title, "alerts")
        for alert in alerts.rows
        if alert.severity != "info" and alert.acknowledged_by is None
    ]


def _about_drift(session: dt.date, drift: Drift) -> list[Concern]:
    if drift.verdict is None:
        return [Concern("look", f"Drift of {session} was not measured", "drift")]
    told = []
    if drift.retrain:
        told.append(
            Concern(
                "look",
                f"The world has drifted: {drift.exceeding} of {drift.features} features exceed "
                f"their limits; {drift.model_version} asks to be trained again",
                "drift",
            )
        )
    for subject, verdict in (
        ("Predictions", drift.predictions_verdict),
        ("Outcomes", drift.outcomes_verdict),
    ):
        if verdict not in QUIET:
            told.append(Concern("look", f"{subject} have drifted", "drift"))
    return told


def _about_outcomes(outcomes: Outcomes) -> list[Concern]:
    if not outcomes.due_tonight or outcomes.unsettled_tonight < outcomes.due_tonight:
        return []
    due = counted(outcomes.due_tonight, "signal")
    return [Concern("look", f"No outcome was settled, although {due} came due", "outcomes")]
