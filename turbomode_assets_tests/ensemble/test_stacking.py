import numpy as np
import pytest

from turbomode_assets.ensemble import plan_folds, stack
from turbomode_assets.ensemble.stacking import evaluated_rows, forecasts_without, settled_forecast
from turbomode_assets.validation.metrics import log_loss
from turbomode_assets_tests.ensemble.small import SMALL

RULES = SMALL.ensemble_config
CALIBRATED = RULES.model_copy(
    update={"calibration": RULES.calibration.model_copy(update={"minimum_rows": 50})}
)


@pytest.fixture(scope="module")
def folds(training):
    return plan_folds(training, SMALL)


@pytest.fixture(scope="module")
def base(training, folds):
    """Two forecasters: one that knows something, and one that says the same of every row."""
    random = np.random.default_rng(3)
    knowing = np.full((len(training.labels), 3), 0.2)
    hit = random.random(len(training.labels)) < 0.6
    said = np.where(hit, training.labels, random.integers(0, 3, len(training.labels)))
    knowing[np.arange(len(said)), said] = 0.6
    idle = np.tile([0.4, 0.2, 0.4], (len(training.labels), 1))
    both = np.stack([knowing, idle], axis=1)
    tested = np.concatenate([fold.test for fold in folds])
    both[np.setdiff1d(np.arange(len(both)), tested)] = np.nan
    return both


def stacked(base, labels, folds, rules=RULES):
    return stack(base, labels, folds, rules, report=lambda line: None)


def test_only_rows_of_the_second_fold_and_later_are_forecast(base, training, folds):
    forecast = stacked(base, training.labels, folds).forecast
    assert np.array_equal(np.flatnonzero(~np.isnan(forecast[:, 0])), evaluated_rows(folds))


def test_the_labels_of_a_fold_cannot_reach_its_own_forecast(base, training, folds):
    turned = training.labels.copy()
    turned[folds[2].test] = 2 - turned[folds[2].test]
    before = stacked(base, training.labels, folds, CALIBRATED).forecast
    after = stacked(base, turned, folds, CALIBRATED).forecast
    assert np.array_equal(before[folds[2].test], after[folds[2].test])
    assert np.array_equal(before[folds[1].test], after[folds[1].test])


def test_the_second_fold_has_nothing_to_be_calibrated_on_and_the_third_has_the_second(
    base, training, folds
):
    plain = stacked(base, training.labels, folds).forecast
    mended = stacked(base, training.labels, folds, CALIBRATED).forecast
    assert np.array_equal(plain[folds[1].test], mended[folds[1].test])
    assert not np.allclose(plain[folds[2].test], mended[folds[2].test], atol=1e-4)


def test_what_a_model_adds_is_lost_without_it(base, training, folds):
    rows = evaluated_rows(folds)
    whole = log_loss(stacked(base, training.labels, folds).forecast[rows], training.labels[rows])
    without = forecasts_without(base, training.labels, folds, ["knowing", "idle"], RULES)
    loss = {name: log_loss(said[rows], training.labels[rows]) for name, said in without.items()}
    assert loss["knowing"] > whole + 0.1
    assert loss["idle"] == pytest.approx(whole, abs=1e-6)


def test_the_final_stack_speaks_of_every_fold_and_of_nothing_that_was_learned(
    base, training, folds
):
    made = stacked(base, training.labels, folds, CALIBRATED)
    forecast = settled_forecast(base, made)
    tested = np.sort(np.concatenate([fold.test for fold in folds]))
    assert np.array_equal(np.flatnonzero(~np.isnan(forecast[:, 0])), tested)
    assert np.allclose(forecast[tested].sum(axis=1), 1)
    one = made.calibrator.apply(made.meta_learner.predict_proba(base[tested[:1]]))
    assert np.array_equal(forecast[tested[:1]], one)
