"""Gathering what the nightly page says: one question to the stores for each section."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from turbomode_assets.alerts.alert_book import open_alerts
from turbomode_assets.completeness import vendors_of
from turbomode_assets.contracts.columns import SIGNAL_KEY
from turbomode_assets.nightly.figures import (
    Alert,
    Alerts,
    Calibration,
    CalibrationPoint,
    NightlyReport,
    OutcomeGroup,
    Outcomes,
    SettledSignal,
    finite,
)
from turbomode_assets.nightly.platform import (
    gather_backtest,
    gather_coverage,
    gather_drift,
    gather_green,
    read_ledger,
)
from turbomode_assets.nightly.runs import gather_runs
from turbomode_assets.nightly.signals import gather_signals
from turbomode_assets.nightly.verdict import concerns_of, worst_level
from turbomode_assets.runs.history import RunHistory
from turbomode_assets.sessions import SessionSpan, session_index, session_indices
from turbomode_assets.settings import Settings
from turbomode_assets.signals import fully_known, outcome_figures
from turbomode_assets.stores import Lake, MasterReader, ModelMemory
from turbomode_assets.stores.signal_book import outcomes_of, signals_said
from turbomode_assets.validation import (
    brier_score,
    expected_calibration_error,
    reliability_curve,
)

FIGURES_SESSIONS = 252
"""Sessions up to the page's whose signals its figures count, as far as they are due."""
NO_MEMORY = "Model memory does not exist yet: nothing was trained and nothing was signalled."

Regimes = Callable[[pl.DataFrame], pl.DataFrame | None]


@dataclass(frozen=True)
class NightlySources:
    """Where the figures come from. `regimes` answers for outcomes, sorted by session."""

    settings: Settings
    master: MasterReader
    lake: Lake
    memory: ModelMemory
    runs: RunHistory
    regimes: Regimes


def gather_report(sources: NightlySources, session: dt.date, now: dt.datetime) -> NightlyReport:
    """Return what is known of a session at its close, and which runs and alerts there are now.

    What is missing is said in the report; nothing that is missing keeps the page back.
    """
    memory = sources.memory if sources.memory.exists() else None
    quality = sources.settings.data_quality()
    ledger = read_ledger(sources.master, session)
    green = gather_green(ledger, session, quality)
    signals, vendors = gather_signals(memory, sources.lake, session)
    delivered = vendors_of(ledger.filter(pl.col("session") == session))
    known = _due_outcomes(memory, session)
    outcomes = gather_outcomes(memory, known, session, sources.regimes)
    drift = gather_drift(memory, session, sources.settings.training().drift_detection.alarm_share)
    runs = gather_runs(sources.runs, session, now)
    alerts = gather_alerts(memory)
    concerns = concerns_of(session, green, signals, outcomes, drift, runs, alerts)
    return NightlyReport(
        session=session,
        written_at=now,
        tenant=sources.settings.tenant_name,
        vendors=tuple(sorted({*vendors, *delivered})),
        level=worst_level(concerns),
        concerns=concerns,
        green=green,
        signals=signals,
        outcomes=outcomes,
        calibration=gather_calibration(known, session),
        drift=drift,
        coverage=gather_coverage(ledger, session),
        backtest=gather_backtest(memory, session),
        runs=runs,
        alerts=alerts,
    )


