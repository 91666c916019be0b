import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation import sample_uniqueness
from turbomode_assets_tests.validation.builders import make_days


def test_three_labels_of_one_symbol_share_what_paper_and_pencil_say():
    # Concurrency of sessions 0 to 5: 1, 2, 2, 1, 0, 1.
    found = sample_uniqueness(make_days(0, 1, 5), make_days(2, 3, 5), ["AAPL"] * 3)
    assert found == pytest.approx([(1 + 1 / 2 + 1 / 2) / 3, (1 / 2 + 1 / 2 + 1) / 3, 1])


def test_a_label_of_its_own_is_wholly_unique_after_any_number_of_shared_sessions():
    shared = np.repeat(np.arange(126), 3)
    alone = np.arange(126, 252)
    entry = np.concatenate([shared, alone])
    found = sample_uniqueness(make_days(*entry), make_days(*entry), ["A"] * len(entry))
    assert found[: len(shared)] == pytest.approx(1 / 3)
    assert found[len(shared) :] == pytest.approx(1, abs=1e-12)
    assert found.max() <= 1


def test_labels_of_other_symbols_share_nothing():
    found = sample_uniqueness(make_days(0, 0, 0), make_days(4, 4, 4), ["AAPL", "MSFT", "AAPL"])
    assert found.tolist() == [0.5, 1.0, 0.5]


def test_a_weekend_between_two_sessions_counts_for_nothing():
    # 2016-01-08 was a Friday: the second label begins on the Monday on which the first ends.
    friday, monday = np.datetime64("2016-01-08"), np.datetime64("2016-01-11")
    found = sample_uniqueness(
        np.array([friday, monday]), np.array([monday, monday]), np.array(["A", "A"])
    )
    assert found.tolist() == [0.75, 0.5]


def test_rows_that_make_no_labels_are_refused():
    days, none = make_days(3, 4), make_days(0)[:0]
    with pytest.raises(InputError, match="entry_sessions 2, exit_sessions 0, symbols 2"):
        sample_uniqueness(days, none, ["A", "A"])
    with pytest.raises(InputError, match="do not belong together"):
        sample_uniqueness(none, none, [])
    with pytest.raises(InputError, match="1 labels exit before their entry, the first in row 1"):
        sample_uniqueness(days, make_days(5, 3), ["A", "A"])
    with pytest.raises(InputError, match="2016-01-09"):
        sample_uniqueness(np.array(["2016-01-09"], "datetime64[D]"), days[:1], ["A"])
    with pytest.raises(InputError):
        sample_uniqueness(np.array(["NaT"], "datetime64[D]"), days[:1], ["A"])


LABELS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 14), st.sampled_from("ABC")),
    min_size=1,
    max_size=40,
)


@given(LABELS)
@settings(max_examples=40)
def test_every_label_is_as_unique_as_a_slow_loop_says(labels):
    entry = np.array([start for start, _, _ in labels])
    stop = entry + np.array([held for _, held, _ in labels])
    symbols = np.array([symbol for _, _, symbol in labels])
    slow = []
    for row, symbol in enumerate(symbols):
        same = np.flatnonzero(symbols == symbol)
        shares = [
            1 / sum(entry[other] <= session <= stop[other] for other in same)
            for session in range(entry[row], stop[row] + 1)
        ]
        slow.append(np.mean(shares))
    found = sample_uniqueness(make_days(*entry), make_days(*stop), symbols)
    assert found == pytest.approx(slow, abs=1e-12)
    assert (found > 0).all()
    assert (found <= 1).all()
