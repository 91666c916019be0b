import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import InputError, MissingDataError
from turbomode_assets.validation import backtest_paths, combinatorial_purged_splits
from turbomode_assets_tests.validation.builders import make_calendar, make_days


def _split(decided, ended, sessions, **changed):
    rules = {"groups": 4, "test_groups": 2, "embargo_sessions": 0, "horizon_sessions": 0}
    return list(
        combinatorial_purged_splits(
            make_days(*decided), make_days(*ended), make_calendar(sessions), **(rules | changed)
        )
    )


def test_four_groups_two_by_two_make_six_splits_and_three_paths():
    splits = _split(range(12), range(1, 13), 20)
    assert [split.test_groups for split in splits] == [
        (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3),
    ]  # fmt: skip
    # Figure 12.1 of the source: each group's tests are dealt to the paths in order.
    assert [split.paths for split in splits] == [
        (0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (2, 2),
    ]  # fmt: skip
    assert [split.number for split in splits] == list(range(6))
    assert {split.path_count for split in splits} == {3}
    assert splits[1].test.tolist() == [0, 1, 2, 6, 7, 8]
    assert splits[1].test_paths.tolist() == [1, 1, 1, 0, 0, 0]


def test_what_surrounds_a_test_group_is_purged_before_it_and_embargoed_after_it():
    decided = range(20)
    ended = [day + 2 for day in decided]
    (split,) = (
        one
        for one in _split(decided, ended, 30, test_groups=1, embargo_sessions=3)
        if one.test_groups == (1,)
    )
    assert split.test.tolist() == [5, 6, 7, 8, 9]
    # Decision 2 ends at 4, before the first test session; decision 9 ends at 11, and three
    # sessions of embargo reach to 14.
    assert split.train.tolist() == [0, 1, 2, 15, 16, 17, 18, 19]


def test_a_row_that_could_still_have_been_open_is_purged_although_its_label_ended():
    decided = range(20)
    ended = [day + 1 for day in decided]
    split = _split(decided, ended, 30, test_groups=1, horizon_sessions=2)[1]
    # Expiry is 1 + 2 sessions after the decision: 1 reaches 4, and test row 9 reaches 12.
    assert split.train.tolist() == [0, 1, 13, 14, 15, 16, 17, 18, 19]


def test_a_label_that_ends_late_is_purged_by_its_end_and_prolongs_its_test_group():
    decided = list(range(20))
    ended = [day + 1 for day in decided]
    ended[0], ended[7] = 5, 16
    split = _split(decided, ended, 30, test_groups=1)[1]
    assert split.train.tolist() == [1, 2, 3, 17, 18, 19]


def test_rows_of_all_symbols_share_the_groups_and_are_purged_together():
    decided = [*range(8), *range(8)]
    ended = [day + 1 for day in decided]
    split = _split(decided, ended, 12, test_groups=1)[1]
    assert split.test.tolist() == [2, 3, 10, 11]
    assert split.train.tolist() == [0, 5, 6, 7, 8, 13, 14, 15]


def test_each_path_holds_the_prediction_of_the_split_that_it_was_dealt():
    splits = _split(range(8), range(1, 9), 12)
    by_split = [np.full(len(split.test), float(split.number)) for split in splits]
    paths = backtest_paths(splits, by_split, rows=8)
    assert paths.tolist() == [
        [0, 0, 0, 0, 1, 1, 2, 2],
        [1, 1, 3, 3, 3, 3, 4, 4],
        [2, 2, 4, 4, 5, 5, 5, 5],
    ]
    rows_of_three = [np.repeat(values[:, None], 3, axis=1) for values in by_split]
    assert backtest_paths(splits, rows_of_three, rows=8).shape == (3, 8, 3)


def test_paths_that_are_not_whole_are_refused():
    splits = _split(range(8), range(1, 9), 12)
    fitting = [np.zeros(len(split.test)) for split in splits]
    with pytest.raises(InputError, match="not equally many"):
        backtest_paths(splits, fitting[:-1], rows=8)
    with pytest.raises(InputError, match="not equally many"):
        backtest_paths([], [], rows=8)
    with pytest.raises(InputError, match="1 of 3 paths are not covered"):
        backtest_paths(splits[:-1], fitting[:-1], rows=8)
    with pytest.raises(InputError, match="do not fit its 4 test rows"):
        backtest_paths(splits, [np.zeros(3), *fitting[1:]], rows=8)
    with pytest.raises(InputError, match="are not finite"):
        backtest_paths(splits, [np.full(4, np.nan), *fitting[1:]], rows=8)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"groups": 1}, "groups is 1"),
        ({"test_groups": 0}, "test_groups is 0"),
        ({"test_groups": 4}, "leaves nothing to learn"),
        ({"embargo_sessions": -1}, "embargo_sessions is -1"),
        ({"horizon_sessions": -1}, "horizon_sessions is -1"),
    ],
)
def test_counts_out_of_range_are_refused_before_the_first_split(changed, message):
    with pytest.raises(InputError, match=message):
        _split(range(8), range(1, 9), 12, **changed)


