import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from turbomode_assets.drift import drift_by_session, drift_verdicts, freeze_reference
from turbomode_assets.drift.verdict import judge_features, multiple_of_training
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets_tests.drift.builders import CONFIG
from turbomode_assets_tests.drift.simulation import (
    FEATURES,
    TENTH,
    frozen_at_the_end_of_the_reference,
    later_span,
    shifted,
    stationary_market,
    weekly_verdicts,
)

SHIPPED = CONFIG.model_copy(update={"bins": 10, "window_sessions": 20})
FRIDAY = dt.date(2024, 3, 1)


def judged(psi, kl, ks, *, maximum=1.0, config=CONFIG):
    measured = pl.DataFrame({"psi": [psi], "kl": [kl], "ks": [ks]}).with_columns(
        pl.lit(maximum, dtype=pl.Float64).alias(f"{name}_maximum") for name in ("psi", "kl", "ks")
    )
    row = judge_features(measured, config).row(0, named=True)
    return row["exceeds"], row["verdict"]


@pytest.mark.parametrize(
    ("psi", "kl", "ks", "answer"),
    [
        (1.0, 1.0, 1.0, (False, "stable")),
        (9.0, 1.0, 1.0, (False, "stable")),
        (1.1, 1.1, 1.0, (False, "warn")),
        (1.25, 1.25, 1.25, (False, "warn")),
        (9.0, 1.1, 1.0, (False, "warn")),
        (1.26, 1.26, 0.0, (True, "alert")),
        (0.0, 1.26, 1.26, (True, "alert")),
    ],
)
def test_a_feature_exceeds_when_two_statistics_are_above_the_factor(psi, kl, ks, answer):
    assert judged(psi, kl, ks) == answer


finite = st.floats(0, 4, allow_subnormal=False)


@given(st.lists(finite, min_size=3, max_size=3), finite.filter(lambda maximum: maximum > 1e-9))
def test_what_exceeds_is_more_than_the_factor_times_its_largest_move_in_training(values, maximum):
    multiple = sorted(values)[1] / maximum
    assume(abs(multiple - CONFIG.limit_factor) > 1e-9)
    measured = pl.DataFrame({"psi": [values[0]], "kl": [values[1]], "ks": [values[2]]})
    maxima = {f"{name}_maximum": pl.lit(maximum) for name in ("psi", "kl", "ks")}
    row = judge_features(measured.with_columns(**maxima), CONFIG).with_columns(
        multiple_of_training()
    )
    assert row.item(0, "multiple") == pytest.approx(multiple)
    assert row.item(0, "exceeds") == (multiple > CONFIG.limit_factor)


def test_the_factor_is_configured():
    assert judged(1.3, 1.3, 1.3, config=CONFIG.model_copy(update={"limit_factor": 1.5}))[0] is False


def test_what_never_moved_exceeds_as_soon_as_it_moves():
    assert judged(0.0, 0.0, 0.0, maximum=0.0) == (False, "stable")
    assert judged(1e-9, 1e-9, 1e-9, maximum=0.0) == (True, "alert")


@pytest.mark.parametrize(
    ("psi", "answer"), [(0.09, (False, "stable")), (0.1, (False, "warn")), (0.25, (True, "alert"))]
)
def test_without_maxima_the_index_alone_decides_by_fixed_thresholds(psi, answer):
    assert judged(psi, 9.0, 9.0, maximum=None) == answer


@pytest.mark.parametrize(
    ("exceeding", "verdict", "retrain"),
    [(0, "stable", False), (1, "warn", False), (2, "warn", False), (3, "alert", True)],
)
def test_three_features_of_sixty_alarm_and_two_do_not(exceeding, verdict, retrain):
    drift = pl.DataFrame(
        {"session": [FRIDAY] * 60, "exceeds": [True] * exceeding + [False] * (60 - exceeding)}
    )
    assert drift_verdicts(drift, CONFIG).row(0, named=True) == {
        "session": FRIDAY,
        "features": 60,
        "exceeding": exceeding,
        "share": exceeding / 60,
        "verdict": verdict,
        "retrain": retrain,
    }


