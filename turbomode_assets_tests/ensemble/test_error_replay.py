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
PROBABILITIES = ["p_sell", "p_hold", "p_buy"]
EMPTY = pl.DataFrame(schema=ERROR_REPLAY_SCHEMA)


def changed(**values: object) -> ErrorReplayBufferConfig:
    return ErrorReplayBufferConfig.model_validate(CONFIG.model_dump() | values)


def forecast(
    symbol: str,
    decided: int,
    *,
    known: int | None,
    label: int | None = 0,
    p: tuple[float | None, float | None, float | None] = (0.1, 0.1, 0.8),
    model: str = "m",
) -> dict[str, object]:
    """Probabilities of SELL, HOLD and BUY for a decision, and the label known later."""
    return {
        "symbol": symbol,
        "decision_session": session(decided),
        "session": None if known is None else session(known),
        "label": label,
        **dict(zip(PROBABILITIES, p, strict=True)),
        "model_version": model,
    }


def forecasts_of(*rows: dict[str, object]) -> pl.DataFrame:
    schema = {
        "symbol": pl.String(),
        "decision_session": pl.Date(),
        "session": pl.Date(),
        "label": pl.Int8(),
        **dict.fromkeys(PROBABILITIES, pl.Float64()),
        "model_version": pl.String(),
    }
    return pl.DataFrame(rows, schema=schema)


def error(
    symbol: str, decided: int, *, known: int, confidence: float, model: str = "m"
) -> dict[str, object]:
    """An error on a decision: BUY was forecast where SELL came."""
    return {
        "symbol": symbol,
        "decision_session": session(decided),
        "known_session": session(known),
        "model_version": model,
        "predicted": 2,
        "label": 0,
        "confidence": confidence,
    }


def errors_of(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=ERROR_REPLAY_SCHEMA)


