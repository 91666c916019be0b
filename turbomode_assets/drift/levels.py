"""The mean of a probability: how far it wanders from window to window, and steps within days.

Shares in bins cannot tell: beyond the outermost edge all distances are alike, and where windows of
the reference lie in a bin or two the largest psi, kl and ks are next to what the three can reach at
all. Log odds of a mean have no end.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import SESSION
from turbomode_assets.contracts.errors import MissingDataError, first_few
from turbomode_assets.drift.bins import Counts, Values, values_of
from turbomode_assets.sessions import SessionSpan

STEP_SESSIONS = 2
"""A step is the move from the mean of so many sessions to that of as many after them."""
USUAL_STEPS = 0.95
"""Share of the reference's steps that are usual: their largest hangs on a single day."""
STEP_FACTOR = 1.75
"""A step may be so many times the largest usual one."""
WIDENING = 0.75
"""A window may lie outside those of the reference by this part of their range, on either side."""

LEVEL_SCHEMA = {
    **dict.fromkeys(("mean", "mean_least", "mean_most", "step", "step_limit"), pl.Float64),
    "moved": pl.Boolean,
}
"""Columns beside session and feature (see `levels_by_session`)."""

_SCHEMA = {SESSION: pl.Date, "feature": pl.String, **LEVEL_SCHEMA}
_UNIT = 1e-9
_LEAST = 1e-6


@dataclass(frozen=True)
class LevelRange:
    """Means of a probability over windows of the reference, and its usual step (in log odds)."""

    lowest: float
    highest: float
    usual_step: float

    @property
    def limits(self) -> tuple[float, float]:
        """Log odds that a window's mean may lie between, both allowed."""
        low, high = (float(each) for each in _log_odds(np.array([self.lowest, self.highest])))
        margin = WIDENING * (high - low)
        return low - margin, high + margin

    def is_possible(self) -> bool:
        """Tell whether the numbers can have come from a reference."""
        return 0 <= self.lowest <= self.highest <= 1 and 0 <= self.usual_step < math.inf


def freeze_levels(
    rows: pl.DataFrame, columns: Sequence[str], window_sessions: int
) -> dict[str, LevelRange]:
    """Measure the range of each probability over every run of so many sessions that have rows.

    Raises:
        MissingDataError: a probability is missing throughout, or in all but a few sessions.
    """
    known, positions = np.unique(rows.get_column(SESSION).to_numpy(), return_inverse=True)
    frozen = {}
    for name in columns:
        sums, counts = _by_session(rows, name, positions, len(known))
        means, steps = _means(sums, counts, window_sessions), _steps(sums, counts)
        if np.isnan(steps).all():
            raise MissingDataError(
                f"{name} is missing in too many sessions to know a single step of it",
                where="drift reference",
                fix="freeze what a model said of rows that it could judge",
            )
        usual = np.nanquantile(steps, USUAL_STEPS)
        frozen[name] = LevelRange(float(np.nanmin(means)), float(np.nanmax(means)), float(usual))
    return frozen


def levels_by_session(
    levels: Mapping[str, LevelRange], rows: pl.DataFrame, span: SessionSpan, window_sessions: int
) -> pl.DataFrame:
    """Hold each probability's mean and steps against the reference's, session by session.

    The mean is that of all rows of the window, `window_sessions` up to the session. It may lie
    outside the range of the reference's windows by `WIDENING` times that range, in log odds:
    between `mean_least` and `mean_most`. The step is |log odds of the mean of the last
    `STEP_SESSIONS` sessions - log odds of the mean of as many before|, which may be `STEP_FACTOR`
    times the reference's usual one: `step_limit`. `moved` where either is beyond its limits. Sums
    are kept in whole numbers: a range gives exactly what its sessions give one by one, and the
    order of rows does not matter.
    Missing: values that are missing take no part. Without a single one the mean is null, without
    one on either side of a step, or a window long enough for one, the step; nothing moved.

    Returns:
        session, feature, mean, mean_least, mean_most, step, step_limit, moved; feature by feature.
    """
    sessions = span.trailing(window_sessions - 1).sessions
    rows = rows.filter(pl.col(SESSION).is_between(sessions[0], sessions[-1]))
    days = rows.get_column(SESSION).to_numpy().astype("datetime64[D]")
    positions = np.searchsorted(np.asarray(sessions, "datetime64[D]"), days)
    frames = [pl.DataFrame(schema=_SCHEMA)]
    for name, level in levels.items():
        sums, counts = _by_session(rows, name, positions, len(sessions))
        means = _means(sums, counts, window_sessions)
        steps = _last_steps(_steps(sums, counts), window_sessions, len(means))
        (low, high), step_limit = level.limits, STEP_FACTOR * level.usual_step
        least, most = _shares(low, high)
        odds = _log_odds(means)
        # Comparisons with NaN are false.
        moved = (steps > step_limit) | (odds < low) | (odds > high)
        measured = {
            SESSION: span.sessions,
            "feature": [name] * len(means),
            "mean": means,
            "mean_least": [least] * len(means),
            "mean_most": [most] * len(means),
            "step": steps,
            "step_limit": [step_limit] * len(means),
            "moved": moved,
        }
        frames.append(pl.DataFrame(measured, schema=_SCHEMA, nan_to_null=True))
    return pl.concat(frames)


