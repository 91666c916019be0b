import dataclasses

import polars as pl
import pytest

from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import ContractError
from turbomode_assets.contracts.table import check_table
from turbomode_assets.contracts.tables import LABELS, MASTER_TABLES, PREDICTIONS, lake_tables

TABLES = {**MASTER_TABLES, **lake_tables(["kmid", "rsi_14"])}


@pytest.mark.parametrize("contract", TABLES.values(), ids=TABLES.keys())
def test_keys_sorting_and_storage_name_columns_of_the_table(contract):
    names = set(contract.column_names)
    assert len(names) == len(contract.columns)
    assert set(contract.key) <= names
    assert set(contract.sort_by) <= names
    assert set(contract.scope_columns) <= names
    assert set(contract.partition_by) <= names | {"year"}
    assert contract.span_column is None or contract.schema[contract.span_column] == pl.Date()
    assert ("year" in contract.partition_by) <= (contract.span_column is not None)


@pytest.mark.parametrize("contract", TABLES.values(), ids=TABLES.keys())
def test_no_key_column_may_be_null(contract):
    nullable = {column.name for column in contract.columns if column.nullable}
    assert nullable.isdisjoint(contract.key)


@pytest.mark.parametrize("contract", TABLES.values(), ids=TABLES.keys())
def test_every_table_and_column_is_described_and_contracts_are_frozen(contract):
    assert contract.description
    assert all(column.description for column in contract.columns)
    with pytest.raises(dataclasses.FrozenInstanceError):
        contract.name = "other"


@pytest.mark.parametrize("contract", TABLES.values(), ids=TABLES.keys())
def test_an_empty_table_keeps_its_own_contract(contract):
    assert check_table(contract.empty(), contract).height == 0


def test_feature_columns_are_float32_in_the_order_given_and_may_be_nan():
    features = lake_tables(["rsi_14", "kmid"])["features"]
    assert features.column_names == ["symbol", "session", "rsi_14", "kmid"]
    assert [column.nan_allowed for column in features.columns] == [False, False, True, True]
    assert features.schema["kmid"] == pl.Float32()


def test_a_label_is_one_of_the_three_classes():
    label = next(column for column in LABELS.columns if column.name == "label")
    assert (label.minimum, label.maximum) == (0, len(CLASSES) - 1)


def test_a_probability_above_one_is_refused():
    row = {
        column.name: "HOLD" if column.dtype == pl.String() else None
        for column in PREDICTIONS.columns
    }
    frame = pl.DataFrame([row], schema=PREDICTIONS.schema).with_columns(
        session=pl.date(2024, 7, 3), p_sell=0.0, p_hold=0.0, p_buy=1.25
    )
    with pytest.raises(ContractError, match="p_buy is above 1: symbol=HOLD"):
        check_table(frame, PREDICTIONS)
