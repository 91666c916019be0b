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

    `last_trained` is the as-of session of the last completed training, promoted or not, and
    `last_refused` says whether its model was refused; `champion_as_of` is the as-of session of the
    champion. `drift_alarms` are the sessions with a drift alarm against the champion's reference.
    `green_at_training` and `green_now` are the symbols with GREEN data around the last training's
    as-of session and around this one, None where nothing was audited. `outcomes` are the champion's
    predictions with an outcome known by its own label rule: decision_session, session (known),
    label, p_sell, p_hold, p_buy, and share_sell, share_hold, share_buy, the class shares that the
    champion learned from.
    """

    last_trained: dt.date | None
    last_refused: bool
    champion_as_of: dt.date | None
    drift_alarms: tuple[dt.date, ...]
    green_at_training: frozenset[str] | None
    green_now: frozenset[str] | None
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
    - coverage: symbols whose data became GREEN or ceased to be since the last training are more
      than `coverage_change` of those GREEN then;
    - cadence: `cadence_sessions` sessions have passed.

    Evidence speaks of the champion. While the model trained last is not the champion (refused, in
    shadow, withdrawn or rolled back), nothing new was learned from what caused its training, so
    evidence is due again only half a cadence (`cadence_sessions // 2`) after it. Alarms count after
    the last training only. Underperformance is judged on the champion's whole life, however many
    challengers were refused meanwhile: on the last decision sessions from its as-of session on
    whose every outcome is known, those at least as old as the longest that any outcome took. Among
    younger ones the outcomes already known are a selected sample with hardly any HOLD.

    Missing: without a champion, or with fewer such sessions, underperformance is not judged;
    without an audit then or now, coverage is not. Nothing after `session` is read, and nothing is
    due up to the session last trained as of.

    Raises:
        InputError: `session` or another day is no session, or outcomes that lack a column or are
            no probabilities.
    """
    trained, today = state.last_trained, session_index(session)
    if trained is None:
        return RetrainingCause("first", f"nothing was trained before {session}")
    passed = today - session_index(trained)
    if passed <= 0:
        return None
    took_over = state.champion_as_of == trained and not state.last_refused
    evidence: tuple[Callable[[], RetrainingCause | None], ...] = (
        lambda: _underperformance(state, config.underperformance, session),
        lambda: _drift(state, trained, config.drift_alarm_sessions, session),
        lambda: _coverage(state, trained, config.coverage_change),
    )
    if not took_over and passed < config.cadence_sessions // 2:
        evidence = ()
    found = next((cause for judge in evidence if (cause := judge()) is not None), None)
    return found or _cadence(trained, passed, config)


def _underperformance(
    state: TrainingState, config: UnderperformanceConfig, session: dt.date
) -> RetrainingCause | None:
    if state.champion_as_of is None:
        return None
    judged = _resolved_window(state.outcomes, state.champion_as_of, config.window_sessions, session)
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
    outcomes: pl.DataFrame, since: dt.date, window: int, session: dt.date
) -> pl.DataFrame | None:
    """Outcomes of the last `window` fully resolved sessions since one; None if there are fewer."""
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
    eligible = np.unique(decided[is_resolved & (decided >= session_index(since))])
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


def _coverage(state: TrainingState, trained: dt.date, allowed: float) -> RetrainingCause | None:
    then, now = state.green_at_training, state.green_now
    if then is None or now is None:
        return None
    came, left = sorted(now - then), sorted(then - now)
    change = (len(came) + len(left)) / max(len(then), 1)
    if change <= allowed:
        return None
    moves = [
        f"{len(names)} {word} ({first_few(names)})"
        for word, names in (("came", came), ("left", left))
        if names
    ]
    return RetrainingCause(
        "coverage",
        f"of {len(then)} symbols GREEN at the training as of {trained} {', '.join(moves)}: "
        f"{change:.1%} changed (allowed {allowed:.1%})",
    )


def _cadence(
    trained: dt.date, passed: int, config: TrainingOrchestratorConfig
) -> RetrainingCause | None:
    sessions = config.cadence_sessions
    if passed < sessions:
        return None
    return RetrainingCause(
        "cadence",
        f"{passed} sessions since the last training as of {trained}; due every {sessions}, "
        f"since {offset_session(trained, sessions)}",
    )
