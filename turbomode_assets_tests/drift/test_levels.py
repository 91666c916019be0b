import datetime as dt
import json
import math

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from turbomode_assets.contracts.errors import MissingDataError, StoreError
from turbomode_assets.drift import (
    DriftReference,
    drift_where_whole,
    freeze_predictions,
    subject_verdicts,
)
from turbomode_assets.drift.levels import (
    STEP_FACTOR,
    WIDENING,
    LevelRange,
    freeze_levels,
    levels_by_session,
    tell_moves,
)
from turbomode_assets.drift.subjects import PREDICTION_COLUMNS, SIDE_COLUMNS
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets_tests.drift.builders import CONFIG

FIRST = dt.date(2022, 1, 3)
SHIPPED = CONFIG.model_copy(update={"bins": 10, "window_sessions": 20})
REFERENCE_SESSIONS, LATER_SESSIONS = 200, 60


def day(number):
    return offset_session(FIRST, number)


def said_in(days, name="p_buy"):
    """One list of values for each session from FIRST on."""
    rows = [(day(number), value) for number, values in enumerate(days) for value in values]
    return pl.DataFrame(rows, schema={"session": pl.Date, name: pl.Float64}, orient="row")


def odds(share):
    return math.log(share / (1 - share))


def test_range_and_usual_step_are_those_of_the_reference_by_hand():
    # Means of two sessions: 0.3, 0.3, 0.4, 0.5, 0.5 (two rows in the third session, one elsewhere).
    days = [[0.3], [0.3], [0.2, 0.4], [0.6], [0.4], [0.6]]
    level = freeze_levels(said_in(days), ["p_buy"], 2)["p_buy"]
    assert level.lowest == pytest.approx(0.3)
    assert level.highest == pytest.approx(0.5)
    # Steps from 0.3 to 0.4, from 0.3 (three rows) to (0.6 + 0.4) / 2, and from 0.4 to 0.5.
    steps = sorted([odds(0.4) - odds(0.3), odds(0.5) - odds(0.3), odds(0.5) - odds(0.4)])
    assert level.usual_step == pytest.approx(0.1 * steps[1] + 0.9 * steps[2])


@pytest.mark.parametrize(("factor", "moved"), [(0.99, False), (1.01, True)])
@pytest.mark.parametrize("up", [1, -1])
def test_a_step_beyond_its_limit_is_a_move(factor, moved, up):
    level = LevelRange(0.01, 0.99, 0.1)
    after = odds(0.5) + up * factor * STEP_FACTOR * 0.1
    days = [[0.5]] * 3 + [[1 / (1 + math.exp(-after))]] * 2
    span = SessionSpan(day(4), day(4))
    found = levels_by_session({"p_buy": level}, said_in(days), span, 5).row(0, named=True)
    assert found["step"] == pytest.approx(factor * found["step_limit"])
    assert found["moved"] is moved


@pytest.mark.parametrize(("part", "moved"), [(0.99, False), (1.01, True)])
@pytest.mark.parametrize("up", [1, -1])
def test_a_mean_beyond_the_widened_range_is_a_move_without_a_step(part, moved, up):
    level = LevelRange(0.4, 0.6, 0.1)
    far = odds(0.6) + part * WIDENING * (odds(0.6) - odds(0.4))
    share = 1 / (1 + math.exp(-up * far))
    span = SessionSpan(day(4), day(4))
    found = levels_by_session({"p_buy": level}, said_in([[share]] * 5), span, 5)
    assert found["step"].item() == 0
    assert found["moved"].item() is moved
    assert (tell_moves(found) is not None) is moved


@pytest.mark.parametrize("always", [0.0, 1e-9, 0.3, 1.0])
def test_what_never_varied_may_stay_as_it_was_and_has_not_moved(always):
    frozen = freeze_levels(said_in([[always]] * 9), ["p_buy"], 5)
    span = SessionSpan(day(4), day(8))
    found = levels_by_session(frozen, said_in([[always]] * 9), span, 5)
    assert not found["moved"].any()
    row = found.row(-1, named=True)
    assert row["mean_least"] <= row["mean"] + 1e-15
    assert row["mean"] <= row["mean_most"] + 1e-15
    other = said_in([[always]] * 4 + [[0.5]] * 5)
    assert levels_by_session(frozen, other, span, 5)["moved"].all()


def test_windows_too_short_for_a_step_know_none():
    level = LevelRange(0.4, 0.6, 0.0)
    span = SessionSpan(day(2), day(2))
    found = levels_by_session({"p_buy": level}, said_in([[0.5], [0.4], [0.6]]), span, 3)
    assert found["step"].to_list() == [None]
    assert found["moved"].to_list() == [False]


def test_missing_values_take_no_part():
    level = LevelRange(0.4, 0.6, 0.1)
    days = [[0.5, None], [None], [0.5], [float("nan"), 0.5], [0.5]]
    span = SessionSpan(day(4), day(4))
    found = levels_by_session({"p_buy": level}, said_in(days), span, 5).row(0, named=True)
    assert (found["mean"], found["step"], found["moved"]) == (0.5, 0.0, False)
    nothing = levels_by_session({"p_buy": level}, said_in([[None]] * 5), span, 5)
    assert nothing.select("mean", "step", "moved").rows() == [(None, None, False)]


