import datetime as dt
import math

import numpy as np
import polars as pl
import pytest

from turbomode_assets.contracts.errors import ContractError
from turbomode_assets.contracts.table import check_table
from turbomode_assets.contracts.tables import LABELS
from turbomode_assets.labels import lookback_sessions, triple_barrier
from turbomode_assets.sessions import SessionSpan
from turbomode_assets_tests.builders import real_data_folder
from turbomode_assets_tests.labels.builders import (
    CONFIG,
    DECISION,
    RUN_UP,
    VOLATILITY,
    after_run_up,
    bars,
    flat,
    session,
)

AT_CLOSE = CONFIG.model_copy(update={"entry": "close"})
QUIET = (100.0, 101.0, 99.0, 100.0)
"""A bar after an entry at 100, whose barriers are 104.34 and 97.83."""


def outcome(frame, config=CONFIG, delistings=None, decision=DECISION, until=20):
    """The one label of a decision, known up to a session, or None."""
    labels = triple_barrier(
        frame, config, known_in=SessionSpan(session(0), session(until)), delistings=delistings
    )
    check_table(labels, LABELS)
    rows = labels.filter(pl.col("decision_session") == decision).to_dicts()
    return rows[0] if rows else None


def delisting(last: int, known: int):
    row = {
        "symbol": ["AAA"],
        "last_session": [session(last)],
        "knowledge_session": [session(known)],
    }
    return pl.DataFrame(row)


def test_volatility_is_the_sample_deviation_of_the_last_log_returns():
    label = outcome(after_run_up(QUIET, QUIET, QUIET, QUIET))
    assert label["volatility"] == pytest.approx(math.log(1.02) * math.sqrt(4.8 / 4), rel=1e-12)
    assert label["volatility"] == pytest.approx(VOLATILITY, rel=1e-8)


def test_nothing_touched_is_hold_at_the_close_three_sessions_after_the_entry():
    label = outcome(after_run_up(QUIET, QUIET, QUIET, (100.0, 101.0, 99.0, 100.5)))
    assert (label["label"], label["exit_reason"]) == (1, "expiry")
    assert label["entry_session"] == session(6)
    assert label["exit_session"] == label["session"] == session(9)
    assert label["entry_price"] == 100.0
    assert label["exit_price"] == 100.5
    assert label["return"] == pytest.approx(0.005)


def test_a_high_at_the_profit_barrier_is_buy_at_the_barrier():
    barrier = 100 * (1 + 2 * VOLATILITY)
    label = outcome(after_run_up(QUIET, (100.0, 105.0, 99.0, 100.0), QUIET, QUIET))
    assert (label["label"], label["exit_reason"]) == (2, "profit_take")
    assert label["exit_price"] == pytest.approx(barrier, rel=1e-9)
    assert label["session"] == label["exit_session"] == session(7)


def test_a_low_at_the_stop_is_sell_at_the_barrier():
    label = outcome(after_run_up(QUIET, QUIET, (100.0, 101.0, 97.0, 100.0), QUIET))
    assert (label["label"], label["exit_reason"]) == (0, "stop_loss")
    assert label["exit_price"] == pytest.approx(100 * (1 - VOLATILITY), rel=1e-9)
    assert label["session"] == session(8)


def test_a_barrier_reached_exactly_is_touched():
    exactly = outcome(after_run_up(QUIET, QUIET, QUIET, QUIET))["volatility"]
    label = outcome(after_run_up((100.0, 100.0 * (1 + 2 * exactly), 100.0, 100.0)))
    assert label["exit_reason"] == "profit_take"


def test_the_entry_bar_can_touch_a_barrier():
    label = outcome(after_run_up((100.0, 105.0, 99.0, 104.0)))
    assert (label["label"], label["session"]) == (2, session(6))


def test_both_barriers_in_one_bar_count_as_the_stop():
    label = outcome(after_run_up(QUIET, (100.0, 105.0, 97.0, 100.0)))
    assert label["exit_reason"] == "stop_loss"
    assert label["exit_price"] == pytest.approx(100 * (1 - VOLATILITY), rel=1e-9)


def test_a_gap_through_the_stop_exits_at_the_open():
    label = outcome(after_run_up(QUIET, (90.0, 92.0, 89.0, 91.0)))
    assert (label["label"], label["exit_reason"], label["exit_price"]) == (0, "stop_loss", 90.0)


def test_a_gap_through_the_profit_barrier_exits_at_the_open_though_the_low_falls_to_the_stop():
    label = outcome(after_run_up(QUIET, (110.0, 112.0, 90.0, 91.0)))
    assert (label["label"], label["exit_reason"], label["exit_price"]) == (2, "profit_take", 110.0)


