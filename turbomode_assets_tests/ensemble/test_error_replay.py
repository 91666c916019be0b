import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.config.learning import (
    ErrorReplayBufferConfig,
    RareEventArchiveConfig,
    RegimeWeightedLossConfig,
)
from turbomode_assets.ensemble.error_replay import (
    ERROR_REPLAY_SCHEMA,
    confident_errors,
    replay_factors,
    update_replay_buffer,
)
from turbomode_assets.ensemble.loss_weights import loss_weights
from turbomode_assets.models.logistic import Logistic
from turbomode_assets_tests.config.builders import shipped
from turbomode_assets_tests.labels.builders import session
from turbomode_assets_tests.models.planted import planted_tables
from turbomode_assets_tests.models.small import SMALL, small_data

CONFIG = ErrorReplayBufferConfig(
    minimum_confidence=0.6, half_life_sessions=10.0, capacity_rows=100, weight=0.5
)
EMPTY = pl.DataFrame(schema=ERROR_REPLAY_SCHEMA)


def changed(**values: object) -> ErrorReplayBufferConfig:
    return ErrorReplayBufferConfig.model_validate(CONFIG.model_dump() | values)


def forecasts_of(*rows: tuple) -> pl.DataFrame:
    """Rows of symbol, decision, session known, label, p_sell, p_hold, p_buy, model."""
    listed = [
        (symbol, session(decided), None if known is None else session(known), *rest)
        for symbol, decided, known, *rest in rows
    ]
    schema = {
        "symbol": pl.String(),
        "decision_session": pl.Date(),
        "session": pl.Date(),
        "label": pl.Int8(),
        "p_sell": pl.Float64(),
        "p_hold": pl.Float64(),
        "p_buy": pl.Float64(),
        "model_version": pl.String(),
    }
    return pl.DataFrame(listed, schema=schema, orient="row")


def errors_of(*rows: tuple[str, int, int, str, float]) -> pl.DataFrame:
    """Errors of symbol, decision, session known, model, confidence: BUY where SELL came."""
    listed = [
        (symbol, session(decided), session(known), model, 2, 0, confidence)
        for symbol, decided, known, model, confidence in rows
    ]
    return pl.DataFrame(listed, schema=ERROR_REPLAY_SCHEMA, orient="row")


def test_a_confident_forecast_of_another_class_than_came_is_an_error():
    forecasts = forecasts_of(
        ("B", 3, 9, 2, 0.7, 0.2, 0.1, "m1"),
        ("A", 5, 9, 0, 0.1, 0.3, 0.6, "m1"),
        ("A", 4, 9, 1, 0.1, 0.8, 0.1, "m1"),  # right
        ("A", 6, 9, 1, 0.41, 0.0, 0.59, "m1"),  # not confident
    )
    assert confident_errors(forecasts, CONFIG, as_of=session(9)).rows() == [
        ("A", session(5), session(9), "m1", 2, 0, 0.6),
        ("B", session(3), session(9), "m1", 0, 2, 0.7),
    ]


def test_only_labels_known_by_the_session_count():
    forecasts = forecasts_of(
        ("A", 5, 9, 0, 0.1, 0.1, 0.8, "m1"),
        ("A", 6, 10, 0, 0.1, 0.1, 0.8, "m1"),
        ("A", 7, None, None, 0.1, 0.1, 0.8, "m1"),
        ("A", 4, 9, 0, float("nan"), float("nan"), float("nan"), "m1"),
        ("A", 3, 9, 0, None, None, None, "m1"),
    )
    errors = confident_errors(forecasts, CONFIG, as_of=session(9))
    assert errors["decision_session"].to_list() == [session(5)]
    assert errors.schema == ERROR_REPLAY_SCHEMA
    assert confident_errors(forecasts.clear(), CONFIG, as_of=session(9)).equals(EMPTY)


def test_of_the_errors_on_a_decision_the_most_confident_stays():
    errors = errors_of(
        ("A", 5, 9, "m2", 0.7),
        ("A", 5, 9, "m1", 0.9),
        ("A", 5, 9, "m0", 0.8),
        ("B", 5, 9, "m", 0.6),
    )
    kept = update_replay_buffer(errors.head(1), errors.tail(3), CONFIG, as_of=session(9))
    assert kept.select("symbol", "model_version").rows() == [("A", "m1"), ("B", "m")]
    alike = errors_of(("A", 5, 9, "m2", 0.7), ("A", 5, 9, "m1", 0.7))
    kept = update_replay_buffer(EMPTY, alike, CONFIG, as_of=session(9))
    assert kept["model_version"].to_list() == ["m1"]


def test_a_forecast_judged_again_keeps_the_label_known_now():
    before = errors_of(("A", 5, 8, "m", 0.9))
    again = errors_of(("A", 5, 9, "m", 0.9)).with_columns(label=pl.lit(1, dtype=pl.Int8))
    kept = update_replay_buffer(before, again, CONFIG, as_of=session(9))
    assert kept.equals(again)


def test_beyond_the_capacity_what_weighs_least_leaves():
    errors = errors_of(
        ("A", 1, 8, "m", 0.99), ("B", 2, 9, "m", 0.7), ("C", 1, 9, "m", 0.8), ("D", 4, 9, "m", 0.7)
    )
    for capacity, left in ((3, "BCD"), (2, "BC"), (1, "C")):
        config = changed(capacity_rows=capacity)
        kept = update_replay_buffer(errors.head(2), errors.tail(2), config, as_of=session(20))
        assert "".join(kept["symbol"]) == left
        weights = replay_factors(errors, errors, config, as_of=session(20))
        assert weights.min() == weights[0]


