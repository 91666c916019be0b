"""Combinatorial purged cross-validation: every choice of test groups, and the paths they make."""

import datetime as dt
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from turbomode_assets.contracts.errors import InputError, MissingDataError, first_few
from turbomode_assets.validation.inputs import (
    Rows,
    Values,
    calendar_positions,
    require_at_least,
    require_same_length,
)

_WHERE = "combinatorial_purged_splits"


@dataclass(frozen=True)
class CombinatorialSplit:
    """One split: positions of the rows to learn from and of the rows to be judged on.

    `test_groups[i]` belongs to backtest path `paths[i]` of `path_count`; `test_paths` says the
    same for each row of `test`. Splits, groups and paths are numbered from 0.
    """

    number: int
    train: Rows
    test: Rows
    test_groups: tuple[int, ...]
    paths: tuple[int, ...]
    test_paths: Rows
    path_count: int


def combinatorial_purged_splits(
    decision: NDArray[np.datetime64],
    label_end: NDArray[np.datetime64],
    sessions: Sequence[dt.date],
    *,
    groups: int,
    test_groups: int,
    embargo_sessions: int,
    horizon_sessions: int,
) -> Iterator[CombinatorialSplit]:
    """Split rows in every way that tests `test_groups` of `groups` groups of decision sessions.

    The sessions from the first decision to the last are cut into N = `groups` runs whose lengths
    differ by one at most. All C(N, k) choices of k = `test_groups` of them come in lexicographic
    order, one at a time. Each group is tested in phi = C(N, k) * k / N = C(N - 1, k - 1) splits;
    the j-th of them belongs to backtest path j, so that every path covers every row once.

    A row's information runs from its decision to the later of its label end and its expiry,
    1 + `horizon_sessions` sessions after the decision. A row is not learned from where that span
    meets the span from the first session of a test group to the last information of its rows, nor
    where it was decided in the `embargo_sessions` sessions after that, whatever its symbol. As in
    `walk_forward_folds`, the expiry matters: just before a test group the decisions that are
    already resolved are a selected sample with hardly any HOLD.

    `decision` and `label_end` hold one session per row, in any order; `sessions` is the calendar,
    ascending, from the first decision to the last label end.

    Source: López de Prado (2018), Advances in Financial Machine Learning, sections 7.4 and 12.4,
    counted in sessions.

    Raises:
        InputError: counts out of range, arrays that differ in length, or a row's session is not
            in the calendar or ends before its decision.
        MissingDataError: a group without rows; while iterating, a split with nothing to learn.
    """
    _require_counts(groups, test_groups, embargo_sessions, horizon_sessions)
    require_same_length(_WHERE, decision=decision, label_end=label_end)
    calendar = np.asarray(sessions, dtype="datetime64[D]")
    decided = calendar_positions(decision, calendar, "decision", where=_WHERE)
    ended = calendar_positions(label_end, calendar, "label_end", where=_WHERE)
    early = np.flatnonzero(ended < decided)
    if len(early):
        raise InputError(
            f"{len(early)} labels end before their decision, the first in row {early[0]}",
            where=_WHERE,
            fix="give the session on which each label ended or became known",
        )
    group_of = _group_of(decided, groups, calendar)
    last_needed = np.maximum(decided + 1 + horizon_sessions, ended)
    unusable = _unusable(decided, last_needed, group_of, groups, embargo_sessions)
    return _splits(group_of, unusable, test_groups)


