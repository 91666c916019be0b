"""Results of a training run's steps come back from their folder as they were put."""

import dataclasses
import datetime as dt

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from turbomode_assets.ensemble import (
    StackResult,
    StepResults,
    TrainingSet,
    candidate_rows,
    fit_base_model,
    learned_rows,
    plan_folds,
)
from turbomode_assets.ensemble.folds import TrainingRows
from turbomode_assets.ensemble.run import sample, stack_models, train, weigh_samples
from turbomode_assets.ensemble.step_results import (
    MarketInputs,
    PromotionOutcome,
    RunRules,
    SampledRows,
)
from turbomode_assets_tests.ensemble.small import SMALL


@pytest.fixture
def results(tmp_path):
    kept = StepResults(tmp_path / "run")
    kept.clear()
    kept.put(RunRules("drift", dt.datetime(2017, 11, 3, 22, tzinfo=dt.UTC), SMALL))
    return kept


def test_the_rules_of_a_run_come_back(results):
    assert results.get(RunRules).cause == "drift"
    assert results.get(RunRules).started_at == dt.datetime(2017, 11, 3, 22, tzinfo=dt.UTC)
    assert results.config == SMALL


def test_tables_and_plain_values_come_back_as_they_were(results):
    table = pl.DataFrame({"symbol": ["A"], "close": [1.5]})
    market = MarketInputs(table, table, {"bars": 3}, ("simulated",), ("A", "B"), None, "d")
    results.put(market)
    again = results.get(MarketInputs)
    assert_frame_equal(again.adjusted, table)
    plain = [field.name for field in dataclasses.fields(market)][2:]
    assert [getattr(again, name) for name in plain] == [getattr(market, name) for name in plain]


def test_what_the_gate_said_comes_back(results):
    outcome = PromotionOutcome(
        False, "1 of 2 rules failed", "m1", [{"name": "recall", "figure": None}]
    )
    results.put(outcome)
    assert results.get(PromotionOutcome) == outcome


def test_a_training_set_comes_back_as_it_was_without_being_read_into_memory(results, training):
    results.put(training)
    again = results.get(TrainingSet)
    assert again.digest == training.digest
    assert again.families == training.families
    assert_frame_equal(again.rows, training.rows)
    assert again.matrix.panel.values.base is not None
    assert not again.matrix.panel.values.flags.writeable


def test_a_model_fitted_on_mapped_rows_equals_one_fitted_in_memory(results, training):
    results.put(training)
    folds = plan_folds(training, SMALL)
    for fit, rows in learned_rows(training, candidate_rows(training, folds), SMALL).items():
        results.put(rows, fit)
    learned = results.parts(TrainingRows)
    for name in ("lightgbm_gbdt", "tcn"):
        fitted = [
            fit_base_model(rows, folds, learned, name, SMALL, report=print)
            for rows in (training, results.get(TrainingSet))
        ]
        assert np.array_equal(fitted[0].out_of_fold, fitted[1].out_of_fold, equal_nan=True)


def test_sampling_and_weighing_in_two_steps_is_what_one_does(results, training):
    results.put(sample(training, SMALL))
    apart = weigh_samples(training, results.get(SampledRows), SMALL)
    folds = plan_folds(training, SMALL)
    together = learned_rows(training, candidate_rows(training, folds), SMALL)
    assert apart.keys() == together.keys()
    for fit, rows in together.items():
        assert np.array_equal(apart[fit].rows, rows.rows)
        assert np.array_equal(apart[fit].weights, rows.weights)


def test_models_and_stack_come_back_and_stack_alike(results, training):
    trained = train(training, SMALL, report=lambda line: None)
    for fitted in trained.fitted.values():
        results.put_fitted(fitted)
    results.put(trained.stacked)
    assert np.array_equal(
        results.get(StackResult).forecast, trained.stacked.forecast, equal_nan=True
    )
    again = stack_models(training, results.fitted(), SMALL, report=lambda line: None)
    assert np.array_equal(again.forecast, trained.stacked.forecast, equal_nan=True)
    assert results.fitted()["mlp"].iterations == trained.fitted["mlp"].iterations


def test_clearing_leaves_nothing_of_an_earlier_attempt(results, training):
    results.put(training)
    results.clear()
    assert list(results.folder.iterdir()) == []