def tell_moves(drift: pl.DataFrame) -> str | None:
    """Say, session by session, which levels moved from where to where; None: none did."""
    moved = drift.filter(pl.col("moved"))
    told = [f"{row['session']} {tell_move(row)}" for row in moved.iter_rows(named=True)]
    return first_few(told) if told else None


def tell_move(row: Mapping[str, Any]) -> str:
    """Say a row of `levels_by_session` in words: its figures and what they may be."""
    step = "unknown" if row["step"] is None else f"{row['step']:.4g}"
    return (
        f"{row['feature']}: mean {row['mean']:.4g} ({row['mean_least']:.4g} to "
        f"{row['mean_most']:.4g} allowed), step {step} ({row['step_limit']:.4g} allowed)"
    )


def _by_session(
    rows: pl.DataFrame, name: str, positions: NDArray[np.int64], sessions: int
) -> tuple[Counts, Counts]:
    """Sum, in units of `_UNIT`, and number of the values present in each session."""
    values = values_of(rows, name)
    present = ~np.isnan(values)
    whole = np.rint(np.clip(values[present], 0.0, 1.0) / _UNIT).astype(np.int64)
    sums = np.zeros(sessions, dtype=np.int64)
    np.add.at(sums, positions[present], whole)
    return sums, np.bincount(positions[present], minlength=sessions).astype(np.int64)


def _means(sums: Counts, counts: Counts, length: int) -> Values:
    """Mean over every run of `length` sessions; NaN where no value is present."""
    total, number = _runs(sums, length), _runs(counts, length)
    means = np.full(len(total), np.nan)
    np.divide(total, number, out=means, where=number > 0)
    return means * _UNIT


def _steps(sums: Counts, counts: Counts) -> Values:
    """Step that ends with each session from the first that has 2 * `STEP_SESSIONS` up to it on."""
    odds = _log_odds(_means(sums, counts, STEP_SESSIONS))
    return np.abs(odds[STEP_SESSIONS:] - odds[:-STEP_SESSIONS])


def _last_steps(steps: Values, window_sessions: int, windows: int) -> Values:
    """Step that ends with each window; NaN where windows are too short for one."""
    before = window_sessions - 2 * STEP_SESSIONS
    return steps[before:] if before >= 0 else np.full(windows, np.nan)


def _runs(values: Counts, length: int) -> Counts:
    total = np.concatenate([[0], np.cumsum(values)])
    sums: Counts = total[length:] - total[:-length]
    return sums


def _log_odds(share: Values) -> Values:
    inner = np.clip(share, _LEAST, 1 - _LEAST)
    odds: Values = np.log(inner / (1 - inner))
    return odds


def _shares(low: float, high: float) -> tuple[float, float]:
    """Means that limits stand for; where `_log_odds` ends, everything beyond is within them."""
    lowest, highest = _log_odds(np.array([0.0, 1.0]))
    least, most = (1 / (1 + math.exp(-limit)) for limit in (low, high))
    return (0.0 if low <= lowest else least), (1.0 if high >= highest else most)
