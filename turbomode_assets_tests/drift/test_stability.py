import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from turbomode_assets.contracts.errors import InputError, MissingDataError
from turbomode_assets.drift import (
    drift_by_session,
    drift_verdicts,
    freeze_reference,
    population_stability,
)
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets_tests.builders import real_data_folder
from turbomode_assets_tests.drift.builders import CONFIG, FEATURES, column, panel, window

MONDAY = dt.date(2024, 3, 4)
EIGHT = [1, 2, 3, 4, 5, 6, 7, 8]


def stability(training, recent, config=CONFIG):
    reference = freeze_reference(column(training), ["x"], config)
    return population_stability(reference, window(recent), config, as_of=MONDAY).row(0, named=True)


def test_the_same_distribution_has_an_index_of_zero():
    assert stability(EIGHT, EIGHT[::-1] * 3) == {
        "session": MONDAY,
        "feature": "x",
        "psi": 0.0,
        "expected_psi": 3 * (1 / 8 + 1 / 24),
        "kl": 0.0,
        "ks": 0.0,
        "psi_maximum": None,
        "kl_maximum": None,
        "ks_maximum": None,
        "exceeds": False,
        "verdict": "stable",
        "rows": 24,
    }


def test_shares_of_a_half_a_quarter_and_an_eighth_give_the_hand_worked_index():
    # Expected shares are 1/4 each; found are 1/2, 1/4, 1/8, 1/8.
    found = stability(EIGHT, [1, 1, 2, 2, 3, 4, 5, 8])["psi"]
    assert found == pytest.approx(0.25 * math.log(2) + 2 * 0.125 * math.log(2), rel=1e-12)


def test_a_bin_that_nothing_falls_into_counts_as_the_floor():
    found = stability(EIGHT, [1, 3, 5, 5])["psi"]
    emptied = (1e-4 - 0.25) * math.log(1e-4 / 0.25)
    assert found == pytest.approx(0.25 * math.log(2) + emptied, rel=1e-12)


def test_missing_values_that_training_never_saw_are_drift():
    found = stability(EIGHT, [*EIGHT, None, float("nan")])
    lost = 4 * (0.2 - 0.25) * math.log(0.2 / 0.25)
    assert found["psi"] == pytest.approx(lost + (0.2 - 1e-4) * math.log(0.2 / 1e-4), rel=1e-12)
    assert found["verdict"] == "alert"


@pytest.mark.parametrize("moved_to", [2.9, 3.1])
def test_a_constant_that_moves_either_way_is_an_alert(moved_to):
    assert stability([3.0] * 50, [moved_to] * 20)["verdict"] == "alert"


def test_a_feature_that_was_always_missing_and_now_is_there_is_an_alert():
    assert stability([None] * 50, [0.5] * 20)["verdict"] == "alert"


def test_the_verdict_changes_where_the_index_reaches_the_threshold():
    index = stability(EIGHT, [1, 1, 2, 2, 3, 4, 5, 8])["psi"]
    for warn, alert, verdict in [
        (index / 2, index, "alert"),
        (index, index * 2, "warn"),
        (math.nextafter(index, 1), 1.0, "stable"),
    ]:
        config = CONFIG.model_copy(update={"warn_psi": warn, "alert_psi": alert})
        assert stability(EIGHT, [1, 1, 2, 2, 3, 4, 5, 8], config)["verdict"] == verdict


def test_the_expected_index_counts_only_bins_that_training_rows_fell_into():
    # A constant falls into one of its four bins: sampling alone cannot move it.
    assert stability([3.0] * 50, [3.0] * 20)["expected_psi"] == 0
    # Four quantile bins, and the missing values' bin.
    assert stability([*EIGHT, None], [1] * 10)["expected_psi"] == 4 * (1 / 9 + 1 / 10)


def test_the_expected_index_is_the_mean_index_of_independent_samples():
    rng = np.random.default_rng(11)
    config = CONFIG.model_copy(update={"bins": 10})
    training = pl.DataFrame(rng.normal(size=(4000, 200)), schema=[f"f{i}" for i in range(200)])
    recent = pl.DataFrame(rng.normal(size=(1000, 200)), schema=training.schema).with_columns(
        pl.lit(MONDAY).alias("session")
    )
    reference = freeze_reference(training, training.columns, config)
    measured = population_stability(reference, recent, config, as_of=MONDAY)
    assert measured["psi"].mean() == pytest.approx(9 * (1 / 4000 + 1 / 1000), rel=0.1)
    assert measured["expected_psi"].unique().to_list() == [9 * (1 / 4000 + 1 / 1000)]


