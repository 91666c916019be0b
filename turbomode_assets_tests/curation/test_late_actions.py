import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.curation import adjust_forward
from turbomode_assets.curation.late_actions import late_actions, straddling_sessions
from turbomode_assets.features import compute_features, registered_features
from turbomode_assets.sessions import SessionSpan, offset_session, sessions_between
from turbomode_assets_tests.curation.builders import MONDAY, SATURDAY, TUESDAY, dividends, splits
from turbomode_assets_tests.features.panels import panel
from turbomode_assets_tests.features.panels import sessions as first_sessions

WEDNESDAY = dt.date(2015, 3, 11)
NONE = splits(), dividends()
READ_SINGLE_BARS = {"parkinson_20", "garman_klass_20", "rogers_satchell_20"}
"""Means of what happened inside bars, which no adjustment touches."""


def found(before, after, known_through=WEDNESDAY):
    return late_actions(*before, *after, known_through=known_through).rows()


def test_an_event_that_was_not_there_is_late():
    now = splits((TUESDAY, 2.0)), dividends((MONDAY, 1.0, 50.0))
    assert found(NONE, now) == [
        ("AAA", "dividend", MONDAY, MONDAY, None, 0.02),
        ("AAA", "split", TUESDAY, TUESDAY, None, 2.0),
    ]


def test_an_event_that_is_no_longer_there_was_withdrawn():
    before = splits((TUESDAY, 2.0)), dividends()
    assert found(before, NONE) == [("AAA", "split", TUESDAY, TUESDAY, 2.0, None)]


def test_another_ratio_amount_or_previous_close_is_a_change():
    before = splits((TUESDAY, 2.0)), dividends((MONDAY, 1.0, 50.0), (TUESDAY, 1.0, 50.0))
    now = splits((TUESDAY, 3.0)), dividends((MONDAY, 2.0, 50.0), (TUESDAY, 1.0, 40.0))
    assert [row[-2:] for row in found(before, now)] == [(0.02, 0.04), (0.02, 0.025), (2.0, 3.0)]


def test_an_event_moved_to_another_day_is_withdrawn_and_new():
    rows = found((splits((MONDAY, 2.0)), dividends()), (splits((TUESDAY, 2.0)), dividends()))
    assert [(row[2], *row[-2:]) for row in rows] == [(MONDAY, 2.0, None), (TUESDAY, None, 2.0)]


def test_an_event_of_a_later_session_is_not_late():
    assert found(NONE, (splits((WEDNESDAY, 2.0)), dividends()), TUESDAY) == []


def test_an_event_on_a_saturday_is_late_once_its_monday_was_computed():
    now = splits((SATURDAY, 2.0)), dividends()
    assert found(NONE, now, offset_session(MONDAY, -1)) == []
    assert found(NONE, now, MONDAY) == [("AAA", "split", SATURDAY, MONDAY, None, 2.0)]


def test_snapshots_that_agree_have_no_late_event():
    events = splits((TUESDAY, 2.0)), dividends((MONDAY, 1.0, 50.0))
    assert found(events, events) == []
    assert found(NONE, NONE) == []


def test_events_of_other_vendors_and_symbols_are_told_apart():
    before = splits((TUESDAY, 2.0)), dividends()
    now = splits((TUESDAY, 2.0), symbol="BBB"), dividends()
    assert [(row[0], *row[-2:]) for row in found(before, now)] == [
        ("AAA", 2.0, None),
        ("BBB", None, 2.0),
    ]


def test_a_window_of_three_bars_straddles_on_two_sessions():
    assert straddling_sessions(MONDAY, 3, last=WEDNESDAY) == SessionSpan(MONDAY, TUESDAY)


def test_straddling_sessions_end_with_the_last_one():
    assert straddling_sessions(MONDAY, 250, last=TUESDAY) == SessionSpan(MONDAY, TUESDAY)


def test_nothing_straddles_a_window_of_one_bar_or_an_event_to_come():
    assert straddling_sessions(MONDAY, 1, last=WEDNESDAY) is None
    assert straddling_sessions(WEDNESDAY, 20, last=TUESDAY) is None


def test_a_window_without_a_bar_or_a_day_without_a_session_is_refused():
    with pytest.raises(InputError, match="a window of 0 sessions"):
        straddling_sessions(MONDAY, 0, last=WEDNESDAY)
    with pytest.raises(InputError, match="is not an XNYS session"):
        straddling_sessions(SATURDAY, 3, last=WEDNESDAY)


@given(st.integers(0, 15), st.integers(1, 20), st.integers(0, 15))
def test_straddling_sessions_are_those_whose_window_holds_both_sides(event, window, end):
    days = sessions_between(MONDAY, offset_session(MONDAY, 15))
    ex, last = days[event], days[end]
    straddling = [
        day
        for day in sessions_between(MONDAY, last)
        if offset_session(day, -(window - 1)) < ex <= day
    ]
    span = straddling_sessions(ex, window, last=last)
    assert (span.sessions if span else []) == straddling


@pytest.fixture(scope="module")
def bars():
    return panel(6, 560, seed=4, sectors=2).with_columns(
        adjustment=pl.lit("raw"), adjusted_as_of=pl.lit(None, dtype=pl.Date)
    )


@pytest.mark.parametrize("kind", ["split", "dividend"])
def test_a_late_event_changes_features_in_straddling_windows_and_nowhere_else(bars, kind):
    days = first_sessions(560)
    ex, last = days[290], days[-1]
    late = (
        {"split": splits((ex, 3.0), symbol="S001"), "dividend": NONE[0]}[kind],
        (dividends((ex, 3.0, 100.0), symbol="S001") if kind == "dividend" else NONE[1]),
    )
    before, after = (
        compute_features(adjust_forward(bars, *events), benchmark="S000", device="cpu")
        for events in (NONE, late)
    )
    sessions, own = before["session"], (before["symbol"] == "S001").to_numpy()
    unmoved = set()
    for each in registered_features():
        span = straddling_sessions(ex, each.bars, last=last)
        inside = sessions.is_in(span.sessions if span else []).to_numpy()
        one, other = (frame[each.name].to_numpy().astype(float) for frame in (before, after))
        # Float noise of scaled prices: 1e-4 of a feature's spread is more than any shows.
        noise = 1e-4 * np.nanstd(one)
        np.testing.assert_allclose(one[~inside], other[~inside], rtol=0, atol=noise)
        moved = np.abs(one - other) > 10 * noise
        if span is not None and not moved[inside & own].any():
            unmoved.add(each.name)
        if each.name in {"overnight_gap", "ma20", "std60", "roc10"}:
            assert moved[inside & own].all(), each.name
    if kind == "split":
        assert unmoved == READ_SINGLE_BARS


def test_a_late_event_reaches_other_symbols_through_cross_sections_alone(bars):
    days = first_sessions(560)
    late = splits((days[290], 3.0), symbol="S001")
    before, after = (
        compute_features(adjust_forward(bars, ratios, NONE[1]), benchmark="S000", device="cpu")
        for ratios in (NONE[0], late)
    )
    others = (before["symbol"] != "S001").to_numpy()
    changed = {
        each.name
        for each in registered_features()
        if not np.array_equal(
            before[each.name].to_numpy()[others], after[each.name].to_numpy()[others], True
        )
    }
    assert changed == {"rank_return_20", "sector_return_20"}
