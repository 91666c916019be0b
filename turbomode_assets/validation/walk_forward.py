"""Expanding walk-forward folds, purged by label end session, for all symbols at once."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from turbomode_assets.config.judging import WalkForwardConfig
from turbomode_assets.contracts.errors import InputError, MissingDataError
from turbomode_assets.validation.inputs import Rows, calendar_positions


@dataclass(frozen=True)
class Fold:
    """One split: positions of the rows to learn from, and of the later rows to be judged on."""

    number: int
    test_first: dt.date
    test_last: dt.date
    train: Rows
    test: Rows


def walk_forward_folds(
    decision: NDArray[np.datetime64],
    label_end: NDArray[np.datetime64],
    sessions: Sequence[dt.date],
    config: WalkForwardConfig,
    *,
    horizon_sessions: int,
) -> list[Fold]:
    """Split rows into expanding folds over the last folds x test_sessions decision sessions.

    A row may be learned from only if it was decided so early that it would have expired, at the
    latest 1 + `horizon_sessions` sessions after its decision, and its label has ended, both more
    than `embargo_sessions` sessions before the first test session. The expiry matters: among
    recent decisions those already resolved are a selected sample with hardly any HOLD.

    `decision` and `label_end` hold one session per row, in any order; `sessions` is the calendar,
    ascending, from the first decision to the last label end.

    Source: purging and embargo after López de Prado (2018), Advances in Financial Machine
    Learning, chapter 7, counted in sessions.

    Raises:
        InputError: the arrays differ in length, or a row's session is not in the calendar.
        MissingDataError: too few sessions for the folds and their shortest training, or a fold
            without rows.
    """
    calendar = np.asarray(sessions, dtype="datetime64[D]")
    where = "walk_forward_folds"
    decided = calendar_positions(decision, calendar, "decision", where=where)
    ended = calendar_positions(label_end, calendar, "label_end", where=where)
    if len(decided) != len(ended):
        raise InputError(
            f"{len(decided)} decisions but {len(ended)} label ends",
            where=where,
            fix="give one decision session and one label end session for each row",
        )
    if not len(decided):
        raise MissingDataError("no rows to split", where=where, fix="materialize labels first")
    last_needed = np.maximum(decided + 1 + horizon_sessions, ended)
    first_test = int(decided.max()) + 1 - config.folds * config.test_sessions
    folds = []
    for number in range(1, config.folds + 1):
        start = first_test + (number - 1) * config.test_sessions
        stop = start + config.test_sessions
        train = np.flatnonzero(last_needed + config.embargo_sessions < start)
        if number == 1:
            _require_training(decided[train], config, horizon_sessions)
        test = np.flatnonzero((decided >= start) & (decided < stop))
        if not len(test):
            raise MissingDataError(
                f"fold {number} has no rows to be judged on",
                where=f"decisions of {calendar[start]} to {calendar[stop - 1]}",
                fix="materialize labels and features for those sessions",
            )
        folds.append(Fold(number, calendar[start].item(), calendar[stop - 1].item(), train, test))
    return folds


def _require_training(decided: Rows, config: WalkForwardConfig, horizon_sessions: int) -> None:
    available = len(np.unique(decided))
    if available < config.minimum_train_sessions:
        needed = (
            config.minimum_train_sessions
            + config.folds * config.test_sessions
            + config.embargo_sessions
            + horizon_sessions
            + 1
        )
        raise MissingDataError(
            f"the first fold has {available} training sessions, "
            f"{config.minimum_train_sessions} are needed",
            where=f"walk_forward: {config.folds} folds of {config.test_sessions} sessions",
            fix=f"materialize labels for at least {needed} decision sessions, "
            f"or lower walk_forward.folds, test_sessions or minimum_train_sessions",
        )


def inner_split(
    decision: NDArray[np.datetime64],
    label_end: NDArray[np.datetime64],
    sessions: Sequence[dt.date],
    *,
    held_out_sessions: int,
    horizon_sessions: int,
    embargo_sessions: int,
) -> tuple[Rows, Rows]:
    """Hold the last decision sessions out of a fold's training rows, to decide when to stop.

    Returns the positions to learn from and those held out. Purged and embargoed as
    `walk_forward_folds` does: what is learned from had expired and ended before the first session
    held out.

    Raises:
        InputError: a row's session is not in the calendar.
        MissingDataError: nothing would be left to learn from.
    """
    calendar = np.asarray(sessions, dtype="datetime64[D]")
    where = "inner_split"
    decided = calendar_positions(decision, calendar, "decision", where=where)
    ended = calendar_positions(label_end, calendar, "label_end", where=where)
    start = int(decided.max()) + 1 - held_out_sessions
    last_needed = np.maximum(decided + 1 + horizon_sessions, ended)
    learned = np.flatnonzero(last_needed + embargo_sessions < start)
    if not len(learned):
        raise MissingDataError(
            f"{held_out_sessions} sessions held out leave no row to learn from",
            where=f"inner split of {len(decided)} training rows",
            fix="lower validation_strategy.inner_validation_sessions, or give more sessions",
        )
    return learned, np.flatnonzero(decided >= start)