def test_rows_that_cannot_be_split_are_refused_before_the_first_split():
    rules = {"groups": 2, "test_groups": 1, "embargo_sessions": 0, "horizon_sessions": 0}
    days, none = make_days(0, 1, 2, 3), make_days(0)[:0]
    with pytest.raises(InputError, match="decision 4, label_end 0"):
        combinatorial_purged_splits(days, none, make_calendar(4), **rules)
    with pytest.raises(InputError, match="do not belong together"):
        combinatorial_purged_splits(none, none, make_calendar(4), **rules)
    with pytest.raises(InputError, match="outside the calendar given: 2016-01-07"):
        combinatorial_purged_splits(days, days, make_calendar(3), **rules)
    with pytest.raises(InputError, match="end before their decision, the first in row 3"):
        combinatorial_purged_splits(days, make_days(0, 1, 2, 2), make_calendar(4), **rules)
    with pytest.raises(MissingDataError, match="of 4 groups these have no rows: 1, 2"):
        combinatorial_purged_splits(
            make_days(0, 7), make_days(1, 8), make_calendar(9), **(rules | {"groups": 4})
        )


def test_a_split_with_nothing_to_learn_is_refused():
    with pytest.raises(MissingDataError, match="split 0 has no rows to learn from"):
        _split(range(8), range(1, 9), 12, groups=2, test_groups=1, embargo_sessions=8)


@st.composite
def _histories(draw):
    groups = draw(st.integers(2, 6))
    rules = {
        "groups": groups,
        "test_groups": draw(st.integers(1, groups - 1)),
        "embargo_sessions": draw(st.integers(0, 5)),
        "horizon_sessions": draw(st.integers(0, 5)),
    }
    sessions = groups * 25 + draw(st.integers(0, 10))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    decided = random.permutation(np.tile(np.arange(sessions), draw(st.integers(1, 3))))
    return rules, decided, decided + random.integers(0, 8, len(decided)), sessions + 10


@given(_histories())
@settings(max_examples=40)
def test_nothing_learned_from_touches_what_it_is_judged_on_and_nothing_else_is_left_out(history):
    rules, decided, ended, sessions = history
    splits = _split(decided, ended, sessions, **rules)
    count, tested = rules["groups"], rules["test_groups"]
    assert len(splits) == math.comb(count, tested)
    assert splits[0].path_count * count == math.comb(count, tested) * tested
    last = np.maximum(decided + 1 + rules["horizon_sessions"], ended)
    for split in splits:
        assert not np.intersect1d(split.train, split.test).size
        shut = np.zeros(sessions + 20, dtype=bool)
        embargoed = np.zeros(sessions + 20, dtype=bool)
        for day, end in zip(decided[split.test], last[split.test], strict=True):
            shut[day : end + 1] = True
            embargoed[end + 1 : end + 1 + rules["embargo_sessions"]] = True
        meets = [shut[day : end + 1].any() for day, end in zip(decided, last, strict=True)]
        allowed = ~(np.array(meets) | embargoed[decided])
        assert np.array_equal(split.train, np.flatnonzero(allowed))
    paths = backtest_paths(
        splits, [decided[split.test].astype(float) for split in splits], rows=len(decided)
    )
    assert (paths == decided).all()


@given(_histories(), st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_the_order_of_the_rows_does_not_matter(history, seed):
    rules, decided, ended, sessions = history
    order = np.random.default_rng(seed).permutation(len(decided))
    straight = _split(decided, ended, sessions, **rules)
    shuffled = _split(decided[order], ended[order], sessions, **rules)
    for one, other in zip(straight, shuffled, strict=True):
        assert set(one.train) == set(order[other.train])
        assert set(one.test) == set(order[other.test])
        assert one.paths == other.paths
