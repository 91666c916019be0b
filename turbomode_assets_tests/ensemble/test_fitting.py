import dataclasses

import numpy as np
import polars as pl
import pytest

from turbomode_assets.ensemble import (
    candidate_rows,
    combinatorial_paths,
    fit_base_model,
    learned_rows,
    plan_folds,
)
from turbomode_assets.ensemble.fitting import median_iterations
from turbomode_assets.ensemble.folds import FINAL, hold_out
from turbomode_assets.sessions import session_indices, sessions_between
from turbomode_assets.validation import combinatorial_purged_splits
from turbomode_assets_tests.ensemble.small import SMALL

HORIZON = SMALL.triple_barrier.horizon_sessions
STRATEGY = SMALL.validation_strategy


@pytest.fixture(scope="module")
def learned(training):
    folds = plan_folds(training, SMALL)
    return learned_rows(training, candidate_rows(training, folds), SMALL)


def numbered(days) -> np.ndarray:
    return session_indices(pl.Series(days.astype("datetime64[D]"))).to_numpy()


def test_what_decides_when_to_stop_comes_after_all_that_is_learned(training, learned):
    learn, stop = hold_out(training, learned["1"], SMALL)
    decided, ended = numbered(training.decision), numbered(training.label_end)
    first = decided[stop.rows].min()
    assert decided[stop.rows].max() - first + 1 == STRATEGY.inner_validation_sessions
    embargo = STRATEGY.walk_forward.embargo_sessions
    assert ended[learn.rows].max() + embargo < first
    assert decided[learn.rows].max() + 1 + HORIZON + embargo < first


def test_rows_learned_from_are_weighed_as_they_were_before_the_split(training, learned):
    learn, stop = hold_out(training, learned["2"], SMALL)
    weight = dict(zip(learned["2"].rows.tolist(), learned["2"].weights.tolist(), strict=True))
    for part in (learn, stop):
        assert [weight[row] for row in part.rows.tolist()] == part.weights.tolist()


def test_the_final_fit_takes_the_median_of_what_the_folds_kept():
    assert median_iterations({"1": 10, "2": 50, "3": 20}) == 20
    assert median_iterations({"1": 10, "2": 11}) == 11
    assert median_iterations({"1": None, "2": None}) is None


def test_the_same_seed_gives_the_same_forecasts_to_the_last_bit(training, learned):
    folds = plan_folds(training, SMALL)
    for name in ("lightgbm_goss", "gru"):
        one, two = (
            fit_base_model(training, folds, learned, name, SMALL, report=print) for _ in range(2)
        )
        assert np.array_equal(one.out_of_fold, two.out_of_fold, equal_nan=True)
        assert np.array_equal(
            one.model.predict_proba(training.matrix), two.model.predict_proba(training.matrix)
        )
        assert one.curves == two.curves


def test_every_path_forecasts_every_row_and_no_fit_saw_what_it_forecasts(training):
    config = SMALL.model_copy(
        update={
            "validation_strategy": STRATEGY.model_copy(
                update={
                    "combinatorial": STRATEGY.combinatorial.model_copy(
                        update={"groups": 4, "test_groups": 2}
                    )
                }
            )
        }
    )
    paths = combinatorial_paths(training, "logistic", config, iterations=None, report=print)
    assert paths.shape == (3, len(training.labels), 3)
    np.testing.assert_allclose(paths.sum(axis=2), 1.0)
    decision, label_end = training.decision, training.label_end
    calendar = sessions_between(decision.min().item(), label_end.max().item())
    split = next(
        combinatorial_purged_splits(
            decision,
            label_end,
            calendar,
            groups=4,
            test_groups=2,
            embargo_sessions=STRATEGY.walk_forward.embargo_sessions,
            horizon_sessions=HORIZON,
        )
    )
    turned = training.rows.get_column("label").to_numpy().copy()
    turned[split.test] = 2 - turned[split.test]
    scrambled = dataclasses.replace(
        training, rows=training.rows.with_columns(pl.Series("label", turned))
    )
    again = combinatorial_paths(scrambled, "logistic", config, iterations=None, report=print)
    # The first split's forecasts lie on paths 0 of its groups: their labels were not learned from.
    assert np.array_equal(paths[split.test_paths, split.test], again[split.test_paths, split.test])
    assert not np.array_equal(paths, again)


def test_final_rows_are_all_rows(training, learned):
    assert np.array_equal(learned[FINAL].rows, np.arange(len(training.labels)))