def test_sessions_are_judged_apart_and_come_in_order():
    drift = pl.DataFrame(
        {"session": [FRIDAY, dt.date(2024, 2, 29)] * 2, "exceeds": [True, False] * 2}
    )
    assert drift_verdicts(drift, CONFIG)["retrain"].to_list() == [False, True]


def predictions_and_outcomes(later_share):
    """Five symbols a session; the model says BUY with 0.3 +- 0.1, and one label in ten is BUY."""
    span = SessionSpan(dt.date(2022, 1, 3), dt.date(2024, 6, 28))
    rows = len(span.sessions) * 5
    rng = np.random.default_rng(3)
    later = np.repeat(np.asarray(span.sessions), 5) >= dt.date(2024, 1, 2)
    buy = rng.random(rows) < np.where(later, later_share, 0.1)
    return pl.DataFrame(
        {
            "session": np.repeat(np.asarray(span.sessions, "datetime64[D]"), 5),
            "p_buy": rng.normal(np.where(later, 0.2 + later_share, 0.3), 0.1, rows),
            "label": np.where(buy, 2, rng.integers(0, 2, rows)).astype(np.int8),
        }
    )


@pytest.mark.parametrize(("share", "retrain"), [(0.1, False), (0.5, True)])
def test_probabilities_and_label_classes_are_judged_like_features(share, retrain):
    frame = predictions_and_outcomes(share)
    before = frame.filter(pl.col("session") < dt.date(2024, 1, 2))
    reference = freeze_reference(before, ["p_buy", "label"], SHIPPED, sessions=before["session"])
    assert sum(count > 0 for count in reference.features["label"].counts) == 3
    march = SessionSpan(dt.date(2024, 3, 1), dt.date(2024, 3, 28))
    drift = drift_by_session(reference, frame, march, SHIPPED)
    assert set(drift.group_by("feature").agg(pl.col("exceeds").all())["exceeds"]) == {retrain}
    assert set(drift_verdicts(drift, SHIPPED)["retrain"]) == {retrain}


def delay_sessions(market, deviations) -> float:
    """Sessions from a shift of one feature in ten to the first alarm, the shift's own counted."""
    reference = frozen_at_the_end_of_the_reference(market, SHIPPED)
    moved = shifted(market, deviations, features=TENTH, since=later_span().first)
    drift = drift_by_session(reference, moved, later_span(), SHIPPED)
    retrain = drift_verdicts(drift, SHIPPED)["retrain"]
    return retrain.arg_max() + 1 if retrain.any() else float("inf")


def test_few_weeks_alarm_where_nothing_changes_and_a_shift_is_caught():
    markets = [stationary_market(seed) for seed in range(3)]
    alarms = pl.concat([weekly_verdicts(market, SHIPPED) for market in markets])
    assert alarms.height == 3 * 51
    assert alarms["retrain"].mean() < 0.05
    assert max(delay_sessions(market, 2.0) for market in markets) <= 20


def test_a_shift_before_the_look_is_no_alarm_of_the_sessions_before_it():
    market = stationary_market(0)
    since = offset_session(later_span().first, 100)
    changed = shifted(market, 3.0, features=FEATURES, since=since)
    reference = frozen_at_the_end_of_the_reference(market, SHIPPED)
    before = weekly_verdicts(market, SHIPPED, reference).filter(pl.col("session") < since)
    after = weekly_verdicts(changed, SHIPPED, reference)
    assert after.filter(pl.col("session") < since).equals(before)
    assert after.filter(pl.col("session") >= offset_session(since, 20))["retrain"].all()


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", [0, 20, 40, 60, 80])
def test_over_twenty_markets_fewer_than_one_week_in_twenty_alarms(first_seed):
    markets = [stationary_market(seed) for seed in range(first_seed, first_seed + 20)]
    alarms = pl.concat([weekly_verdicts(market, SHIPPED) for market in markets])
    small, large = (sorted(delay_sessions(m, size) for m in markets) for size in (1.0, 2.0))
    print(f"{alarms['retrain'].mean():.4f} of weeks; 1 deviation {small}; 2 deviations {large}")
    assert alarms["retrain"].mean() < 0.05
    assert large[-1] <= 20
    assert small[9] <= 25
