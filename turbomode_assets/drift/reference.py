"""The frozen distribution of every feature in the champion's training rows.

The bins never move with current data: only against fixed bins is a shift a shift.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.training import DriftConfig
from turbomode_assets.contracts.errors import InputError, MissingDataError, StoreError, first_few
from turbomode_assets.drift.bins import (
    Counts,
    FeatureReference,
    bin_counts,
    freeze_bins,
    frozen_counts,
    require_columns,
    values_of,
    window_counts,
)
from turbomode_assets.drift.levels import LevelRange
from turbomode_assets.drift.statistics import STATISTICS, statistics_of

Flags = NDArray[np.bool_]

_WHERE = "training rows of the drift reference"


@dataclass(frozen=True)
class WindowMaxima:
    """How far windows of the training rows themselves stood from all of them.

    `largest` maps each feature to the largest value of each statistic (psi, kl, ks) over every run
    of `window_sessions` consecutive training sessions.
    """

    window_sessions: int
    largest: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class DriftReference:
    """What the features looked like in training: `rows` rows, binned feature by feature.

    `maxima` is None where the sessions of the rows were not given. `levels` is None of anything but
    probabilities, and where the reference was frozen without them.
    """

    rows: int
    features: dict[str, FeatureReference]
    maxima: WindowMaxima | None = None
    levels: Mapping[str, LevelRange] | None = None

    @property
    def columns(self) -> list[str]:
        """Feature names, in the order of the training matrix."""
        return list(self.features)

    def save(self, path: Path) -> None:
        """Write the reference as JSON; numbers keep every digit."""
        content: dict[str, Any] = {
            "rows": self.rows,
            "features": {
                name: {"edges": feature.edges, "counts": feature.counts}
                for name, feature in self.features.items()
            },
        }
        if self.maxima is not None:
            content["maxima"] = {
                "window_sessions": self.maxima.window_sessions,
                "largest": self.maxima.largest,
            }
        if self.levels is not None:
            content["levels"] = {name: asdict(level) for name, level in self.levels.items()}
        path.write_text(json.dumps(content, allow_nan=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "DriftReference":
        """Read what `save` wrote; a file without maxima or levels is a reference without them.

        Raises:
            StoreError: the file cannot be read, or does not hold a reference.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            features = {
                name: FeatureReference(tuple(feature["edges"]), tuple(feature["counts"]))
                for name, feature in content["features"].items()
            }
            maxima = WindowMaxima(**content["maxima"]) if "maxima" in content else None
            levels = None
            if "levels" in content:
                levels = {name: LevelRange(**each) for name, each in content["levels"].items()}
            reference = cls(content["rows"], features, maxima, levels)
            reference._check()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"no drift reference can be read: {type(error).__name__}: {error}",
                where=str(path),
                fix="restore the file from the champion's artifacts, or train again",
            ) from error
        return reference

    def _check(self) -> None:
        for name, feature in self.features.items():
            ordered = all(left < right for left, right in pairwise(feature.edges))
            if not ordered or len(feature.counts) != len(feature.edges) + 2:
                raise ValueError(f"the bins of {name} are not in order")
            if sum(feature.counts) != self.rows or self.rows <= 0:
                raise ValueError(f"the counts of {name} do not add up to {self.rows} rows")
        for name, level in (self.levels or {}).items():
            if name not in self.features or not level.is_possible():
                raise ValueError(f"the levels of {name} are not those of a probability")
        if self.maxima is None:
            return
        if list(self.maxima.largest) != self.columns or self.maxima.window_sessions < 1:
            raise ValueError("the maxima are not those of the features")
        for name, largest in self.maxima.largest.items():
            finite = all(math.isfinite(value) and value >= 0 for value in largest.values())
            if list(largest) != list(STATISTICS) or not finite:
                raise ValueError(f"the maxima of {name} are not {', '.join(STATISTICS)}")