def test_the_gap_into_the_entry_itself_touches_nothing():
    label = outcome(after_run_up((120.0, 121.0, 119.0, 120.0)), until=6)
    assert label is None


def test_a_missing_bar_in_the_window_is_passed_over():
    label = outcome(after_run_up(QUIET, None, (100.0, 105.0, 99.0, 100.0)))
    assert (label["label"], label["session"]) == (2, session(8))


def test_an_expiry_without_a_bar_exits_at_the_last_close_before_it():
    label = outcome(after_run_up(QUIET, (100.0, 101.0, 99.0, 100.7), None, None))
    assert (label["exit_reason"], label["exit_price"]) == ("expiry", 100.7)
    assert (label["exit_session"], label["session"]) == (session(7), session(9))


def test_no_bar_on_the_entry_session_gives_no_label():
    assert outcome(after_run_up(None, QUIET, QUIET, QUIET, QUIET)) is None


def test_a_missing_close_in_the_volatility_window_gives_no_label():
    rows = [flat(close) for close in RUN_UP]
    rows[2] = None
    assert outcome(bars([*rows, QUIET, QUIET, QUIET, QUIET])) is None


def test_too_short_a_history_gives_no_label():
    assert (
        outcome(bars([*(flat(c) for c in RUN_UP[1:]), *[QUIET] * 4]), decision=session(4)) is None
    )


def test_a_price_that_never_moved_gives_no_label():
    assert outcome(bars([flat(100.0)] * 12)) is None


def test_an_entry_at_the_close_starts_from_the_decisions_own_close():
    frame = after_run_up(QUIET, QUIET, (100.0, 101.0, 99.9, 100.5))
    label = outcome(frame, AT_CLOSE)
    assert (label["entry_session"], label["entry_price"]) == (DECISION, 102.0)
    assert label["exit_reason"] == "stop_loss"
    assert label["session"] == session(6)


def test_an_entry_at_the_close_can_gap_through_a_barrier_at_the_next_open():
    label = outcome(after_run_up((98.0, 99.0, 97.0, 98.0)), AT_CLOSE)
    assert (label["exit_reason"], label["exit_price"]) == ("stop_loss", 98.0)


def test_an_entry_at_the_close_without_any_later_bar_gives_no_label():
    assert outcome(after_run_up(), AT_CLOSE) is None


def test_an_entry_at_the_close_expires_three_sessions_later():
    calm = (102.0, 103.0, 101.0, 102.0)
    label = outcome(after_run_up(calm, calm, calm, calm), AT_CLOSE)
    assert (label["exit_reason"], label["session"]) == ("expiry", session(8))


def test_a_delisting_before_expiry_resolves_at_the_last_bar():
    frame = after_run_up(QUIET, (100.0, 101.0, 99.0, 99.5))
    label = outcome(frame, delistings=delisting(last=7, known=6))
    assert (label["label"], label["exit_reason"], label["exit_price"]) == (1, "delisting", 99.5)
    assert label["session"] == label["exit_session"] == session(7)


def test_a_delisting_is_known_when_the_news_came_if_that_is_later():
    frame = after_run_up(QUIET, (100.0, 101.0, 99.0, 99.5))
    label = outcome(frame, delistings=delisting(last=7, known=8))
    assert (label["exit_session"], label["session"]) == (session(7), session(8))
    assert outcome(frame, delistings=delisting(last=7, known=8), until=7) is None


def test_news_of_a_delisting_after_the_vertical_barrier_changes_nothing():
    frame = after_run_up(QUIET, (100.0, 101.0, 99.0, 99.5))
    late, never = outcome(frame, delistings=delisting(last=7, known=12)), outcome(frame)
    assert late == never
    assert (late["exit_reason"], late["session"]) == ("expiry", session(9))


def test_a_barrier_touched_on_the_last_bar_comes_before_the_delisting():
    frame = after_run_up(QUIET, (100.0, 105.0, 99.0, 99.5))
    assert outcome(frame, delistings=delisting(last=7, known=7))["exit_reason"] == "profit_take"


def test_a_delisting_on_the_day_of_expiry_is_an_expiry():
    frame = after_run_up(QUIET, QUIET, QUIET, QUIET)
    assert outcome(frame, delistings=delisting(last=9, known=9))["exit_reason"] == "expiry"


def test_only_labels_known_inside_the_span_are_returned():
    frame = after_run_up(QUIET, QUIET, QUIET, QUIET)
    for first, last, expected in ((9, 9, 1), (6, 8, 0), (10, 12, 0), (0, 20, 1)):
        span = SessionSpan(session(first), session(last))
        found = triple_barrier(frame, CONFIG, known_in=span)
        assert found.filter(pl.col("decision_session") == DECISION).height == expected


