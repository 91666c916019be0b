import datetime as dt

import polars as pl
import pytest

from turbomode_assets.completeness import age_of_data, ledger_grid, reason_counts
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions import offset_session
from turbomode_assets_tests.completeness.ledgers import LAST, ledger


def test_a_session_without_any_cell_keeps_its_place():
    codes, symbols, sessions = ledger_grid(ledger({"A": "G.G", "B": "R.A"}))
    assert codes.tolist() == [[1, 0, 1], [3, 0, 2]]
    assert symbols == ["A", "B"]
    assert sessions == [dt.date(2024, 6, 26), dt.date(2024, 6, 27), LAST]


def test_reasons_are_counted_one_by_one():
    rows = pl.concat(
        [
            ledger({"A": "GGAR"}, reasons={"A": "revised", "R": "missing,vendor_failure"}),
            ledger({"B": "GGRR"}, reasons={"R": "missing"}),
            ledger({"C": "GA"}, reasons={}),
        ]
    )
    counts = reason_counts(rows)
    assert counts.select("reason", "verdict", "cells").rows() == [
        ("missing", "RED", 3),
        ("revised", "AMBER", 1),
        ("unexplained", "AMBER", 1),
        ("vendor_failure", "RED", 1),
    ]
    assert counts["share"].to_list() == pytest.approx([0.3, 0.1, 0.1, 0.1])


def test_a_green_ledger_has_no_reasons():
    counts = reason_counts(ledger({"A": "GGG"}))
    assert counts.rows() == []
    assert counts.columns == ["reason", "verdict", "cells", "share"]


def test_age_counts_the_sessions_since_the_last_green_one():
    rows = ledger(
        {
            "FRESH": "GGGG",
            "AMBER": "GGGA",
            "OLD": "GRRR",
            "NEVER": "RRRR",
            "GONE": "GG..",
            "NEW": "...G",
        }
    )
    ages = {row[0]: row[2:] for row in age_of_data(rows, LAST).iter_rows()}
    assert ages == {
        "FRESH": (LAST, 0),
        "AMBER": (dt.date(2024, 6, 27), 1),
        "OLD": (dt.date(2024, 6, 25), 3),
        "NEVER": (None, 4),
        "GONE": (dt.date(2024, 6, 26), 0),
        "NEW": (LAST, 0),
    }


def test_a_ledger_that_ends_early_is_behind_by_what_it_does_not_know():
    rows = pl.concat([ledger({"A": "GG", "B": "GR"}), ledger({"A": "GGG"}, timeframe="1h")])
    later = offset_session(LAST, 3)
    assert age_of_data(rows, later)["sessions_behind"].to_list() == [3, 4, 3]
    before = age_of_data(rows, offset_session(LAST, -1))
    assert before["sessions_behind"].to_list() == [0, 0, 0]


def test_ages_as_of_a_day_without_trading_are_refused():
    with pytest.raises(InputError, match="2024-06-29"):
        age_of_data(ledger({"A": "G"}), dt.date(2024, 6, 29))


def test_the_age_of_nothing_is_nothing():
    empty = ledger({"A": "G"}).clear()
    ages = age_of_data(empty, LAST)
    assert ages.is_empty()
    assert ages.columns == ["symbol", "timeframe", "last_green", "sessions_behind"]
