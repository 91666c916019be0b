"""The builders of rows, on which the tests of all rooms stand."""

import dataclasses
import datetime as dt

import polars as pl
import pytest

from turbomode_assets.contracts.errors import ContractError
from turbomode_assets.contracts.table import Column
from turbomode_assets.contracts.tables import (
    BARS,
    CANDLES,
    DIVIDENDS,
    MASTER_TABLES,
    PARTITION_STATUS,
    lake_tables,
)
from turbomode_assets_tests.builders import ROW_DEFAULTS, fill_columns, make_rows

FRIDAY = dt.date(2015, 3, 6)
CELL = {"symbol": "AAA", "session": FRIDAY}
TABLES = MASTER_TABLES | lake_tables([])


@pytest.mark.parametrize("name", ROW_DEFAULTS)
def test_defaults_are_of_columns_of_their_table_and_fit_them(name):
    values, schema = ROW_DEFAULTS[name], TABLES[name].schema
    assert set(values) <= set(schema)
    assert pl.DataFrame([values], schema={column: schema[column] for column in values}).height == 1


def test_rows_and_frames_are_filled_alike():
    rows = make_rows(PARTITION_STATUS, CELL, CELL | {"symbol": "BBB"}, verdict="RED")
    frame = pl.DataFrame({"symbol": ["AAA", "BBB"], "session": [FRIDAY] * 2})
    assert fill_columns(PARTITION_STATUS, frame, verdict="RED").equals(rows)
    assert rows.select("symbol", "verdict", "timeframe").rows() == [
        ("AAA", "RED", "1d"),
        ("BBB", "RED", "1d"),
    ]


@pytest.mark.parametrize("contract", [PARTITION_STATUS, BARS], ids=["master", "lake"])
def test_a_nullable_column_that_is_new_in_a_contract_needs_no_edit(contract):
    new = Column("new", pl.Float64(), "A column of tomorrow", nullable=True)
    grown = dataclasses.replace(contract, columns=(*contract.columns, new))
    row = CELL | (dict.fromkeys(("open", "high", "low", "close"), 1.0) if contract is BARS else {})
    assert make_rows(grown, row)["new"].to_list() == [None]
    assert fill_columns(grown, pl.DataFrame([row]))["new"].to_list() == [None]


def test_a_value_without_a_default_must_be_named():
    with pytest.raises(ContractError, match="amount is null"):
        make_rows(DIVIDENDS, CELL | {"ex_date": FRIDAY, "previous_close": 1.0})


def test_a_name_that_the_table_does_not_have_is_refused():
    with pytest.raises(AssertionError, match="candles has no"):
        make_rows(CANDLES, {"price": 1.0})


def test_rows_that_break_the_contract_are_made_where_that_is_asked_for():
    with pytest.raises(ContractError, match="duplicated keys"):
        make_rows(PARTITION_STATUS, CELL, CELL)
    assert make_rows(PARTITION_STATUS, CELL, CELL, is_checked=False).height == 2
