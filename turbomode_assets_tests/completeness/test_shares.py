import datetime as dt

import polars as pl

from turbomode_assets.completeness import green_shares
from turbomode_assets.contracts.tables import PARTITION_STATUS
from turbomode_assets_tests.builders import make_rows

THURSDAY, FRIDAY = dt.date(2017, 11, 9), dt.date(2017, 11, 10)


def cell(symbol, session, verdict, expected=1):
    cell = {"symbol": symbol, "session": session, "verdict": verdict}
    return make_rows(PARTITION_STATUS, cell, expected_rows=expected, actual_rows=expected)


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