whole_numbers = st.lists(st.integers(-50, 50) | st.none(), min_size=1, max_size=40)


@settings(max_examples=80)
@given(whole_numbers, whole_numbers)
def test_the_index_is_never_negative_and_ignores_a_rescaling_of_the_feature(training, recent):
    def rescaled(values):
        return [None if value is None else 4.0 * value + 7 for value in values]

    index = stability(training, recent)["psi"]
    assert index >= 0
    assert stability(rescaled(training), rescaled(recent))["psi"] == index


@settings(max_examples=40)
@given(
    whole_numbers, st.lists(st.integers(-50, 50) | st.none(), min_size=1, max_size=20), st.data()
)
def test_the_index_ignores_the_order_of_rows(training, recent, data):
    shuffled = data.draw(st.permutations(recent))
    assert stability(training, recent) == stability(training, shuffled)


def spans():
    return SessionSpan(dt.date(2024, 5, 20), dt.date(2024, 6, 28))


def measured_panel():
    features = panel("2024-01-02", "2024-06-28")
    training = features.filter(pl.col("session") < dt.date(2024, 4, 1))
    reference = freeze_reference(training, FEATURES, CONFIG, sessions=training["session"])
    return reference, features


def test_a_range_equals_its_sessions_one_by_one_exactly():
    reference, features = measured_panel()
    whole = drift_by_session(reference, features, spans(), CONFIG)
    single = [
        drift_by_session(reference, features, SessionSpan(session, session), CONFIG)
        for session in spans().sessions
    ]
    assert_frame_equal(whole, pl.concat(single), check_exact=True)


def test_a_session_equals_the_index_of_its_trailing_window_exactly():
    reference, features = measured_panel()
    whole = drift_by_session(reference, features, spans(), CONFIG)
    for session in spans().sessions:
        first = offset_session(session, 1 - CONFIG.window_sessions)
        recent = features.filter(pl.col("session").is_between(first, session))
        assert_frame_equal(
            whole.filter(pl.col("session") == session),
            population_stability(reference, recent, CONFIG, as_of=session),
            check_exact=True,
        )


def test_the_future_never_changes_an_earlier_index():
    reference, features = measured_panel()
    until = spans().sessions[10]
    changed = features.with_columns(
        pl.when(pl.col("session") > until).then(99.0).otherwise(pl.col(name)).alias(name)
        for name in FEATURES
    )
    before = drift_by_session(reference, features, spans(), CONFIG)
    after = drift_by_session(reference, changed, spans(), CONFIG)
    earlier = pl.col("session") <= until
    assert_frame_equal(before.filter(earlier), after.filter(earlier), check_exact=True)
    assert not before.filter(~earlier).equals(after.filter(~earlier))


def test_rows_come_by_session_and_then_in_the_order_of_the_reference():
    reference, features = measured_panel()
    whole = drift_by_session(reference, features, spans(), CONFIG)
    assert whole["feature"].to_list() == FEATURES * len(spans().sessions)
    assert whole["session"].unique(maintain_order=True).to_list() == spans().sessions
    assert whole["rows"].unique().to_list() == [6 * CONFIG.window_sessions]
    assert whole.schema == {
        "session": pl.Date(),
        "feature": pl.String(),
        **dict.fromkeys(["psi", "expected_psi", "kl", "ks"], pl.Float64()),
        **dict.fromkeys(["psi_maximum", "kl_maximum", "ks_maximum"], pl.Float64()),
        "exceeds": pl.Boolean(),
        "verdict": pl.String(),
        "rows": pl.Int64(),
    }


def test_a_shift_shows_as_its_sessions_fill_the_window():
    reference, features = measured_panel()
    shift = spans().sessions[5]
    shifted = features.with_columns(
        noise=pl.col("noise") + pl.when(pl.col("session") >= shift).then(3.0).otherwise(0.0)
    )
    drift = drift_by_session(reference, shifted, spans(), CONFIG).filter(feature="noise")
    unshifted = drift_by_session(reference, features, spans(), CONFIG).filter(feature="noise")
    assert drift["psi"][:5].equals(unshifted["psi"][:5])
    assert drift["psi"][5:10].is_sorted()
    assert set(drift["verdict"][7:]) == {"alert"}


