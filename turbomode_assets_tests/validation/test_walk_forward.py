import datetime as dt
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.config.judging import WalkForwardConfig
from turbomode_assets.contracts.errors import InputError, MissingDataError
from turbomode_assets.sessions import offset_session, sessions_between
from turbomode_assets.validation import walk_forward_folds

FIRST = dt.date(2016, 1, 4)


def _calendar(count: int) -> list[dt.date]:
    return sessions_between(FIRST, offset_session(FIRST, count - 1))


def _days(calendar: list[dt.date], positions: np.ndarray) -> np.ndarray:
    return np.asarray(calendar, dtype="datetime64[D]")[positions]


def _rules(**changed: int) -> WalkForwardConfig:
    values = {"folds": 2, "test_sessions": 10, "minimum_train_sessions": 20, "embargo_sessions": 2}
    return WalkForwardConfig(**(values | changed))


def test_the_folds_of_sixty_sessions_stand_where_counting_by_hand_puts_them():
    calendar = _calendar(80)
    decided = np.arange(60)
    days = _days(calendar, decided)
    first, second = walk_forward_folds(
        days, _days(calendar, decided + 3), calendar, _rules(), horizon_sessions=4
    )
    assert (first.test_first, first.test_last) == (calendar[40], calendar[49])
    assert (second.test_first, second.test_last) == (calendar[50], calendar[59])
    assert first.test.tolist() == list(range(40, 50))
    # Decision 32 expires at 32 + 1 + 4 = 37; with 2 sessions of embargo it ends before 40.
    assert first.train.tolist() == list(range(33))
    assert second.train.tolist() == list(range(43))


def test_a_recent_entry_is_not_learned_from_although_its_label_ended_early():
    calendar = _calendar(80)
    decided = np.arange(60)
    ended_next_day = _days(calendar, decided + 1)
    fold = walk_forward_folds(
        _days(calendar, decided), ended_next_day, calendar, _rules(), horizon_sessions=4
    )[0]
    assert fold.train.max() == 32


def test_a_label_that_ended_after_its_expiry_is_purged_by_its_end():
    calendar = _calendar(80)
    decided = np.arange(60)
    ended = decided + 3
    ended[10] = 39
    fold = walk_forward_folds(
        _days(calendar, decided), _days(calendar, ended), calendar, _rules(), horizon_sessions=4
    )[0]
    assert fold.train.tolist() == [row for row in range(33) if row != 10]


def test_too_short_a_history_is_refused_with_the_length_it_would_take():
    calendar = _calendar(60)
    decided = np.arange(45)
    with pytest.raises(MissingDataError, match="at least 47 decision sessions"):
        walk_forward_folds(
            _days(calendar, decided),
            _days(calendar, decided + 1),
            calendar,
            _rules(),
            horizon_sessions=4,
        )
    decided = np.arange(47)
    folds = walk_forward_folds(
        _days(calendar, decided),
        _days(calendar, decided + 1),
        calendar,
        _rules(),
        horizon_sessions=4,
    )
    assert len(folds[0].train) == 20


def test_a_history_shorter_than_the_test_sessions_is_refused():
    calendar = _calendar(30)
    decided = np.arange(12)
    with pytest.raises(MissingDataError, match="0 training sessions"):
        walk_forward_folds(
            _days(calendar, decided),
            _days(calendar, decided + 1),
            calendar,
            _rules(),
            horizon_sessions=4,
        )


def test_a_fold_without_any_row_to_judge_is_refused():
    calendar = _calendar(80)
    decided = np.array([*range(40), *range(50, 60)])
    with pytest.raises(MissingDataError, match="fold 1 has no rows"):
        walk_forward_folds(
            _days(calendar, decided),
            _days(calendar, decided + 1),
            calendar,
            _rules(),
            horizon_sessions=4,
        )


def test_days_outside_the_calendar_are_refused_by_name():
    calendar = _calendar(80)
    saturday = np.array(["2016-01-09"], dtype="datetime64[D]")
    with pytest.raises(InputError, match="2016-01-09"):
        walk_forward_folds(saturday, saturday, calendar, _rules(), horizon_sessions=4)


def test_no_rows_and_unequal_lengths_are_refused():
    calendar = _calendar(80)
    none = np.array([], dtype="datetime64[D]")
    with pytest.raises(MissingDataError, match="no rows"):
        walk_forward_folds(none, none, calendar, _rules(), horizon_sessions=4)
    one = _days(calendar, np.array([1]))
    with pytest.raises(InputError, match="1 decisions but 0 label ends"):
        walk_forward_folds(one, none, calendar, _rules(), horizon_sessions=4)


@st.composite
def _histories(draw):
    horizon = draw(st.integers(1, 20))
    rules = _rules(
        folds=draw(st.integers(2, 4)),
        test_sessions=draw(st.integers(5, 15)),
        embargo_sessions=draw(st.integers(0, 10)),
    )
    shortest = (
        rules.minimum_train_sessions
        + rules.folds * rules.test_sessions
        + rules.embargo_sessions
        + horizon
        + 1
    )
    sessions = shortest + draw(st.integers(0, 30))
    symbols = draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    decided = random.permutation(np.tile(np.arange(sessions), symbols))
    held = random.integers(0, horizon + 1, len(decided))
    return rules, horizon, decided, decided + 1 + held, sessions


@given(_histories())
@settings(max_examples=60)
def test_nothing_learned_from_touches_what_it_is_judged_on(history):
    rules, horizon, decided, ended, sessions = history
    calendar = _calendar(sessions + horizon + 1)
    folds = walk_forward_folds(
        _days(calendar, decided),
        _days(calendar, ended),
        calendar,
        rules,
        horizon_sessions=horizon,
    )
    assert len(folds) == rules.folds
    for fold in folds:
        start = decided[fold.test].min()
        assert decided[fold.test].max() - start == rules.test_sessions - 1
        assert ended[fold.train].max() + rules.embargo_sessions < start
        assert decided[fold.train].max() + 1 + horizon + rules.embargo_sessions < start
        # Every row that may be learned from is, whatever its label: nothing is selected.
        allowed = decided + 1 + horizon + rules.embargo_sessions < start
        assert np.array_equal(np.flatnonzero(allowed), fold.train)
    judged = np.concatenate([fold.test for fold in folds])
    last = decided.max()
    assert np.array_equal(
        np.sort(judged), np.flatnonzero(decided > last - rules.folds * rules.test_sessions)
    )
    for earlier, later in itertools.pairwise(folds):
        assert set(earlier.train) < set(later.train)


@given(_histories(), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_the_order_of_the_rows_does_not_matter(history, seed):
    rules, horizon, decided, ended, sessions = history
    calendar = _calendar(sessions + horizon + 1)
    order = np.random.default_rng(seed).permutation(len(decided))
    straight = walk_forward_folds(
        _days(calendar, decided), _days(calendar, ended), calendar, rules, horizon_sessions=horizon
    )
    shuffled = walk_forward_folds(
        _days(calendar, decided[order]),
        _days(calendar, ended[order]),
        calendar,
        rules,
        horizon_sessions=horizon,
    )
    for one, other in zip(straight, shuffled, strict=True):
        assert set(one.train) == set(order[other.train])
        assert set(one.test) == set(order[other.test])
