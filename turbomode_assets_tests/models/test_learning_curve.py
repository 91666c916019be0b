import math

from turbomode_assets.models.learning_curve import LearningCurve


def test_patience_counts_the_steps_since_the_best_one():
    curve = LearningCurve(patience=2)
    seen = [(curve.record(loss), curve.is_exhausted) for loss in (1.0, 0.8, 0.9, 0.7, 0.7, 0.71)]
    assert seen == [
        (True, False),
        (True, False),
        (False, False),
        (True, False),
        (False, False),
        (False, True),
    ]
    assert curve.best == 3
    assert curve.losses == [1.0, 0.8, 0.9, 0.7, 0.7, 0.71]


def test_without_patience_no_loss_ends_a_fit():
    curve = LearningCurve(patience=None)
    for loss in range(50):
        curve.record(float(loss))
    assert not curve.is_exhausted
    assert curve.best == 0


def test_a_loss_that_is_not_a_number_is_never_better_than_another():
    curve = LearningCurve(patience=1)
    assert curve.record(math.nan)
    assert curve.record(0.9)
    assert not curve.record(math.nan)
    assert (curve.best, curve.is_exhausted) == (1, True)