def test_sessions_without_rows_are_named():
    reference, features = measured_panel()
    holes = [dt.date(2024, 5, 16), dt.date(2024, 6, 3)]
    with pytest.raises(MissingDataError, match="2024-05-16, 2024-06-03"):
        drift_by_session(
            reference, features.filter(~pl.col("session").is_in(holes)), spans(), CONFIG
        )


def test_a_frame_without_the_look_back_is_refused_instead_of_measured_short():
    reference, features = measured_panel()
    with pytest.raises(MissingDataError, match="without a single row: 2024-05-14"):
        drift_by_session(
            reference, features.filter(pl.col("session") >= spans().first), spans(), CONFIG
        )


def test_an_absent_feature_is_named():
    reference, features = measured_panel()
    with pytest.raises(MissingDataError, match="features are missing: counts"):
        drift_by_session(reference, features.drop("counts"), spans(), CONFIG)


def test_rows_after_the_session_measured_are_refused():
    reference = freeze_reference(column(EIGHT), ["x"], CONFIG)
    with pytest.raises(InputError, match="rows after 2024-03-01: 2024-03-04"):
        population_stability(reference, window(EIGHT), CONFIG, as_of=dt.date(2024, 3, 1))


def test_an_empty_window_is_refused():
    reference = freeze_reference(column(EIGHT), ["x"], CONFIG)
    with pytest.raises(MissingDataError, match="no rows to compare as of 2024-03-04"):
        population_stability(reference, window([]), CONFIG, as_of=MONDAY)


@pytest.mark.real_data
def test_the_volatility_of_october_2008_is_an_alert_against_the_calm_before():
    config = CONFIG.model_copy(update={"bins": 10, "window_sessions": 20})
    returns = pl.col("close").log().diff().over("symbol")
    features = (
        pl.read_parquet(real_data_folder() / "daily.parquet")
        .rename({"date": "session"})
        .filter(pl.col("session").is_between(dt.date(2005, 2, 25), dt.date(2008, 12, 31)))
        .sort("symbol", "session")
        .with_columns(returns.alias("return"))
        .with_columns(
            pl.col("return").rolling_std(20).over("symbol").alias("volatility"),
            (pl.col("close") / pl.col("high")).alias("close_to_high"),
        )
    )
    calm = features.filter(pl.col("session") < dt.date(2007, 6, 1))
    reference = freeze_reference(
        calm, ["volatility", "close_to_high"], config, sessions=calm["session"]
    )
    months = SessionSpan(dt.date(2006, 6, 1), dt.date(2008, 12, 31))
    drift = drift_by_session(reference, features, months, config)
    volatility = drift.filter(feature="volatility")
    crisis = volatility.filter(pl.col("session").is_between(dt.date(2008, 9, 30), months.last))
    assert set(crisis["verdict"]) == {"alert"}
    assert crisis["psi"].max() > 4
    assert crisis["rows"].min() > 20 * 75
    sessions = drift_verdicts(drift, config)
    assert sessions.filter(pl.col("session") >= dt.date(2008, 9, 30))["retrain"].all()
    assert not sessions.filter(pl.col("session") < calm["session"].max())["retrain"].any()


def test_a_window_of_the_training_rows_is_at_most_at_its_maximum_and_one_is_there():
    reference, features = measured_panel()
    first = offset_session(dt.date(2024, 1, 2), CONFIG.window_sessions - 1)
    drift = drift_by_session(reference, features, SessionSpan(first, dt.date(2024, 3, 28)), CONFIG)
    for name in ("psi", "kl", "ks"):
        reached = drift.group_by("feature").agg(pl.col(name, f"{name}_maximum").max())
        assert reached[name].equals(reached[f"{name}_maximum"], check_names=False)
    assert set(drift["verdict"]) == {"stable"}


def test_the_window_is_as_long_as_those_of_the_maxima_whatever_is_configured_later():
    reference, features = measured_panel()
    later = CONFIG.model_copy(update={"window_sessions": 9})
    assert_frame_equal(
        drift_by_session(reference, features, spans(), later),
        drift_by_session(reference, features, spans(), CONFIG),
        check_exact=True,
    )


def test_a_window_of_another_length_than_those_of_the_maxima_is_refused():
    reference, features = measured_panel()
    one = features.filter(pl.col("session") == spans().last)
    with pytest.raises(InputError, match="1 sessions cannot be judged by windows of 5"):
        population_stability(reference, one, CONFIG, as_of=spans().last)
