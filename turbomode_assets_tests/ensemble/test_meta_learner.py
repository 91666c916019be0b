import json

import numpy as np
import pytest

from turbomode_assets.config.models import MetaLearnerConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.ensemble import MetaLearner

RANDOM = np.random.default_rng(0)


def _forecasts(labels: np.ndarray, skill: tuple[float, ...]) -> np.ndarray:
    """One made-up base model for each skill: its logits lean to the label by that much."""
    truth = np.eye(3)[labels][:, None, :] * np.array(skill)[None, :, None]
    powers = np.exp(truth + RANDOM.normal(size=truth.shape))
    return powers / powers.sum(axis=2, keepdims=True)


def test_it_leans_on_the_skilled_model_and_beats_it():
    labels = RANDOM.integers(0, 3, 3000)
    base = _forecasts(labels, (1.0, 0.0, 0.5))
    meta = MetaLearner.fit(base[:2000], labels[:2000], MetaLearnerConfig(l2=0.01))
    weight = np.abs(meta.coefficients).reshape(3, 3, 3).sum(axis=(0, 2))
    assert weight[0] > weight[2] > 3 * weight[1]
    probabilities = meta.predict_proba(base[2000:])
    assert np.allclose(probabilities.sum(axis=1), 1)
    hits = (probabilities.argmax(axis=1) == labels[2000:]).mean()
    assert hits > (base[2000:, 0].argmax(axis=1) == labels[2000:]).mean()


def test_a_heavy_penalty_leaves_the_class_shares():
    labels = np.repeat([0, 1, 2], [500, 200, 300])
    meta = MetaLearner.fit(_forecasts(labels, (1.0,)), labels, MetaLearnerConfig(l2=1e6))
    probabilities = meta.predict_proba(_forecasts(labels, (1.0,)))
    assert probabilities == pytest.approx(np.tile([0.5, 0.2, 0.3], (1000, 1)), abs=1e-3)


def test_more_rows_of_the_same_kind_do_not_weaken_the_penalty():
    labels = RANDOM.integers(0, 3, 300)
    base = _forecasts(labels, (1.0, 0.5))
    once = MetaLearner.fit(base, labels, MetaLearnerConfig(l2=0.1))
    thrice = MetaLearner.fit(
        np.tile(base, (3, 1, 1)), np.tile(labels, 3), MetaLearnerConfig(l2=0.1)
    )
    assert thrice.coefficients == pytest.approx(once.coefficients, abs=1e-5)


def test_a_row_alone_equals_the_row_among_others_and_json_changes_nothing():
    labels = RANDOM.integers(0, 3, 500)
    base = _forecasts(labels, (1.0, 0.0))
    meta = MetaLearner.fit(base, labels, MetaLearnerConfig(l2=0.1))
    together = meta.predict_proba(base)
    assert all(
        np.array_equal(meta.predict_proba(base[at : at + 1])[0], together[at]) for at in range(50)
    )
    again = MetaLearner.from_json(json.loads(json.dumps(meta.to_json())))
    assert np.array_equal(again.predict_proba(base), together)


def test_certainty_and_constant_models_stay_finite():
    labels = np.array([0, 1, 2] * 20)
    base = np.tile(np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]]), (60, 1, 1))
    meta = MetaLearner.fit(base, labels, MetaLearnerConfig(l2=0.1))
    assert meta.predict_proba(base) == pytest.approx(np.full((60, 3), 1 / 3), abs=1e-6)


def test_a_class_that_never_occurs_is_refused():
    with pytest.raises(InputError, match="no label of class HOLD"):
        MetaLearner.fit(np.full((4, 1, 3), 1 / 3), np.array([0, 2, 0, 2]), MetaLearnerConfig(l2=1))
