"""The drift statistics of recent features against the frozen reference, feature by feature."""

import datetime as dt
from collections.abc import Collection, Sequence

import numpy as np
import polars as pl

from turbomode_assets.config.training import DriftConfig
from turbomode_assets.contracts.columns import SESSION
from turbomode_assets.contracts.errors import InputError, MissingDataError, first_few
from turbomode_assets.drift.bins import (
    Counts,
    bin_counts,
    frozen_counts,
    require_columns,
    window_counts,
)
from turbomode_assets.drift.reference import DriftReference
from turbomode_assets.drift.statistics import statistics_of
from turbomode_assets.drift.verdict import judge_features
from turbomode_assets.sessions import SessionSpan

DRIFT_COLUMNS = (
    SESSION,
    "feature",
    "psi",
    "expected_psi",
    "kl",
    "ks",
    "psi_maximum",
    "kl_maximum",
    "ks_maximum",
    "exceeds",
    "verdict",
    "rows",
)

_WHERE = "features of the drift window"


def population_stability(
    reference: DriftReference, window: pl.DataFrame, config: DriftConfig, *, as_of: dt.date
) -> pl.DataFrame:
    """Compare all rows of `window` with the reference, feature by feature.

    psi, kl and ks are `population_stability_index`, `kl_divergence` and `ks_statistic` over the
    reference's bins; psi_maximum, kl_maximum and ks_maximum are the largest values that windows of
    the training rows had (null where the reference does not know them). What `exceeds` and
    `verdict` make of the two: `judge_features`.

    `expected_psi` is what sampling alone produces: (k - 1)(1/n + 1/m) for k bins that training
    rows fell into, n training rows and m window rows (Yurdakul and Naranjo 2020, Journal of Risk
    Model Validation 14(4)). It assumes independent rows, which rows of one session or of
    overlapping feature windows are not: measured on 24 US stocks, 20 sessions of a 60-session
    average against its own training sessions had a median of 0.24, twelve times this number. So
    it is a lower bound, reported and not subtracted.

    Returns:
        session (`as_of`) and the other `DRIFT_COLUMNS`; features in the order of the reference.

    Raises:
        MissingDataError: the window has no rows or lacks features of the reference.
        InputError: the window holds rows after `as_of`, or another number of sessions than the
            windows of the reference's maxima.
    """
    require_columns(window, [SESSION, *reference.columns], where=_WHERE)
    if window.is_empty():
        raise MissingDataError(
            f"no rows to compare as of {as_of}",
            where=_WHERE,
            fix="materialize features for the sessions up to it",
        )
    later = window.filter(pl.col(SESSION) > as_of)[SESSION].unique().sort()
    if later.len():
        raise InputError(
            f"rows after {as_of}: {first_few(later)}",
            where=_WHERE,
            fix="pass rows up to the session that the drift is measured on",
        )
    found = window[SESSION].n_unique()
    if reference.maxima is not None and found != reference.maxima.window_sessions:
        raise InputError(
            f"{found} sessions cannot be judged by windows of {reference.maxima.window_sessions}",
            where=_WHERE,
            fix="pass the rows of as many sessions as the reference's own windows have",
        )
    positions = np.zeros(window.height, dtype=np.int64)
    counts = bin_counts(reference.features, window, positions, sessions=1)
    return _drift_frame(reference, [as_of], counts, config)


def reference_window(
    reference: DriftReference, span: SessionSpan, config: DriftConfig
) -> SessionSpan:
    """Sessions whose rows `drift_by_session` reads for a span."""
    return span.trailing(_window_sessions(reference, config) - 1)


def _window_sessions(reference: DriftReference, config: DriftConfig) -> int:
    maxima = reference.maxima
    return config.window_sessions if maxima is None else maxima.window_sessions


def drift_by_session(
    reference: DriftReference,
    features: pl.DataFrame,
    span: SessionSpan,
    config: DriftConfig,
    *,
    empty: Collection[dt.date] = (),
) -> pl.DataFrame:
    """Measure `population_stability` on every session of `span`, over its trailing window.

    The window of a session is that session and those before it, `window_sessions` in all: as many
    as in the windows of the reference's maxima, which hold for no other length, and
    `config.window_sessions` where it has none. `features` must reach back that far; rows outside
    the windows are ignored. A session's rows are counted once and shared by all windows that hold
    it, in integers: a range gives exactly what its sessions give one by one. `empty` are sessions
    that are known to have no rows (nothing was missed: nothing happened).

    Raises:
        MissingDataError: another session in a window has no rows at all, a window has none in any
            of its sessions, or features are missing.
    """
    require_columns(features, [SESSION, *reference.columns], where=_WHERE)
    window_sessions = _window_sessions(reference, config)
    sessions = reference_window(reference, span, config).sessions
    features = features.filter(pl.col(SESSION).is_between(sessions[0], sessions[-1]))
    found = set(features[SESSION].unique()) | set(empty)
    if absent := [session for session in sessions if session not in found]:
        raise MissingDataError(
            f"sessions without a single row: {first_few(absent)}",
            where=f"{_WHERE} ({window_sessions} sessions up to each of {span})",
            fix="materialize features for them",
        )
    known = np.asarray(sessions, dtype="datetime64[D]")
    positions = np.searchsorted(known, features[SESSION].to_numpy().astype("datetime64[D]"))
    daily = bin_counts(reference.features, features, positions, sessions=len(sessions))
    counts = window_counts(daily, window_sessions)
    _require_rows(counts, span)
    return _drift_frame(reference, span.sessions, counts, config)


def _require_rows(counts: Counts, span: SessionSpan) -> None:
    filled = counts[:, 0].sum(axis=-1) > 0
    if bare := [each for each, has_rows in zip(span.sessions, filled, strict=True) if not has_rows]:
        raise MissingDataError(
            f"windows without a single row, up to: {first_few(bare)}",
            where=_WHERE,
            fix="measure drift on sessions whose windows hold rows",
        )


def _drift_frame(
    reference: DriftReference, sessions: Sequence[dt.date], counts: Counts, config: DriftConfig
) -> pl.DataFrame:
    expected = frozen_counts(reference.features)
    used_bins = (expected > 0).sum(axis=-1)
    rows = counts[:, 0].sum(axis=-1)
    sampling = (used_bins - 1) * (1 / reference.rows + 1 / rows[:, None])
    measured = statistics_of(counts, expected)
    features = len(reference.features)
    frame = pl.DataFrame(
        {
            SESSION: pl.Series(np.repeat(np.asarray(sessions, "datetime64[D]"), features)),
            "feature": reference.columns * len(sessions),
            **{name: values.ravel() for name, values in measured.items()},
            **{f"{name}_maximum": _maximum(reference, name) * len(sessions) for name in measured},
            "expected_psi": sampling.ravel(),
            "rows": np.repeat(rows, features),
        },
        schema_overrides={f"{name}_maximum": pl.Float64 for name in measured},
    )
    return judge_features(frame, config).select(DRIFT_COLUMNS)


def _maximum(reference: DriftReference, statistic: str) -> list[float | None]:
    """Return the reference's own maximum of a statistic for each feature, or nulls."""
    if reference.maxima is None:
        return [None] * len(reference.features)
    return [reference.maxima.largest[feature][statistic] for feature in reference.columns]
