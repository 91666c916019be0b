import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.config.learning import CalibrationConfig
from turbomode_assets.ensemble import Calibrator
from turbomode_assets.validation import expected_calibration_error
from turbomode_assets.validation.metrics import log_loss

METHODS = ("none", "temperature", "isotonic")


def overconfident(rows: int, *, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts that are twice as sure as they should be, and what came true."""
    random = np.random.default_rng(seed)
    honest = random.dirichlet([2.0, 1.0, 2.0], size=rows)
    labels = (honest.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1).clip(max=2)
    sure = honest**2 / (honest**2).sum(axis=1, keepdims=True)
    return sure, labels.astype(np.int8)


def rules(method: str, minimum_rows: int = 100) -> CalibrationConfig:
    return CalibrationConfig.model_validate({"method": method, "minimum_rows": minimum_rows})


def test_forecasts_twice_as_sure_as_they_should_be_get_the_temperature_two():
    calibrator = Calibrator.fit(*overconfident(40_000), rules("temperature"))
    assert calibrator.temperature == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_calibration_mends_rows_it_did_not_learn_from(method):
    calibrator = Calibrator.fit(*overconfident(20_000), rules(method))
    sure, labels = overconfident(20_000, seed=2)
    mended = calibrator.apply(sure)
    before = expected_calibration_error(sure, labels)
    assert expected_calibration_error(mended, labels) < before / 4
    assert log_loss(mended, labels) < log_loss(sure, labels) - 0.02


def test_temperature_keeps_the_order_of_the_classes():
    sure, labels = overconfident(5_000)
    mended = Calibrator.fit(sure, labels, rules("temperature")).apply(sure)
    assert np.array_equal(mended.argsort(axis=1), sure.argsort(axis=1))


def test_too_few_rows_leave_forecasts_as_they_are():
    sure, labels = overconfident(99)
    assert Calibrator.fit(sure, labels, rules("isotonic")).method == "none"
    assert Calibrator.fit(sure, labels, rules("isotonic", 99)).method == "isotonic"
    assert Calibrator.fit(sure, labels, rules("none", 1)).apply(sure) is sure


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), method=st.sampled_from(METHODS))
def test_what_is_mapped_stays_a_distribution_and_survives_its_json(seed, method):
    calibrator = Calibrator.fit(*overconfident(300, seed=seed), rules(method))
    given_rows = np.random.default_rng(seed).dirichlet([0.3, 0.3, 0.3], size=50)
    mapped = calibrator.apply(given_rows)
    assert (mapped > 0).all() or method == "none"
    np.testing.assert_allclose(mapped.sum(axis=1), 1.0, atol=1e-12)
    again = Calibrator.from_json(json.loads(json.dumps(calibrator.to_json())))
    assert np.array_equal(again.apply(given_rows), mapped)