def backtest_paths(
    splits: Iterable[CombinatorialSplit], predictions: Iterable[Values], *, rows: int
) -> Values:
    """Assemble the out-of-sample predictions [paths, rows, ...] of every backtest path.

    `predictions` holds for each split, in the same order, one prediction (a number, or a row of
    them) for each row of its `test`; `rows` is how many rows were split.

    Raises:
        InputError: predictions that do not fit their split or are not finite, or splits that do
            not fill every path.
    """
    where = "backtest_paths"
    pairs = list(itertools.zip_longest(splits, predictions))
    if not pairs or any(split is None or given is None for split, given in pairs):
        raise InputError(
            "splits and predictions are not equally many, or there are none",
            where=where,
            fix="give one array of predictions for each split",
        )
    columns = np.shape(pairs[0][1])[1:]
    paths = np.full((pairs[0][0].path_count, rows, *columns), np.nan)
    for split, given in pairs:
        values = np.asarray(given, dtype=np.float64)
        if values.shape != (len(split.test), *columns) or not np.isfinite(values).all():
            raise InputError(
                f"the predictions {values.shape} of split {split.number} do not fit its "
                f"{len(split.test)} test rows, or are not finite",
                where=where,
                fix="give one finite prediction for each row of `test`, in its order",
            )
        paths[split.test_paths, split.test] = values
    gaps = np.isnan(paths).reshape(len(paths), rows, -1).any(axis=(1, 2))
    if gaps.any():
        raise InputError(
            f"{gaps.sum()} of {len(paths)} paths are not covered",
            where=where,
            fix="give every split of combinatorial_purged_splits, and the number of rows it split",
        )
    return paths


def _require_counts(groups: int, test_groups: int, embargo: int, horizon: int) -> None:
    require_at_least(groups, 2, "groups", where=_WHERE)
    require_at_least(test_groups, 1, "test_groups", where=_WHERE)
    require_at_least(embargo, 0, "embargo_sessions", where=_WHERE)
    require_at_least(horizon, 0, "horizon_sessions", where=_WHERE)
    if test_groups >= groups:
        raise InputError(
            f"{test_groups} of {groups} groups are to be tested, which leaves nothing to learn",
            where=_WHERE,
            fix="give fewer test_groups than groups",
        )


def _group_of(decided: Rows, groups: int, calendar: NDArray[np.datetime64]) -> Rows:
    first, last = int(decided.min()), int(decided.max())
    parts = np.array_split(np.arange(first, last + 1), groups)
    group_of_session = np.repeat(np.arange(groups), [len(part) for part in parts])
    group_of: Rows = group_of_session[decided - first].astype(np.int64)
    empty = np.flatnonzero(np.bincount(group_of, minlength=groups) == 0)
    if len(empty):
        raise MissingDataError(
            f"of {groups} groups these have no rows: {first_few(empty)}",
            where=f"decisions of {calendar[first]} to {calendar[last]}",
            fix="materialize labels for those sessions, or ask for fewer groups",
        )
    return group_of


def _unusable(
    decided: Rows, last_needed: Rows, group_of: Rows, groups: int, embargo_sessions: int
) -> NDArray[np.bool_]:
    """Rows [groups, rows] that must not be learned from where a group is tested."""
    unusable = np.empty((groups, len(decided)), dtype=np.bool_)
    for group in range(groups):
        members = group_of == group
        until = last_needed[members].max() + embargo_sessions
        unusable[group] = (last_needed >= decided[members].min()) & (decided <= until)
    return unusable


def _splits(
    group_of: Rows, unusable: NDArray[np.bool_], test_groups: int
) -> Iterator[CombinatorialSplit]:
    groups = len(unusable)
    next_path = np.zeros(groups, dtype=np.int64)
    for number, chosen in enumerate(itertools.combinations(range(groups), test_groups)):
        tested = list(chosen)
        train = np.flatnonzero(~unusable[tested].any(axis=0))
        if not len(train):
            raise MissingDataError(
                f"split {number} has no rows to learn from once groups {first_few(tested)} are "
                f"tested",
                where=_WHERE,
                fix="give longer history, fewer groups, or a shorter embargo",
            )
        test = np.flatnonzero(np.isin(group_of, tested))
        yield CombinatorialSplit(
            number=number,
            train=train,
            test=test,
            test_groups=chosen,
            paths=tuple(next_path[tested].tolist()),
            test_paths=next_path[group_of[test]],
            path_count=math.comb(groups - 1, test_groups - 1),
        )
        next_path[tested] += 1