def test_what_is_missing_throughout_is_not_frozen():
    with pytest.raises(MissingDataError, match="p_buy is missing in too many sessions"):
        freeze_levels(said_in([[None]] * 6), ["p_buy"], 2)


def wandering(seed=7, symbols=10):
    """What a model says while its mean wanders: most of the variance is the market's."""
    rng = np.random.default_rng(seed)
    length = REFERENCE_SESSIONS + LATER_SESSIONS
    market = np.zeros(length)
    for number in range(1, length):
        market[number] = 0.97 * market[number - 1] + rng.normal(0, 0.1)
    lean = market[:, None] + rng.normal(0, 0.05, (length, symbols))
    # HOLD is steady: what one of the two others gains the other loses.
    buy, hold = 0.9 / (1 + np.exp(-lean)), 0.1 + 0.002 * rng.normal(size=lean.shape)
    said = np.stack([1 - hold - buy, hold, buy], axis=-1).reshape(-1, 3)
    return pl.DataFrame(said, schema=list(PREDICTION_COLUMNS)).with_columns(
        pl.Series("session", [day(number) for number in range(length) for _ in range(symbols)])
    )


SINCE = day(REFERENCE_SESSIONS + 30)
LATER = SessionSpan(day(REFERENCE_SESSIONS + 20), day(REFERENCE_SESSIONS + LATER_SESSIONS - 1))


@pytest.fixture(scope="module")
def said():
    return wandering()


@pytest.fixture(scope="module")
def frozen(said):
    return freeze_predictions(said.filter(pl.col("session") < day(REFERENCE_SESSIONS)), SHIPPED)


def measured(reference, rows, span=LATER):
    drift, lacking = drift_where_whole(reference, rows, span, SHIPPED, made=set(rows["session"]))
    assert not lacking
    return drift


def verdict_by_session(drift):
    return dict(subject_verdicts(drift, "prediction").iter_rows())


def with_more_buys(said):
    """HOLD stays as it is; BUY takes two thirds of what was SELL."""
    late, shift = pl.col("session") >= SINCE, pl.col("p_sell") * 2 / 3
    return said.with_columns(
        p_sell=pl.when(late).then(pl.col("p_sell") - shift).otherwise("p_sell"),
        p_buy=pl.when(late).then(pl.col("p_buy") + shift).otherwise("p_buy"),
    )


def test_a_model_that_suddenly_says_buy_is_an_alert_although_no_column_exceeds(said, frozen):
    drift = measured(frozen, with_more_buys(said))
    # Everything in one bin of ten gives a psi of 8.3: the reference's windows leave no room.
    assert drift.filter(feature="p_buy")["psi_maximum"].item(0) * SHIPPED.limit_factor > 8.3
    assert not drift["exceeds"].any()
    verdicts = verdict_by_session(drift)
    assert "alert" not in {verdicts[each] for each in verdicts if each < SINCE}
    assert verdicts[offset_session(SINCE, 1)] == "alert"
    first = drift.filter(session=offset_session(SINCE, 1))
    assert first.filter("moved")["feature"].to_list() == ["p_sell", "p_buy"]
    assert first.filter("moved")["verdict"].unique().to_list() == ["alert"]
    assert tell_moves(first).startswith(f"{offset_session(SINCE, 1)} p_sell: mean 0.")


def test_levels_of_a_range_are_those_of_its_sessions_in_any_order_of_rows(said, frozen):
    ranged = measured(frozen, said)
    alone = [
        measured(frozen, said.sample(fraction=1, shuffle=True, seed=1), SessionSpan(each, each))
        for each in LATER.sessions[:3]
    ]
    assert_frame_equal(pl.concat(alone), ranged.head(9), check_exact=True)


def test_saved_levels_are_the_same_to_the_last_digit_and_judge_alike(said, frozen, tmp_path):
    frozen.save(tmp_path / "reference.json")
    loaded = DriftReference.load(tmp_path / "reference.json")
    assert list(frozen.levels) == list(SIDE_COLUMNS)
    assert loaded == frozen
    assert measured(loaded, said).equals(measured(frozen, said))


def test_a_reference_of_before_there_were_levels_judges_by_its_bins_alone(said, frozen, tmp_path):
    path = tmp_path / "reference.json"
    frozen.save(path)
    content = json.loads(path.read_text())
    del content["levels"]
    path.write_text(json.dumps(content))
    older = DriftReference.load(path)
    assert older.levels is None
    drift = measured(older, with_more_buys(said))
    assert drift["moved"].null_count() == drift.height
    assert "alert" not in verdict_by_session(drift).values()


@pytest.mark.parametrize(
    "damage",
    [
        lambda levels: levels["p_buy"].update(lowest=0.99),
        lambda levels: levels["p_buy"].update(usual_step=-1.0),
        lambda levels: levels["p_buy"].update(usual_step="much"),
        lambda levels: levels["p_buy"].pop("highest"),
        lambda levels: levels.update(p_none=levels["p_buy"]),
    ],
)
def test_damaged_levels_are_refused_by_name(frozen, tmp_path, damage):
    path = tmp_path / "reference.json"
    frozen.save(path)
    content = json.loads(path.read_text())
    damage(content["levels"])
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"reference\.json"):
        DriftReference.load(path)
