import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.config.learning import BalancedSamplingConfig
from turbomode_assets.ensemble.sampling import balanced_sample

OPEN = BalancedSamplingConfig(
    maximum_rows=10_000, maximum_class_ratio=1e6, maximum_regime_ratio=1e6
)
REGIMES = ("bull", "bear", "sideways", None)


def rows_of(labels, *, regimes=None, rare=None) -> pl.DataFrame:
    count = len(labels)
    return pl.DataFrame(
        {
            "label": pl.Series(labels, dtype=pl.Int8),
            "regime": pl.Series(regimes or [None] * count, dtype=pl.String),
            "rare": pl.Series(rare or [False] * count, dtype=pl.Boolean),
        }
    )


def changed(**values: object) -> BalancedSamplingConfig:
    return BalancedSamplingConfig.model_validate(OPEN.model_dump() | values)


def everything(rows: pl.DataFrame) -> np.ndarray:
    return np.arange(rows.height, dtype=np.int64)


def counts(rows: pl.DataFrame, drawn: np.ndarray, column: str) -> dict:
    return dict(rows[drawn].group_by(column).len().iter_rows())


def test_within_the_bounds_every_ordinary_candidate_is_learned_from():
    rows = rows_of([0, 1, 2, 1, 0], rare=[False, True, False, False, False])
    drawn = balanced_sample(rows, np.array([4, 0, 1, 3]), OPEN, seed=1)
    assert drawn.tolist() == [0, 3, 4]
    assert drawn.dtype == np.int64
    assert balanced_sample(rows, np.array([1]), OPEN, seed=1).tolist() == []


def test_a_class_has_at_most_so_many_times_the_rows_of_the_rarest():
    rows = rows_of([0] * 20 + [1] * 7 + [2] * 4)
    drawn = balanced_sample(rows, everything(rows), changed(maximum_class_ratio=2.5), seed=1)
    assert counts(rows, drawn, "label") == {0: 10, 1: 7, 2: 4}


def test_a_regime_has_at_most_so_many_times_the_rows_of_the_rarest():
    regimes = ["bull"] * 20 + ["bear"] * 3 + [None] * 30
    rows = rows_of([0] * 53, regimes=regimes)
    drawn = balanced_sample(rows, everything(rows), changed(maximum_regime_ratio=2), seed=1)
    # Rows of no known regime are neither the rarest regime nor bounded as one.
    assert counts(rows, drawn, "regime") == {"bull": 6, "bear": 3, None: 30}


def test_rows_beyond_the_maximum_are_drawn_out():
    rows = rows_of([0, 1, 2] * 10)
    assert len(balanced_sample(rows, everything(rows), changed(maximum_rows=11), seed=1)) == 11


def test_rare_rows_count_in_no_class():
    rows = rows_of([0] * 9 + [1] * 9, rare=[False] * 9 + [False] + [True] * 8)
    drawn = balanced_sample(rows, everything(rows), changed(maximum_class_ratio=3), seed=1)
    assert counts(rows, drawn, "label") == {0: 3, 1: 1}


def test_what_is_drawn_out_depends_on_the_seed_and_not_on_the_order_of_candidates():
    rows = rows_of([0] * 200 + [1] * 10)
    config = changed(maximum_class_ratio=2)
    positions = everything(rows)
    drawn = balanced_sample(rows, positions, config, seed=3)
    assert np.array_equal(balanced_sample(rows, positions[::-1], config, seed=3), drawn)
    assert not np.array_equal(balanced_sample(rows, positions, config, seed=4), drawn)


MARKET = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(REGIMES), st.booleans()), min_size=1, max_size=80
)


@given(
    MARKET,
    st.floats(1, 5),
    st.floats(1, 5),
    st.integers(1, 60),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_all_bounds_hold_together(market, classes, regimes, most, seed):
    labels, names, rare = (list(column) for column in zip(*market, strict=True))
    rows = rows_of(labels, regimes=names, rare=rare)
    config = BalancedSamplingConfig(
        maximum_rows=most, maximum_class_ratio=classes, maximum_regime_ratio=regimes
    )
    candidates = everything(rows)[::2]
    drawn = balanced_sample(rows, candidates, config, seed=seed)
    ordinary = candidates[~np.array(rare)[candidates]]
    assert (np.diff(drawn) > 0).all()
    assert set(drawn) <= set(ordinary)
    assert bool(len(drawn)) == bool(len(ordinary))
    assert len(drawn) <= most
    for column, ratio in (("label", classes), ("regime", regimes)):
        found = [number for name, number in counts(rows, drawn, column).items() if name is not None]
        assert not found or max(found) <= ratio * min(found)


EFFECTS: dict[str, object] = {
    "balanced_sampling.maximum_rows": 30,
    "balanced_sampling.maximum_class_ratio": 1.5,
    "balanced_sampling.maximum_regime_ratio": 1.5,
}


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_changes_the_rows(key):
    rows = rows_of([0] * 40 + [1] * 20, regimes=["bull"] * 10 + ["bear"] * 50)
    config = changed(**{key.split(".")[1]: EFFECTS[key]})
    drawn = balanced_sample(rows, everything(rows), config, seed=1)
    assert len(drawn) < len(balanced_sample(rows, everything(rows), OPEN, seed=1))


def test_no_key_is_without_its_effect():
    assert {key.split(".")[1] for key in EFFECTS} == set(BalancedSamplingConfig.model_fields)
