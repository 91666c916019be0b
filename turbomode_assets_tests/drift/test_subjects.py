import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from turbomode_assets.contracts.errors import MissingDataError, StoreError
from turbomode_assets.drift import (
    drift_by_session,
    drift_where_whole,
    freeze_outcomes,
    freeze_predictions,
    freeze_reference,
    outcome_values,
    rank_drift,
    subject_verdicts,
)
from turbomode_assets.drift.subjects import OUTCOME_COLUMNS, PREDICTION_COLUMNS, window_sessions
from turbomode_assets.features import feature_names
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets_tests.drift.builders import CONFIG

FIRST = dt.date(2022, 1, 3)
WAIT = 15
LAST_DAY = dt.date(2022, 1, 4)


def days(count, first=FIRST):
    return SessionSpan(first, offset_session(first, count - 1)).sessions


def forecasts(count=60, symbols=4, seed=2):
    rng = np.random.default_rng(seed)
    said = rng.dirichlet((5, 1, 4), size=count * symbols)
    return pl.DataFrame(said, schema=list(PREDICTION_COLUMNS)).with_columns(
        pl.Series("session", [day for day in days(count) for _ in range(symbols)])
    )


def labels(decisions=90, symbols=4, seed=3):
    """Every decision ends within 1 to WAIT sessions."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "symbol": f"S{symbol}",
            "session": offset_session(day, int(rng.integers(1, WAIT + 1))),
            "decision_session": day,
            "label": int(rng.choice(3, p=(0.5, 0.05, 0.45))),
            "return": rng.normal(0, 0.05),
        }
        for day in days(decisions)
        for symbol in range(symbols)
    ]
    return pl.DataFrame(rows, schema_overrides={"label": pl.Int8})


def test_every_class_has_a_column_of_its_own_and_the_return_another():
    three = labels(1, symbols=3).with_columns(
        label=pl.Series([0, 1, 2], dtype=pl.Int8), **{"return": pl.Series([-0.1, 0.0, 0.2])}
    )
    values = outcome_values(three)
    assert values.columns == ["session", *OUTCOME_COLUMNS]
    assert values.drop("session").rows() == [(1, 0, 0, -0.1), (0, 1, 0, 0), (0, 0, 1, 0.2)]


def test_the_columns_of_predictions_and_outcomes_are_no_features():
    assert not {*PREDICTION_COLUMNS, *OUTCOME_COLUMNS} & set(feature_names())


def test_both_ends_of_the_labels_are_left_out_of_what_is_frozen():
    known = labels(90)
    reference = freeze_outcomes(known, CONFIG, longest_wait=WAIT)
    whole = known.filter(pl.col("session").is_between(days(91)[WAIT], days(91)[-1]))
    assert reference.rows == whole.height < known.height
    assert reference.columns == list(OUTCOME_COLUMNS)
    assert window_sessions(reference) == CONFIG.window_sessions
    # One label in twenty is HOLD: its column has a bin for no and one for yes.
    assert [count for count in reference.features["label_hold"].counts if count] == [
        (whole["label"] != 1).sum(),
        (whole["label"] == 1).sum(),
    ]


@pytest.mark.parametrize("decisions", [0, 1, 14, 60])
def test_labels_of_fewer_sessions_than_ten_windows_are_not_frozen(decisions):
    known = labels(decisions) if decisions else labels(1).clear()
    with pytest.raises(MissingDataError, match=r"labels of .* too few .*: 50 are needed"):
        freeze_outcomes(known, CONFIG, longest_wait=WAIT)


@pytest.mark.parametrize(("count", "frozen"), [(49, False), (50, True)])
def test_forecasts_are_frozen_from_ten_windows_on(count, frozen):
    if frozen:
        assert freeze_predictions(forecasts(count), CONFIG).rows == 4 * count
        return
    with pytest.raises(MissingDataError, match="forecasts of 49 sessions are too few"):
        freeze_predictions(forecasts(count), CONFIG)


def test_a_reference_without_windows_judges_no_subject():
    bare = freeze_reference(forecasts(), PREDICTION_COLUMNS, CONFIG)
    with pytest.raises(StoreError, match="does not know its own windows"):
        window_sessions(bare)


def drift_of(exceeding, columns):
    flags = [True] * exceeding + [False] * (columns - exceeding)
    return pl.DataFrame({"session": [FIRST] * columns, "exceeds": flags})


@pytest.mark.parametrize(
    ("subject", "columns", "said"),
    [
        ("prediction", 3, ["stable", "warn", "warn", "alert"]),
        ("outcome", 4, ["stable", "alert", "alert", "alert", "alert"]),
    ],
)
def test_all_probabilities_or_any_outcome_beyond_its_limits_is_an_alert(subject, columns, said):
    found = [
        subject_verdicts(drift_of(exceeding, columns), subject)["verdict"].item()
        for exceeding in range(columns + 1)
    ]
    assert found == said


@pytest.mark.parametrize(
    ("moved", "verdict"), [(True, "alert"), (False, "stable"), (None, "stable")]
)
def test_one_level_that_moved_is_an_alert(moved, verdict):
    drift = drift_of(0, 3).with_columns(moved=pl.Series([False, moved, None], dtype=pl.Boolean))
    assert subject_verdicts(drift, "prediction")["verdict"].item() == verdict


def test_sessions_with_a_whole_window_are_measured_and_the_others_named():
    rows = forecasts(70)
    reference = freeze_predictions(rows.head(50 * 4), CONFIG)
    gap = days(70)[60]
    rows = rows.filter(pl.col("session") != gap)
    span = SessionSpan(days(70)[0], days(70)[-1])
    made = set(rows["session"])
    drift, lacking = drift_where_whole(reference, rows, span, CONFIG, made=made)
    early, late = days(70)[:4], days(70)[60:65]
    assert list(lacking) == [*early, *late]
    assert lacking[early[0]] == "4 of the 5 sessions up to it are absent"
    assert lacking[late[-1]] == "1 of the 5 sessions up to it are absent"
    assert drift["session"].unique().sort().to_list() == days(70)[4:60] + days(70)[65:]
    alone = drift_by_session(reference, rows, SessionSpan(days(70)[65], days(70)[69]), CONFIG)
    after = drift.filter(pl.col("session") >= days(70)[65]).select(alone.columns)
    assert_frame_equal(after, alone, check_exact=True)


def test_a_session_without_a_label_is_whole_where_labels_were_made():
    known = labels(90)
    reference = freeze_outcomes(known, CONFIG, longest_wait=WAIT)
    quiet, last = days(90)[70], days(90)[74]
    values = outcome_values(known.filter(pl.col("session") != quiet))
    one = SessionSpan(last, last)
    drift, lacking = drift_where_whole(reference, values, one, CONFIG, made=days(90))
    assert not lacking
    window = known.filter(pl.col("session").is_between(days(90)[71], last))
    assert drift["rows"].unique().to_list() == [window.height]
    drift, lacking = drift_where_whole(reference, values, one, CONFIG, made=set(values["session"]))
    assert drift is None
    assert lacking == {last: "1 of the 5 sessions up to it are absent"}


def test_a_window_without_a_single_label_has_no_answer_and_says_so():
    known = labels(90)
    reference = freeze_outcomes(known, CONFIG, longest_wait=WAIT)
    last = days(90)[50]
    none = outcome_values(known).clear()
    drift, lacking = drift_where_whole(
        reference, none, SessionSpan(last, last), CONFIG, made=days(90)
    )
    assert drift is None
    assert lacking == {last: "none in the 5 sessions up to it"}
    with pytest.raises(MissingDataError, match=f"without a single row, up to: {last}"):
        drift_by_session(reference, none, SessionSpan(last, last), CONFIG, empty=days(90))


probabilities = st.lists(
    st.sampled_from([0.0, 1e-12, 0.2, 1 / 3, 0.9, 1.0, None, float("nan"), float("inf")]),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60)
@given(probabilities)
def test_odd_answers_of_a_model_have_finite_figures_and_a_verdict(said):
    reference = freeze_predictions(forecasts(50), CONFIG)
    window = days(50)[-5:]
    rows = pl.DataFrame(
        {"session": [day for day in window for _ in said]}
        | {name: said * len(window) for name in PREDICTION_COLUMNS},
        schema_overrides=dict.fromkeys(PREDICTION_COLUMNS, pl.Float64),
    )
    last = SessionSpan(window[-1], window[-1])
    drift, lacking = drift_where_whole(reference, rows, last, CONFIG, made=window)
    assert not lacking
    for name in ("psi", "kl", "ks"):
        assert drift[name].is_finite().all()
        assert (drift[name] >= 0).all()
    assert subject_verdicts(drift, "prediction")["verdict"].item() in ("stable", "warn", "alert")


def test_a_model_that_says_the_same_of_everything_is_an_alert():
    reference = freeze_predictions(forecasts(50), CONFIG)
    window = days(50)[-5:]
    rows = forecasts(50).with_columns(
        pl.lit(value).alias(name)
        for name, value in zip(PREDICTION_COLUMNS, (0.5, 0.1, 0.4), strict=True)
    )
    last = SessionSpan(window[-1], window[-1])
    drift, _ = drift_where_whole(reference, rows, last, CONFIG, made=days(50))
    assert subject_verdicts(drift, "prediction")["verdict"].item() == "alert"


def test_a_model_that_never_varied_alerts_as_soon_as_it_does():
    same = forecasts(50).with_columns(
        pl.lit(value).alias(name)
        for name, value in zip(PREDICTION_COLUMNS, (0.5, 0.1, 0.4), strict=True)
    )
    reference = freeze_predictions(same, CONFIG)
    last = SessionSpan(days(50)[-1], days(50)[-1])
    still, _ = drift_where_whole(reference, same, last, CONFIG, made=days(50))
    moved, _ = drift_where_whole(reference, forecasts(50), last, CONFIG, made=days(50))
    assert subject_verdicts(still, "prediction")["verdict"].item() == "stable"
    assert subject_verdicts(moved, "prediction")["verdict"].item() == "alert"


def test_the_future_never_changes_an_earlier_verdict():
    rows = forecasts(70)
    reference = freeze_predictions(rows.head(50 * 4), CONFIG)
    until, span = days(70)[60], SessionSpan(days(70)[50], days(70)[69])
    later = rows.with_columns(
        pl.when(pl.col("session") > until).then(0.99).otherwise(pl.col(name)).alias(name)
        for name in PREDICTION_COLUMNS
    )
    before, after = (
        drift_where_whole(reference, each, span, CONFIG, made=days(70))[0] for each in (rows, later)
    )
    earlier = pl.col("session") <= until
    assert_frame_equal(before.filter(earlier), after.filter(earlier), check_exact=True)
    assert not before.equals(after)


def test_drift_is_ranked_by_the_second_largest_multiple_after_what_alerts_beside_features():
    names = ("psi", "kl", "ks")
    rows = {
        # One statistic far out alone is not far.
        "one far out": ("feature", (9.0, 1.1, 0.2), 1.0, "warn"),
        "two out": ("feature", (1.5, 0.0, 1.4), 1.0, "alert"),
        "never moved": ("feature", (0.1, 0.1, 0.1), 0.0, "alert"),
        "still": ("feature", (0.0, 0.0, 0.0), 0.0, "stable"),
        "without windows": ("feature", (0.3, 0.0, 0.0), None, "alert"),
        "p_buy": ("prediction", (0.4, 0.4, 0.4), 1.0, "alert"),
        "label_buy": ("outcome", (0.5, 0.5, 0.5), 1.0, "stable"),
    }
    drift = pl.DataFrame(
        [
            {"session": day, "feature": name, "subject": subject, "verdict": verdict}
            | dict(zip(names, values, strict=True))
            | dict.fromkeys([f"{name}_maximum" for name in names], most)
            for day in (LAST_DAY, FIRST)
            for name, (subject, values, most, verdict) in rows.items()
        ],
        infer_schema_length=None,
    )
    ranked = rank_drift(drift)
    assert ranked["session"].is_sorted()
    assert ranked.filter(session=LAST_DAY).select("feature", "multiple").rows() == [
        ("p_buy", 0.4),
        ("never moved", float("inf")),
        ("two out", 1.4),
        ("one far out", 1.1),
        ("label_buy", 0.5),
        ("still", 0.0),
        ("without windows", None),
    ]
