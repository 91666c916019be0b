import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.completeness import next_sweep, plan_backfill, shrunk_window
from turbomode_assets.completeness.planning import PLAN_SCHEMA
from turbomode_assets.completeness.stretches import cells_of_stretches
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.tables import CELL, PARTITION_STATUS
from turbomode_assets.sessions import SessionSpan, offset_session, sessions_between
from turbomode_assets_tests.builders import make_rows
from turbomode_assets_tests.completeness.builders import queued

SESSIONS = sessions_between(dt.date(2024, 6, 3), dt.date(2024, 7, 12))
LIQUIDITY = pl.DataFrame({"symbol": ["A", "B", "C"], "median_dollar_volume": [5.0, 9.0, None]})


def cell(symbol, number, **values):
    """A cell of the ledger by the number of its session: missing, unless its values say other."""
    session = SESSIONS[number]
    return {"symbol": symbol, "session": session, "verdict": "RED", "reasons": "missing"} | values


def cells(*rows):
    return make_rows(PARTITION_STATUS, *rows)


def missing(symbol, *numbers, timeframe="1d"):
    return cells(*(cell(symbol, number, timeframe=timeframe) for number in numbers))


def plan(ledger, window=21, **rest):
    """Rows of the plan, with numbers for sessions."""
    rows = plan_backfill(ledger, LIQUIDITY, window_sessions=window, **rest)
    assert rows.schema == PLAN_SCHEMA
    return [
        (symbol, timeframe, SESSIONS.index(first), SESSIONS.index(last), reason)
        for symbol, timeframe, first, last, reason, _ in rows.iter_rows()
    ]


def test_consecutive_sessions_are_joined_across_weekends():
    assert plan(missing("A", 3, 4, 5, 6, 8)) == [
        ("A", "1d", 8, 8, "missing"),
        ("A", "1d", 3, 6, "missing"),
    ]


def test_a_stretch_is_cut_into_windows_from_its_newest_session():
    assert plan(missing("A", *range(7)), window=3) == [
        ("A", "1d", 4, 6, "missing"),
        ("A", "1d", 1, 3, "missing"),
        ("A", "1d", 0, 0, "missing"),
    ]


def test_a_stretch_has_the_reasons_of_all_its_cells():
    ledger = cells(
        cell("A", 1, reasons="missing,vendor_failure"),
        cell("A", 2, reasons="checksum_mismatch,zero_volume"),
    )
    assert plan(ledger) == [
        ("A", "1d", 1, 2, "checksum_mismatch,missing,vendor_failure,zero_volume")
    ]


def test_the_newest_comes_first_then_days_before_hours_before_minutes_then_the_most_traded():
    ledger = pl.concat(
        [
            *(missing("A", 5, timeframe=name) for name in ("1m", "1d", "1h")),
            *(missing(symbol, 5) for symbol in ("B", "C", "D")),
            missing("D", 6, timeframe="1m"),
        ]
    )
    assert [row[:2] for row in plan(ledger)] == [
        ("D", "1m"),
        ("B", "1d"),
        ("A", "1d"),
        ("C", "1d"),
        ("D", "1d"),
        ("A", "1h"),
        ("A", "1m"),
    ]


def test_importance_is_dependency_plus_the_rank_of_liquidity():
    ledger = pl.concat([missing("B", 1), missing("A", 1, timeframe="1h"), missing("C", 1)])
    rows = plan_backfill(ledger, LIQUIDITY, window_sessions=5)
    assert dict(rows.select("symbol", "importance").iter_rows()) == {
        "B": pytest.approx(2 + 2 / 3),
        "A": pytest.approx(1 + 1 / 3),
        "C": 2.0,
    }


@pytest.mark.parametrize(
    ("verdict", "reasons", "is_planned"),
    [
        ("RED", "missing", True),
        ("RED", "missing,no_session", True),
        ("AMBER", "rows_low", True),
        ("RED", "missing,vendor_failure", True),
        ("RED", "checksum_mismatch", True),
        ("RED", "non_finite,rows_low", True),
        ("AMBER", "no_data", False),
        ("GREEN", "halted", False),
        ("AMBER", "no_session", False),
        ("AMBER", "not_yet_due", False),
        ("RED", "checksum_mismatch,not_yet_due", False),
        ("AMBER", "high_widened", False),
        ("RED", "irreconcilable_prices", False),
        ("GREEN", "", False),
    ],
)
def test_only_what_fetching_can_cure_is_planned(verdict, reasons, is_planned):
    assert bool(plan(cells(cell("A", 1, verdict=verdict, reasons=reasons)))) == is_planned


def test_what_waits_in_the_queue_or_was_given_up_is_left_out():
    queue = queued("A", SESSIONS[2], SESSIONS[4], attempts=5, is_dead=True)
    assert plan(missing("A", *range(7)), leave_out=queue) == [
        ("A", "1d", 5, 6, "missing"),
        ("A", "1d", 0, 1, "missing"),
    ]


@settings(max_examples=25)
@given(
    holes=st.sets(
        st.tuples(st.sampled_from("ABC"), st.sampled_from(["1d", "1m"]), st.integers(0, 27))
    ),
    window=st.integers(1, 9),
)
def test_a_plan_covers_every_hole_once_and_nothing_else(holes, window):
    ledger = cells(*(cell(symbol, at, timeframe=timeframe) for symbol, timeframe, at in holes))
    rows = plan_backfill(ledger, LIQUIDITY, window_sessions=window)
    lengths = [len(sessions_between(*ends)) for ends in rows.select(r"^.*_session$").iter_rows()]
    covered = cells_of_stretches(rows, pl.Series(SESSIONS, dtype=pl.Date))
    assert max(lengths, default=0) <= window
    assert sum(lengths) == len(holes)
    assert covered.sort(CELL).equals(ledger.select(CELL).sort(CELL))


def test_a_window_without_sessions_is_refused():
    with pytest.raises(InputError, match="0 sessions"):
        plan(missing("A", 1), window=0)


@pytest.mark.parametrize(
    ("pressure", "width"), [(0.0, 21), (0.5, 10), (0.9, 2), (0.99, 1), (1.0, 1)]
)
def test_the_window_shrinks_with_the_pressure_on_the_budgets(pressure, width):
    assert shrunk_window(21, pressure) == width


@pytest.mark.parametrize(("width", "pressure"), [(0, 0.1), (5, -0.1), (5, 1.1), (5, float("nan"))])
def test_a_pressure_that_is_no_share_is_refused(width, pressure):
    with pytest.raises(InputError, match="pressure"):
        shrunk_window(width, pressure)


def test_the_sweep_goes_backwards_and_wraps_round():
    oldest, newest = SESSIONS[0], SESSIONS[9]
    spans, cursor = [], None
    for _ in range(4):
        span = next_sweep(oldest, newest, cursor, 4)
        spans.append((SESSIONS.index(span.first), SESSIONS.index(span.last)))
        cursor = span.first
    assert spans == [(6, 9), (2, 5), (0, 1), (6, 9)]


def test_a_sweep_that_lost_its_place_begins_at_the_newest_session():
    newest = SESSIONS[9]
    expected = SessionSpan(SESSIONS[8], newest)
    assert next_sweep(SESSIONS[0], newest, offset_session(newest, 5), 2) == expected
    assert next_sweep(SESSIONS[5], newest, SESSIONS[2], 2) == expected


def test_there_is_nothing_to_sweep_before_the_first_session():
    assert next_sweep(SESSIONS[3], SESSIONS[2], None, 4) is None
    with pytest.raises(InputError, match="0 sessions"):
        next_sweep(SESSIONS[0], SESSIONS[1], None, 0)
