"""Predictions and outcomes, beside features: what is frozen of them, measured, and made of it."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import pairwise

import polars as pl

from turbomode_assets.config.training import DriftConfig
from turbomode_assets.contracts.columns import CLASSES, DECISION_SESSION, LABEL, SESSION
from turbomode_assets.contracts.errors import MissingDataError, StoreError
from turbomode_assets.drift.levels import freeze_levels, levels_by_session
from turbomode_assets.drift.reference import DriftReference, freeze_reference
from turbomode_assets.drift.stability import drift_by_session
from turbomode_assets.drift.verdict import multiple_of_training
from turbomode_assets.sessions import SessionSpan, offset_session, session_index

FEATURE, PREDICTION, OUTCOME = SUBJECTS = ("feature", "prediction", "outcome")
PREDICTION_COLUMNS = tuple(f"p_{name.lower()}" for name in CLASSES)
OUTCOME_COLUMNS = (*(f"label_{name.lower()}" for name in CLASSES), "label_return")
ALARMING: Mapping[str, int] = {PREDICTION: len(PREDICTION_COLUMNS), OUTCOME: 1}
"""How many columns of a subject must exceed before it alerts.

Probabilities move slowly, and are frozen over a year at most (the out-of-fold sessions): on
stationary simulated markets one of the three exceeds in an eighth of all weeks, all three in one of
a hundred. All three rarely do when a model suddenly says BUY of everything, and where the largest
psi, kl and ks of the reference are near their ends none can: so a level that moved is enough.
Outcomes are frozen over every session learned from: one of the four exceeds in one or two weeks of
a hundred.
"""
SIDE_COLUMNS = tuple(f"p_{name.lower()}" for name in ("SELL", "BUY"))
"""Probabilities whose levels are watched: p_hold is what they leave."""
LEAST_WINDOWS = 10
"""A reference shorter than so many windows knows too little of its own movements to judge by."""


def freeze_predictions(forecasts: pl.DataFrame, config: DriftConfig) -> DriftReference:
    """Freeze what a model says: of `forecasts` (session, p_sell, p_hold, p_buy), one row a symbol.

    They must be of rows that the models behind them had not learned from: of those they had, a
    model is surer than it will be of any other. The reference also knows the levels of
    `SIDE_COLUMNS` (see `freeze_levels`).

    Raises:
        MissingDataError: fewer sessions than `LEAST_WINDOWS` windows.
    """
    frozen = _freeze(forecasts, PREDICTION_COLUMNS, config, what="forecasts")
    return replace(frozen, levels=freeze_levels(forecasts, SIDE_COLUMNS, config.window_sessions))


def freeze_outcomes(
    labels: pl.DataFrame, config: DriftConfig, *, longest_wait: int
) -> DriftReference:
    """Freeze how labels came out, by the session on which they became known.

    `labels` has session (known), decision_session, label and return, and holds every decision
    between its first and its last; none waits more than `longest_wait` sessions for its label. Of
    the first sessions only quick labels are there and of the last ones only slow ones: both ends
    are left out.

    Raises:
        MissingDataError: fewer sessions than `LEAST_WINDOWS` windows between the two ends.
    """
    decided = labels.get_column(DECISION_SESSION).unique().sort().to_list()
    whole = labels.clear()
    if decided:
        first, last = offset_session(decided[0], longest_wait), offset_session(decided[-1], 1)
        whole = labels.filter(pl.col(SESSION).is_between(first, last))
    return _freeze(outcome_values(whole), OUTCOME_COLUMNS, config, what="labels")


def outcome_values(labels: pl.DataFrame) -> pl.DataFrame:
    """Give session and `OUTCOME_COLUMNS`: each class as 1 or 0, and the return of a long entry.

    Each class has a column of its own, so that a rare one shares no bin with its neighbour.
    """
    return labels.select(
        SESSION,
        *(
            (pl.col(LABEL) == number).cast(pl.Float64).alias(name)
            for number, name in enumerate(OUTCOME_COLUMNS[: len(CLASSES)])
        ),
        label_return=pl.col("return"),
    )


def drift_where_whole(
    reference: DriftReference,
    rows: pl.DataFrame,
    span: SessionSpan,
    config: DriftConfig,
    *,
    made: Collection[dt.date],
) -> tuple[pl.DataFrame | None, dict[dt.date, str]]:
    """Measure `drift_by_session` on the sessions of a span whose windows are whole.

    Beside it stand the columns of `levels_by_session`, null of what the reference knows no
    level of; a column whose level moved is an alert. `made` are the sessions whose rows were made,
    even where there were none to make.

    Returns:
        The drift (None: of no session), and the other sessions, each with what it lacks.
    """
    length = window_sessions(reference)
    present, known = set(rows.get_column(SESSION).unique()), set(made)
    lacking: dict[dt.date, str] = {}
    for session in span.sessions:
        window = set(SessionSpan(session, session).trailing(length - 1).sessions)
        if absent := window - known:
            lacking[session] = f"{len(absent)} of the {length} sessions up to it are absent"
        elif not window & present:
            lacking[session] = f"none in the {length} sessions up to it"
    whole = [session for session in span.sessions if session not in lacking]
    measured = []
    for run in _runs(whole):
        drift = drift_by_session(reference, rows, run, config, empty=known - present)
        measured.append(_with_levels(drift, reference, rows, run))
    return (pl.concat(measured) if measured else None), lacking


def window_sessions(reference: DriftReference) -> int:
    """Sessions of the windows that a frozen reference of predictions or outcomes knows.

    Raises:
        StoreError: it knows none; it was not frozen by this module.
    """
    if reference.maxima is None:
        raise StoreError(
            "a reference of predictions or outcomes does not know its own windows",
            where="drift reference",
            fix="restore the champion's files from a backup, or train that session again",
        )
    return reference.maxima.window_sessions


def subject_verdicts(drift: pl.DataFrame, subject: str) -> pl.DataFrame:
    """Sum up each session of what `drift_where_whole` measured of predictions or outcomes.

    alert where `ALARMING` columns exceed or the level of one moved, warn where fewer exceed, else
    stable.

    Returns:
        session, verdict; by session.
    """
    exceeding = pl.col("exceeds").sum()
    moved = pl.col("moved").any() if "moved" in drift.columns else pl.lit(value=False)
    return (
        drift.group_by(SESSION)
        .agg(
            pl.when((exceeding >= ALARMING[subject]) | moved)
            .then(pl.lit("alert"))
            .when(exceeding > 0)
            .then(pl.lit("warn"))
            .otherwise(pl.lit("stable"))
            .alias("verdict")
        )
        .sort(SESSION)
    )


def rank_drift(drift: pl.DataFrame) -> pl.DataFrame:
    """Add `multiple` (of `multiple_of_training`) to rows of drift_monitoring, and sort them.

    By session; in it predictions and outcomes that alert come first, each of which is a reason of a
    verdict, and then what is farthest from its reference (by psi where no multiple is known).
    """
    is_reason = (pl.col("verdict") == "alert") & (pl.col("subject") != FEATURE)
    ranked = drift.with_columns(multiple_of_training(), is_reason.alias("is_reason")).sort(
        [SESSION, "is_reason", "multiple", "psi", "feature"],
        descending=[False, True, True, True, False],
        nulls_last=True,
    )
    return ranked.drop("is_reason")


def _with_levels(
    drift: pl.DataFrame, reference: DriftReference, rows: pl.DataFrame, span: SessionSpan
) -> pl.DataFrame:
    levels = levels_by_session(reference.levels or {}, rows, span, window_sessions(reference))
    moved = pl.col("moved").fill_null(value=False)
    return drift.join(
        levels, on=[SESSION, "feature"], how="left", validate="1:1", maintain_order="left"
    ).with_columns(pl.when(moved).then(pl.lit("alert")).otherwise("verdict").alias("verdict"))


def _freeze(
    rows: pl.DataFrame, columns: tuple[str, ...], config: DriftConfig, *, what: str
) -> DriftReference:
    needed = LEAST_WINDOWS * config.window_sessions
    if (found := rows.get_column(SESSION).n_unique()) < needed:
        raise MissingDataError(
            f"{what} of {found} sessions are too few to know how they move: {needed} are needed, "
            f"{LEAST_WINDOWS} windows of {config.window_sessions}",
            where="drift reference",
            fix="train on more sessions or folds, or shorten drift_detection.window_sessions",
        )
    return freeze_reference(rows, columns, config, sessions=rows.get_column(SESSION))


def _runs(sessions: list[dt.date]) -> list[SessionSpan]:
    """Consecutive sessions, run by run."""
    if not sessions:
        return []
    breaks = [
        number
        for number, (left, right) in enumerate(pairwise(sessions), start=1)
        if session_index(right) != session_index(left) + 1
    ]
    bounds = [0, *breaks, len(sessions)]
    return [SessionSpan(sessions[at], sessions[until - 1]) for at, until in pairwise(bounds)]