def test_errors_known_later_are_not_there_yet():
    errors = errors_of(("A", 1, 9, "m", 0.9), ("B", 1, 10, "m", 0.9))
    for buffer, new in ((EMPTY, errors), (errors, EMPTY)):
        kept = update_replay_buffer(buffer, new, CONFIG, as_of=session(9))
        assert kept["symbol"].to_list() == ["A"]
    assert replay_factors(errors, errors, CONFIG, as_of=session(9)).tolist() == [1.5, 1.0]


def test_a_replayed_error_weighs_half_as_much_more_after_a_half_life():
    buffer = errors_of(("A", 1, 10, "m", 0.9), ("B", 1, 20, "m", 0.9))
    rows = buffer.select("symbol", "decision_session").vstack(
        pl.DataFrame({"symbol": ["A", "C"], "decision_session": [session(2), session(1)]})
    )
    assert replay_factors(rows, buffer, CONFIG, as_of=session(20)).tolist() == [1.25, 1.5, 1, 1]
    later = replay_factors(rows[::-1], buffer, CONFIG, as_of=session(30)).tolist()
    assert later == [1, 1, 1.25, 1.125]
    assert replay_factors(rows, EMPTY, CONFIG, as_of=session(20)).tolist() == [1.0] * 4
    assert replay_factors(rows.clear(), buffer, CONFIG, as_of=session(20)).tolist() == []


ERRORS = st.lists(
    st.tuples(
        st.sampled_from("ABC"),
        st.integers(0, 12),
        st.sampled_from(["m1", "m2"]),
        st.integers(6, 9).map(lambda tenths: tenths / 10),
    ),
    max_size=25,
)


@given(ERRORS, ERRORS, st.integers(1, 12), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_the_same_update_twice_changes_nothing_and_the_bounds_hold(old, new, capacity, now):
    # When the outcome of a decision became known is a property of the decision.
    before, errors = (
        errors_of(*((s, at, at + 3 + at % 4, model, p) for s, at, model, p in rows))
        for rows in (old, new)
    )
    config = changed(capacity_rows=capacity)
    once = update_replay_buffer(before, errors, config, as_of=session(now))
    assert update_replay_buffer(once, errors, config, as_of=session(now)).equals(once)
    assert once.height <= capacity
    assert not once.select("symbol", "decision_session").is_duplicated().any()
    assert (once["known_session"] <= session(now)).all()
    everything = pl.concat([before, errors]).filter(pl.col("known_session") <= session(now))
    decisions = everything.select("symbol", "decision_session").unique().height
    assert once.height == min(capacity, decisions)
    best = everything.group_by("symbol", "decision_session").agg(pl.col("confidence").max())
    joined = once.join(best, on=["symbol", "decision_session"], validate="1:1")
    assert joined["confidence"].equals(joined["confidence_right"], check_names=False)


EFFECTS: dict[str, object] = {
    "error_replay_buffer.minimum_confidence": 0.75,
    "error_replay_buffer.half_life_sessions": 30.0,
    "error_replay_buffer.capacity_rows": 1,
    "error_replay_buffer.weight": 0.9,
}


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_changes_the_factors(key):
    forecasts = forecasts_of(("A", 1, 9, 0, 0.1, 0.2, 0.7, "m"), ("B", 2, 8, 0, 0.1, 0.0, 0.9, "m"))

    def outcome(config: ErrorReplayBufferConfig) -> list[float]:
        errors = confident_errors(forecasts, config, as_of=session(20))
        buffer = update_replay_buffer(EMPTY, errors, config, as_of=session(20))
        return replay_factors(forecasts, buffer, config, as_of=session(20)).tolist()

    assert outcome(changed(**{key.split(".")[1]: EFFECTS[key]})) != outcome(CONFIG)


def test_no_key_is_without_its_effect():
    assert {key.split(".")[1] for key in EFFECTS} == set(ErrorReplayBufferConfig.model_fields)


def test_what_the_buffer_holds_changes_what_a_model_learns():
    matrix, labels = small_data(seed=3)
    _, table = planted_tables(symbols=6, sessions=200, features=6, strength=1.0, seed=3)
    now = table["session"].max()
    content = shipped("turbomode_training_config.json")
    loss = RegimeWeightedLossConfig.model_validate(content["regime_weighted_loss"])
    archive = RareEventArchiveConfig.model_validate(content["rare_event_archive"])
    config = changed(half_life_sessions=300.0, weight=4.0, minimum_confidence=0.5)

    def fitted(buffer: pl.DataFrame) -> np.ndarray:
        rows = table.with_columns(
            regime=pl.lit(None, dtype=pl.String),
            replay=pl.Series(replay_factors(table, buffer, config, as_of=now)),
        )
        everything = np.arange(table.height)
        _, weights = loss_weights(rows, everything, everything[:0], loss, archive)
        model = Logistic(SMALL.logistic).fit(matrix, labels, seed=1, weights=weights)
        return model.predict_proba(matrix)

    plain = fitted(EMPTY)
    probabilities = pl.DataFrame(plain, schema=["p_sell", "p_hold", "p_buy"])
    forecasts = table.hstack(probabilities).with_columns(model_version=pl.lit("m1"))
    errors = confident_errors(forecasts, config, as_of=now)
    assert errors.height > 30
    replayed = fitted(update_replay_buffer(EMPTY, errors, config, as_of=now))
    keys = errors.select("symbol", "decision_session", wrong=True)
    wrong = table.join(keys, on=["symbol", "decision_session"], how="left")["wrong"]
    rows = np.flatnonzero(wrong.fill_null(value=False))
    chosen = labels[rows]
    assert replayed[rows, chosen].mean() > plain[rows, chosen].mean() + 0.05
