"""Whether a new ensemble is due, and why: from what is recorded, without a clock."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from turbomode_assets.config.judging import TrainingOrchestratorConfig, UnderperformanceConfig
from turbomode_assets.contracts.columns import CLASSES, DECISION_SESSION, LABEL, SESSION
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.sessions import offset_session, session_index, session_indices
from turbomode_assets.validation.groups import FORECAST
from turbomode_assets.validation.inputs import require_forecast
from turbomode_assets.validation.metrics import log_loss

Kind = Literal["first", "underperformance", "drift", "coverage", "cadence"]

_SHARES = tuple(f"share_{name.lower()}" for name in CLASSES)
_WHERE = "retraining_cause"


@dataclass(frozen=True)
class TrainingState:
    """What is recorded of training and of the champion since.

    `last_trained` is the as-of session of the last completed training, promoted or not;
    `champion_as_of` that of the champion. `drift_alarms` are the sessions with a drift alarm.
    `symbols_trained` went into the last training, `symbols_green` would go into one now.
    `outcomes` are the champion's predictions with a known outcome: decision_session, session
    (known), label, p_sell, p_hold, p_buy, and share_sell, share_hold, share_buy, the class shares
    that the champion learned from.
    """

    last_trained: dt.date | None
    champion_as_of: dt.date | None
    drift_alarms: tuple[dt.date, ...]
    symbols_trained: frozenset[str]
    symbols_green: frozenset[str]
    outcomes: pl.DataFrame


@dataclass(frozen=True)
class RetrainingCause:
    """Why an ensemble is due, with the figures that say so."""

    kind: Kind
    text: str


def retraining_cause(
    state: TrainingState, config: TrainingOrchestratorConfig, *, session: dt.date
) -> RetrainingCause | None:
    """Say why an ensemble is due at the close of `session`; None if none is.

    The first of these that holds is the cause, evidence before routine:

    - first: nothing was ever trained;
    - underperformance: over `window_sessions` decision sessions, the champion's log loss exceeds
      that of the class shares it learned from by more than `maximum_log_loss_excess`;
    - drift: at least `drift_alarm_sessions` sessions with an alarm;
    - coverage: symbols that came or went are more than `coverage_change` of those trained on;
    - cadence: `cadence_sessions` sessions have passed.

    Alarms and decisions count after the last training only, whether or not it was promoted: what
    caused one training does not cause the next. Underperformance is judged on the last decision
    sessions whose every outcome is known, those at least as old as the longest that any outcome
    took: among younger ones the outcomes already known are a selected sample with hardly any HOLD.
    Missing: without a champion, or with fewer such sessions, it is not judged. Nothing after
    `session` is read, and nothing is due up to the session last trained as of.

    Raises:
        InputError: `session` or another day is no session, or outcomes that lack a column or are
            no probabilities.
    """
    trained, today = state.last_trained, session_index(session)
    if trained is None:
        return RetrainingCause("first", f"nothing was trained before {session}")
    if session_index(trained) >= today:
        return None
    causes: tuple[Callable[[], RetrainingCause | None], ...] = (
        lambda: _underperformance(state, trained, config.underperformance, session),
        lambda: _drift(state, trained, config.drift_alarm_sessions, session),
        lambda: _coverage(state, config.coverage_change),
        lambda: _cadence(trained, today, config.cadence_sessions),
    )
    return next((cause for judge in causes if (cause := judge()) is not None), None)


def _underperformance(
    state: TrainingState, trained: dt.date, config: UnderperformanceConfig, session: dt.date
) -> RetrainingCause | None:
    if state.champion_as_of is None:
        return None
    judged = _resolved_window(state.outcomes, trained, config.window_sessions, session)
    if judged is None:
        return None
    labels = judged.get_column(LABEL).cast(pl.Int8).to_numpy()
    losses = []
    for columns in (FORECAST, _SHARES):
        forecast = judged.select(columns).cast(pl.Float64).to_numpy()
        require_forecast(forecast, labels, where=f"{_WHERE}, outcomes {', '.join(columns)}")
        losses.append(log_loss(forecast, labels))
    champion, shares = losses
    if champion - shares <= config.maximum_log_loss_excess:
        return None
    first, last = judged.select(
        pl.col(DECISION_SESSION).min(), pl.col(DECISION_SESSION).max().alias("last")
    ).row(0)
    return RetrainingCause(
        "underperformance",
        f"log loss {champion:.4f} of the champion as of {state.champion_as_of} against "
        f"{shares:.4f} of its class shares, {champion - shares:.4f} more (allowed "
        f"{config.maximum_log_loss_excess}): {judged.height} outcomes of {config.window_sessions} "
        f"decision sessions, {first} to {last}",
    )


def _resolved_window(
    outcomes: pl.DataFrame, trained: dt.date, window: int, session: dt.date
) -> pl.DataFrame | None:
    """Outcomes of the last `window` fully resolved decision sessions; None if there are fewer."""
    absent = [
        name
        for name in (DECISION_SESSION, SESSION, LABEL, *FORECAST, *_SHARES)
        if name not in outcomes.columns
    ]
    if absent:
        raise InputError(
            f"outcomes have no column {first_few(absent)}",
            where=_WHERE,
            fix="give the champion's predictions joined with labels and its class shares",
        )
    known = outcomes.filter(pl.col(SESSION) <= session)
    if known.is_empty():
        return None
    decided = session_indices(known.get_column(DECISION_SESSION)).to_numpy()
    took = session_indices(known.get_column(SESSION)).to_numpy() - decided
    is_resolved = decided + took.max() <= session_index(session)
    eligible = np.unique(decided[is_resolved & (decided > session_index(trained))])
    if len(eligible) < window:
        return None
    return known.filter(pl.Series(np.isin(decided, eligible[-window:])))


def _drift(
    state: TrainingState, trained: dt.date, needed: int, session: dt.date
) -> RetrainingCause | None:
    alarms = sorted({alarm for alarm in state.drift_alarms if trained < alarm <= session})
    if len(alarms) < needed:
        return None
    return RetrainingCause(
        "drift",
        f"{len(alarms)} sessions with a drift alarm since {trained} (due at {needed}), "
        f"the last on {alarms[-1]}",
    )


def _coverage(state: TrainingState, allowed: float) -> RetrainingCause | None:
    came = sorted(state.symbols_green - state.symbols_trained)
    left = sorted(state.symbols_trained - state.symbols_green)
    change = (len(came) + len(left)) / max(len(state.symbols_trained), 1)
    if change <= allowed:
        return None
    moves = [
        f"{len(names)} {word} ({first_few(names)})"
        for word, names in (("came", came), ("left", left))
        if names
    ]
    return RetrainingCause(
        "coverage",
        f"of {len(state.symbols_trained)} symbols trained on {', '.join(moves)}: "
        f"{change:.1%} changed (allowed {allowed:.1%})",
    )


def _cadence(trained: dt.date, today: int, sessions: int) -> RetrainingCause | None:
    passed = today - session_index(trained)
    if passed < sessions:
        return None
    return RetrainingCause(
        "cadence",
        f"{passed} sessions since the last training as of {trained}; due every {sessions}, "
        f"since {offset_session(trained, sessions)}",
    )