def freeze_reference(
    features: pl.DataFrame,
    columns: Sequence[str],
    config: DriftConfig,
    *,
    sessions: pl.Series | None = None,
) -> DriftReference:
    """Bin the training rows of each feature at its `config.bins` quantiles (see `freeze_bins`).

    `sessions` is the session of each row. With it the reference also keeps, feature by feature,
    the largest value of each statistic over its own windows: every run of `config.window_sessions`
    consecutive sessions among those that rows belong to, each against all rows. Windows that reach
    into a feature's warm-up, its leading sessions without a value, count only if there are no
    others: missing values at the start would excuse any later move. The maxima say what a feature
    does when nothing has changed, however slowly it moves; a p-value for independent rows cannot.
    A window is part of what it is compared with, so few windows (a reference shorter than ten of
    them or so) make the maxima small and later alarms frequent.

    Columns may as well be probabilities or the codes of label classes: a class that more than one
    row in `config.bins` belongs to has its own bin, rarer neighbours may share one.

    Raises:
        InputError: no columns are named, one is named twice or is text, or `sessions` has another
            length than `features` or misses a value.
        MissingDataError: a column or every row is missing, or fewer sessions than one window.
        ContractError: a value is infinite.
    """
    if not columns or len(set(columns)) != len(columns):
        raise InputError(
            f"features must be named once each: {first_few(columns) or 'none given'}",
            where="freeze_reference",
            fix="pass the columns of the training matrix",
        )
    require_columns(features, columns, where=_WHERE)
    if features.is_empty():
        raise MissingDataError(
            "no training rows to freeze",
            where=_WHERE,
            fix="materialize features for the training sessions",
        )
    frozen = {
        name: freeze_bins(name, values_of(features, name), config.bins, where=_WHERE)
        for name in columns
    }
    maxima = None
    if sessions is not None:
        maxima = _window_maxima(frozen, features, sessions, config.window_sessions)
    return DriftReference(features.height, frozen, maxima)


def _window_maxima(
    frozen: dict[str, FeatureReference],
    features: pl.DataFrame,
    sessions: pl.Series,
    window_sessions: int,
) -> WindowMaxima:
    if len(sessions) != features.height or sessions.null_count():
        raise InputError(
            f"{len(sessions)} sessions, {sessions.null_count()} of them null, for "
            f"{features.height} rows",
            where="freeze_reference",
            fix="pass the session of each training row",
        )
    known, positions = np.unique(sessions.to_numpy(), return_inverse=True)
    if len(known) < window_sessions:
        raise MissingDataError(
            f"{len(known)} training sessions are fewer than one window of {window_sessions}",
            where=_WHERE,
            fix="train on more sessions, or shorten drift.window_sessions",
        )
    daily = bin_counts(frozen, features, positions.astype(np.int64), sessions=len(known))
    measured = statistics_of(window_counts(daily, window_sessions), frozen_counts(frozen))
    warm = _are_warm(frozen, daily, windows=len(known) - window_sessions + 1)
    largest = {name: values.max(axis=0, where=warm, initial=0) for name, values in measured.items()}
    return WindowMaxima(
        window_sessions,
        {
            feature: {name: float(values[column]) for name, values in largest.items()}
            for column, feature in enumerate(frozen)
        },
    )


def _are_warm(frozen: dict[str, FeatureReference], daily: Counts, *, windows: int) -> Flags:
    """Tell which windows [windows, features] begin after a feature's leading missing sessions."""
    missing = [len(feature.counts) - 1 for feature in frozen.values()]
    absent = daily[:, np.arange(len(frozen)), missing]
    # Of a feature that is always missing argmax is 0: its windows count, each at distance 0.
    first_present = (absent < daily.sum(axis=-1)).argmax(axis=0)
    warm: Flags = np.arange(windows)[:, None] >= first_present
    # One that appears too late for a whole window has nothing better than the windows it is in.
    return warm | ~warm.any(axis=0)