def updated(
    buffer: pl.DataFrame,
    errors: pl.DataFrame,
    config: ErrorReplayBufferConfig = CONFIG,
    *,
    as_of: int,
    judged: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The buffer at a session; only the decisions with errors were judged, unless said."""
    known = errors if judged is None else judged
    kept = update_replay_buffer(buffer, errors, config, as_of=session(as_of), judged=known)
    assert kept.schema == ERROR_REPLAY_SCHEMA
    return kept


def test_a_confident_forecast_of_another_class_than_came_is_an_error():
    forecasts = forecasts_of(
        forecast("B", 3, known=9, label=2, p=(0.7, 0.2, 0.1), model="m1"),
        forecast("A", 5, known=9, p=(0.1, 0.3, 0.6), model="m1"),
        forecast("A", 4, known=9, label=1, p=(0.1, 0.8, 0.1), model="m1"),  # right
        forecast("A", 6, known=9, label=1, p=(0.41, 0.0, 0.59), model="m1"),  # not confident
    )
    assert confident_errors(forecasts, CONFIG, as_of=session(9)).rows() == [
        ("A", session(5), session(9), "m1", 2, 0, 0.6),
        ("B", session(3), session(9), "m1", 0, 2, 0.7),
    ]


def test_only_labels_known_by_the_session_count():
    forecasts = forecasts_of(
        forecast("A", 5, known=9, model="m1"),
        forecast("A", 6, known=10, model="m1"),
        forecast("A", 7, known=None, label=None, model="m1"),
        forecast("A", 4, known=9, p=(float("nan"), float("nan"), float("nan")), model="m1"),
        forecast("A", 3, known=9, p=(None, None, None), model="m1"),
    )
    errors = confident_errors(forecasts, CONFIG, as_of=session(9))
    assert errors["decision_session"].to_list() == [session(5)]
    assert errors.schema == ERROR_REPLAY_SCHEMA
    assert confident_errors(forecasts.clear(), CONFIG, as_of=session(9)).equals(EMPTY)


def test_of_the_errors_on_a_decision_the_most_confident_stays():
    errors = errors_of(
        error("A", 5, known=9, confidence=0.7, model="m2"),
        error("A", 5, known=9, confidence=0.9, model="m1"),
        error("A", 5, known=9, confidence=0.8, model="m0"),
        error("B", 5, known=9, confidence=0.6),
    )
    kept = updated(EMPTY, errors, as_of=9)
    assert kept.select("symbol", "model_version").rows() == [("A", "m1"), ("B", "m")]
    alike = errors_of(
        error("A", 5, known=9, confidence=0.7, model="m2"),
        error("A", 5, known=9, confidence=0.7, model="m1"),
    )
    kept = updated(EMPTY, alike, as_of=9)
    assert kept["model_version"].to_list() == ["m1"]


def test_a_forecast_judged_again_keeps_the_label_known_now():
    before = errors_of(error("A", 5, known=8, confidence=0.9))
    again = errors_of(error("A", 5, known=9, confidence=0.9)).with_columns(
        label=pl.lit(1, dtype=pl.Int8)
    )
    assert updated(before, again, as_of=9).equals(again)
    # Also by a model less sure of itself: what was said before is judged no more.
    other = errors_of(error("A", 5, known=9, confidence=0.7, model="n"))
    assert updated(before, other, as_of=9).equals(other)


def test_a_label_revised_to_what_was_forecast_is_an_error_no_more():
    said = forecast("A", 5, known=9)
    other = errors_of(
        error("A", 6, known=9, confidence=0.7), error("B", 5, known=9, confidence=0.7)
    )
    wrong = forecasts_of(said)
    before = confident_errors(wrong, CONFIG, as_of=session(9))
    buffer = updated(other, before, as_of=9, judged=wrong)
    assert buffer.height == 3
    revised = wrong.with_columns(label=pl.lit(2, dtype=pl.Int8))
    after = confident_errors(revised, CONFIG, as_of=session(9))
    assert after.is_empty()
    # The same symbol and the same session were judged, but not what else the buffer has.
    assert updated(buffer, after, as_of=9, judged=revised).equals(other)
    assert updated(buffer, after, as_of=9, judged=revised.clear()).equals(buffer)


def test_a_confidence_that_is_required_later_holds_for_the_buffer_too():
    buffer = errors_of(
        error("A", 5, known=9, confidence=0.7), error("B", 5, known=9, confidence=0.8)
    )
    raised = changed(minimum_confidence=0.8)
    assert updated(buffer, EMPTY, raised, as_of=9).equals(buffer.tail(1))
    assert updated(EMPTY, buffer, raised, as_of=9).equals(buffer.tail(1))


def test_errors_found_now_crowd_out_remembered_ones_also_newer_ones():
    remembered = errors_of(
        error("A", 6, known=10, confidence=0.99), error("B", 6, known=9, confidence=0.99)
    )
    found = errors_of(
        error("C", 1, known=5, confidence=0.7), error("D", 1, known=4, confidence=0.7)
    )
    for capacity, left in ((4, "ABCD"), (3, "ACD"), (2, "CD"), (1, "C")):
        config = changed(capacity_rows=capacity)
        assert "".join(updated(remembered, found, config, as_of=10)["symbol"]) == left


def test_beyond_the_capacity_what_weighs_least_leaves():
    errors = errors_of(
        error("A", 1, known=8, confidence=0.99),
        error("B", 2, known=9, confidence=0.7),
        error("C", 1, known=9, confidence=0.8),
        error("D", 4, known=9, confidence=0.7),
    )
    for capacity, left in ((3, "BCD"), (2, "BC"), (1, "C")):
        config = changed(capacity_rows=capacity)
        for buffer, new in ((errors, EMPTY), (EMPTY, errors)):
            assert "".join(updated(buffer, new, config, as_of=20)["symbol"]) == left
        weights = replay_factors(errors, errors, config, as_of=session(20))
        assert weights.min() == weights[0]


def test_errors_known_later_are_not_there_yet():
    errors = errors_of(
        error("A", 1, known=9, confidence=0.9), error("B", 1, known=10, confidence=0.9)
    )
    for buffer, new in ((EMPTY, errors), (errors, EMPTY)):
        kept = updated(buffer, new, as_of=9)
        assert kept["symbol"].to_list() == ["A"]
    assert replay_factors(errors, errors, CONFIG, as_of=session(9)).tolist() == [1.5, 1.0]


def test_a_replayed_error_weighs_half_as_much_more_after_a_half_life():
    buffer = errors_of(
        error("A", 1, known=10, confidence=0.9), error("B", 1, known=20, confidence=0.9)
    )
    others = pl.DataFrame({"symbol": ["A", "C"], "decision_session": [session(2), session(1)]})
    rows = (
        buffer.select("symbol", "decision_session")
        .vstack(others)
        .with_columns(label=pl.lit(buffer.item(0, "label"), dtype=pl.Int8))
    )
    assert replay_factors(rows, buffer, CONFIG, as_of=session(20)).tolist() == [1.25, 1.5, 1, 1]
    later = replay_factors(rows[::-1], buffer, CONFIG, as_of=session(30)).tolist()
    assert later == [1, 1, 1.25, 1.125]
    assert replay_factors(rows, EMPTY, CONFIG, as_of=session(20)).tolist() == [1.0] * 4
    assert replay_factors(rows.clear(), buffer, CONFIG, as_of=session(20)).tolist() == []


def test_an_error_whose_label_was_revised_to_what_was_predicted_weighs_no_more():
    buffer = errors_of(error("A", 1, known=10, confidence=0.9))
    revised = pl.lit(buffer.item(0, "predicted"), dtype=pl.Int8)
    rows = buffer.select("symbol", "decision_session", label=revised)
    assert replay_factors(rows, buffer, CONFIG, as_of=session(20)).tolist() == [1]


ERRORS = st.lists(
    st.tuples(
        st.sampled_from("ABC"),
        st.integers(0, 12),
        st.sampled_from(["m1", "m2"]),
        st.integers(6, 9).map(lambda tenths: tenths / 10),
    ),
    max_size=25,
)


DECISIONS = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 12)), max_size=25)


@given(ERRORS, ERRORS, DECISIONS, st.integers(1, 12), st.integers(0, 20))
@settings(max_examples=60)
def test_an_update_is_repeatable_and_bounded_and_keeps_what_an_empty_buffer_would(
    old, new, right, capacity, now
):
    # When the outcome of a decision became known is a property of the decision.
    before, errors = (
        errors_of(
            *(
                error(symbol, at, known=at + 3 + at % 4, confidence=confidence, model=model)
                for symbol, at, model, confidence in rows
            )
        )
        for rows in (old, new)
    )
    keys = ["symbol", "decision_session"]
    decided = [(symbol, session(at)) for symbol, at in right]
    well_judged = pl.DataFrame(decided, schema=before.select(keys).schema, orient="row")
    judged = pl.concat([errors.select(keys), well_judged])
    config = changed(capacity_rows=capacity, minimum_confidence=0.7)
    once = updated(before, errors, config, as_of=now, judged=judged)
    assert updated(once, errors, config, as_of=now, judged=judged).equals(once)
    shuffled = [each.sample(fraction=1, shuffle=True, seed=1) for each in (before, errors, judged)]
    assert updated(*shuffled[:2], config, as_of=now, judged=shuffled[2]).equals(once)
    assert once.height <= capacity
    assert not once.select(keys).is_duplicated().any()
    assert (once["known_session"] <= session(now)).all()
    assert (once["confidence"] >= 0.7).all()
    fresh = updated(EMPTY, errors, config, as_of=now, judged=judged)
    assert once.join(judged.unique(), on=keys, how="semi").equals(fresh)
    remembered = before.join(judged.unique(), on=keys, how="anti")
    counted = pl.concat([errors, remembered]).filter(
        pl.col("known_session") <= session(now), pl.col("confidence") >= 0.7
    )
    assert once.height == min(capacity, counted.select(keys).unique().height)
    best = counted.group_by(keys).agg(pl.col("confidence").max())
    joined = once.join(best, on=keys, validate="1:1")
    assert joined["confidence"].equals(joined["confidence_right"], check_names=False)


EFFECTS: dict[str, object] = {
    "error_replay_buffer.minimum_confidence": 0.75,
    "error_replay_buffer.half_life_sessions": 30.0,
    "error_replay_buffer.capacity_rows": 1,
    "error_replay_buffer.weight": 0.9,
}


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_changes_the_factors(key):
    forecasts = forecasts_of(
        forecast("A", 1, known=9, p=(0.1, 0.2, 0.7)), forecast("B", 2, known=8, p=(0.1, 0.0, 0.9))
    )

    def outcome(config: ErrorReplayBufferConfig) -> list[float]:
        errors = confident_errors(forecasts, config, as_of=session(20))
        buffer = updated(EMPTY, errors, config, as_of=20, judged=forecasts)
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
    probabilities = pl.DataFrame(plain, schema=PROBABILITIES)
    forecasts = table.hstack(probabilities).with_columns(model_version=pl.lit("m1"))
    errors = confident_errors(forecasts, config, as_of=now)
    assert errors.height > 30
    buffer = update_replay_buffer(EMPTY, errors, config, as_of=now, judged=forecasts)
    replayed = fitted(buffer)
    keys = errors.select("symbol", "decision_session", wrong=True)
    wrong = table.join(keys, on=["symbol", "decision_session"], how="left")["wrong"]
    rows = np.flatnonzero(wrong.fill_null(value=False))
    chosen = labels[rows]
    assert replayed[rows, chosen].mean() > plain[rows, chosen].mean() + 0.05