def test_the_look_back_is_horizon_plus_volatility_window_plus_the_entry():
    assert lookback_sessions(CONFIG) == 1 + 3 + 5
    assert lookback_sessions(AT_CLOSE) == 3 + 5


def test_prices_on_any_scale_give_the_same_returns():
    frame = after_run_up(QUIET, QUIET, QUIET, (100.0, 101.0, 99.0, 100.5))
    scaled = frame.with_columns(pl.col("open", "high", "low", "close") * 4.0)
    assert outcome(scaled)["return"] == outcome(frame)["return"]


def test_no_bars_give_no_labels():
    empty = after_run_up().clear()
    labels = triple_barrier(empty, CONFIG, known_in=SessionSpan(session(0), session(9)))
    check_table(labels, LABELS)
    assert labels.is_empty()


def test_the_first_sessions_of_the_calendar_can_be_asked_for():
    span = SessionSpan(dt.date(1999, 1, 4), dt.date(1999, 1, 6))
    assert triple_barrier(after_run_up(), CONFIG, known_in=span).is_empty()


def test_a_doubled_bar_is_refused():
    frame = after_run_up(QUIET)
    with pytest.raises(ContractError, match="doubled bars: symbol=AAA session=2015-03-10"):
        outcome(pl.concat([frame, frame.tail(1)]))


def test_a_bar_on_a_sunday_is_refused():
    frame = after_run_up(QUIET).with_columns(
        session=pl.when(pl.col("session") == session(5))
        .then(pl.lit(dt.date(2015, 3, 8)))
        .otherwise(pl.col("session"))
    )
    with pytest.raises(ContractError, match="no sessions: symbol=AAA session=2015-03-08"):
        outcome(frame)


def test_missing_columns_are_named():
    with pytest.raises(ContractError, match="missing columns: high"):
        outcome(after_run_up(QUIET).drop("high"))


def test_a_symbol_delisted_twice_is_refused():
    twice = pl.concat([delisting(7, 7), delisting(8, 8)])
    with pytest.raises(ContractError, match="delisted twice"):
        outcome(after_run_up(QUIET), delistings=twice)


@pytest.mark.real_data
def test_real_labels_agree_with_a_slow_loop():
    frame = pl.read_parquet(real_data_folder() / "daily.parquet").rename({"date": "session"})
    frame = frame.filter(pl.col("symbol").is_in(["AAPL", "SPY", "XOM"]))
    span = SessionSpan(dt.date(2011, 1, 3), dt.date(2011, 12, 30))
    config = CONFIG.model_copy(update={"horizon_sessions": 14, "volatility_window_sessions": 20})
    found = triple_barrier(frame, config, known_in=span)
    expected = _slow_labels(frame, config, span)
    assert found.height == len(expected) > 600
    for row in found.to_dicts():
        known, exit_session, label, price = expected[row["symbol"], row["decision_session"]]
        assert (row["session"], row["exit_session"], row["label"]) == (known, exit_session, label)
        assert row["exit_price"] == pytest.approx(price, rel=1e-12)


def _slow_labels(frame, config, span):
    """Every decision followed bar by bar, in plain Python."""
    days = span.trailing(40).sessions
    expected = {}
    for (symbol,), rows in frame.group_by("symbol"):
        by_day = {row["session"]: row for row in rows.to_dicts()}
        for at, decision in enumerate(days[20:-1], start=20):
            window = [by_day.get(day) for day in days[at - 20 : at + 1]]
            entry = by_day.get(days[at + 1])
            if None in window or entry is None:
                continue
            returns = np.diff(np.log([bar["close"] for bar in window]))
            found = _follow(by_day, days, at, entry["open"], returns.std(ddof=1), config)
            if found and span.first <= found[0] <= span.last:
                expected[symbol, decision] = found
    return expected


def _follow(by_day, days, at, entry, volatility, config):
    profit, stop = entry * (1 + 2 * volatility), entry * (1 - volatility)
    last = None
    for step in range(1, config.horizon_sessions + 2):
        if at + step >= len(days):
            return None
        day = days[at + step]
        bar = by_day.get(day)
        if bar is not None:
            last = (day, bar["close"])
            if step > 1 and bar["open"] >= profit:
                return day, day, 2, bar["open"]
            if step > 1 and bar["open"] <= stop:
                return day, day, 0, bar["open"]
            if bar["low"] <= stop:
                return day, day, 0, stop
            if bar["high"] >= profit:
                return day, day, 2, profit
    return days[at + config.horizon_sessions + 1], last[0], 1, last[1]
