import datetime as dt

import polars as pl

from turbomode_assets.completeness import green_shares, month_counts, verdict_counts
from turbomode_assets.contracts.tables import PARTITION_STATUS
from turbomode_assets_tests.builders import make_rows

THURSDAY, FRIDAY = dt.date(2017, 11, 9), dt.date(2017, 11, 10)


def cell(symbol, session, verdict, expected=1):
    cell = {"symbol": symbol, "session": session, "verdict": verdict}
    return make_rows(PARTITION_STATUS, cell, expected_rows=expected, actual_rows=expected)


def test_verdicts_are_counted_by_session_and_month_where_something_is_expected():
    december = dt.date(2017, 12, 1)
    ledger = pl.concat(
        [
            cell("AAA", THURSDAY, "GREEN"),
            cell("AAA", FRIDAY, "GREEN"),
            cell("BBB", FRIDAY, "RED"),
            cell("CCC", FRIDAY, "AMBER", expected=0),
            cell("AAA", december, "AMBER"),
        ]
    )
    counts = verdict_counts(ledger)
    assert counts.columns == ["timeframe", "session", "GREEN", "AMBER", "RED", "cells"]
    assert counts.rows() == [
        ("1d", THURSDAY, 1, 0, 0, 1),
        ("1d", FRIDAY, 1, 0, 1, 2),
        ("1d", december, 0, 1, 0, 1),
    ]
    assert month_counts(counts).rows() == [
        ("1d", dt.date(2017, 11, 1), 2, 0, 1, 3),
        ("1d", december, 0, 1, 0, 1),
    ]


def test_each_session_has_the_green_share_of_its_expected_cells():
    ledger = pl.concat(
        [
            cell("AAA", THURSDAY, "GREEN"),
            cell("BBB", THURSDAY, "RED"),
            cell("CCC", THURSDAY, "AMBER"),
            cell("DDD", THURSDAY, "GREEN"),
            cell("AAA", FRIDAY, "RED"),
            cell("BBB", FRIDAY, "GREEN", expected=0),
        ]
    )
    assert green_shares(ledger).rows() == [(THURSDAY, 4, 0.5), (FRIDAY, 1, 0.0)]


def test_without_expected_cells_there_is_no_session():
    assert green_shares(PARTITION_STATUS.empty()).is_empty()