def gather_outcomes(
    memory: ModelMemory | None, known: pl.DataFrame, session: dt.date, regimes: Regimes
) -> Outcomes:
    """Figures of `known` outcomes, what was settled in the session, and what is open still."""
    span = SessionSpan(session, session).trailing(FIGURES_SESSIONS - 1)
    if memory is None:
        return Outcomes(span.first, why_none=NO_MEMORY)
    ended = _known_by(outcomes_of(memory, span), session)
    settled = ended.filter(pl.col("known_session") == session, pl.col("signal") != "HOLD")
    said = _champions(signals_said(memory, span))
    waiting = said.join(ended, on=SIGNAL_KEY, how="anti")
    tonight = session_index(session)
    is_due = _due_at(waiting) <= tonight
    groups = outcome_figures(known, regimes(known)) if known.height else known.clear()
    return Outcomes(
        span.first,
        groups=tuple(_group(row) for row in groups.iter_rows(named=True)),
        settled=tuple(_settled(row) for row in settled.sort("symbol").iter_rows(named=True)),
        open=waiting.filter(~is_due, pl.col("signal") != "HOLD").height,
        overdue=int(is_due.sum()),
        due_tonight=int((_due_at(said) == tonight).sum()),
        unsettled_tonight=int((_due_at(waiting) == tonight).sum()),
        why_none=None if known.height else _why_nothing_is_due(said, session),
    )


def gather_calibration(known: pl.DataFrame, session: dt.date) -> Calibration:
    """Compare what was said with what came true, over signals that were due."""
    if known.is_empty():
        return Calibration(
            why_none=f"No signal was due by {session}, so nothing is known of how often they come "
            "true."
        )
    probabilities = known.select("p_sell", "p_hold", "p_buy").to_numpy()
    labels = known["label"].to_numpy()
    curve = reliability_curve(probabilities, labels).rename({"class": "side"})
    return Calibration(
        rows=known.height,
        brier_score=brier_score(probabilities, labels),
        calibration_error=expected_calibration_error(probabilities, labels),
        points=tuple(CalibrationPoint(**row) for row in curve.iter_rows(named=True)),
    )


def gather_alerts(memory: ModelMemory | None) -> Alerts:
    """Alerts that are open now, the most severe first."""
    rows = open_alerts(memory) if memory is not None else pl.DataFrame()
    if rows.is_empty():
        return Alerts(why_none="No alert is open.")
    names = list(Alert.__dataclass_fields__)
    return Alerts(tuple(Alert(**row) for row in rows.select(names).iter_rows(named=True)))


def _due_outcomes(memory: ModelMemory | None, session: dt.date) -> pl.DataFrame:
    """Champions' outcomes of the last year whose signals are due, sorted by their key."""
    if memory is None:
        return pl.DataFrame()
    span = SessionSpan(session, session).trailing(FIGURES_SESSIONS - 1)
    ended = _known_by(outcomes_of(memory, span), session)
    return fully_known(ended, as_of=session)


def _known_by(outcomes: pl.DataFrame, session: dt.date) -> pl.DataFrame:
    return _champions(outcomes).filter(pl.col("known_session") <= session)


def _due_at(said: pl.DataFrame) -> pl.Series:
    """Place in the calendar at which each signal is due; at once where no rule was recorded."""
    return session_indices(said["session"]) + said["label_sessions"].fill_null(0)


def _champions(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("role") == "champion")


def _why_nothing_is_due(said: pl.DataFrame, session: dt.date) -> str:
    if said.is_empty():
        return "No champion has signalled in the last year, so nothing could win or lose."
    first, waits = said.item(0, "session"), said["label_sessions"].drop_nulls().to_list()
    sessions = f"; a signal is due {max(waits)} sessions later" if waits else ""
    return f"No signal was due by {session}: the first was given on {first}{sessions}."


def _group(row: dict[str, object]) -> OutcomeGroup:
    return OutcomeGroup(**{name: _clean(value) for name, value in row.items()})  # type: ignore[arg-type]  # FIGURES_SCHEMA has these types


def _settled(row: dict[str, object]) -> SettledSignal:
    names = ("symbol", "signal", "outcome", "exit_reason", "exit_session")
    told = {name: row[name] for name in names}
    return SettledSignal(signalled=row["session"], return_=row["return"], **told)  # type: ignore[arg-type]  # OUTCOME_SCHEMA has these types


def _clean(value: object) -> object:
    return finite(value) if isinstance(value, float) else value
