import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import ContractError
from turbomode_assets.contracts.table import Column, TableContract, check_table, describe_rows

TRADES = TableContract(
    name="trades",
    store="lake",
    description="A table with one rule of each kind.",
    columns=(
        Column("symbol", pl.String(), "Ticker"),
        Column("session", pl.Date(), "Session"),
        Column("price", pl.Float64(), "Price", "USD", exclusive_minimum=0),
        Column("volume", pl.Float64(), "Volume", "shares", nullable=True, minimum=0),
        Column("factor", pl.Float32(), "Feature", nan_allowed=True),
        Column("share", pl.Float64(), "Share", minimum=0, maximum=1),
        Column("side", pl.String(), "Side", allowed=("BUY", "SELL")),
    ),
    key=("symbol", "session"),
    sort_by=("symbol", "session"),
)
NAN, INFINITE = float("nan"), float("inf")


def rows(count=3, **changes):
    """Rows that keep the contract, with the first row's values changed."""
    frame = pl.DataFrame(
        {
            "symbol": [f"S{i}" for i in range(count)],
            "session": [dt.date(2024, 7, 3)] * count,
            "price": [10.0] * count,
            "volume": [100.0] * count,
            "factor": [0.5] * count,
            "share": [0.25] * count,
            "side": ["BUY"] * count,
        },
        schema=TRADES.schema,
    )
    first = pl.int_range(pl.len()) == 0
    return frame.with_columns(
        pl.when(first).then(pl.lit(value, dtype=frame.schema[name])).otherwise(name).alias(name)
        for name, value in changes.items()
    )


def complaint(frame, contract=TRADES):
    with pytest.raises(ContractError) as caught:
        check_table(frame, contract)
    assert "table trades" in caught.value.where
    assert caught.value.fix
    return caught.value.what


def test_rows_that_keep_the_contract_come_back_in_its_order():
    checked = check_table(rows().reverse().select(reversed(TRADES.column_names)), TRADES)
    assert checked.equals(rows())


def test_an_empty_frame_keeps_the_contract():
    assert check_table(TRADES.empty(), TRADES).schema == TRADES.schema


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("volume", None),
        ("volume", 0.0),
        ("factor", NAN),
        ("price", 1e-300),
        ("share", 0.0),
        ("share", 1.0),
        ("side", "SELL"),
    ],
)
def test_values_at_the_edge_of_a_rule_pass(column, value):
    assert check_table(rows(**{column: value}), TRADES).height == 3


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("symbol", None, "symbol is null: symbol=None session=2024-07-03"),
        ("price", None, "price is null: symbol=S0 session=2024-07-03 price=None"),
        ("factor", None, "factor is null: symbol=S0 session=2024-07-03 factor=None"),
        ("price", NAN, "price is not finite: symbol=S0 session=2024-07-03 price=nan"),
        ("volume", NAN, "volume is not finite: symbol=S0 session=2024-07-03 volume=nan"),
        ("price", INFINITE, "price is not finite: symbol=S0 session=2024-07-03 price=inf"),
        ("factor", -INFINITE, "factor is not finite: symbol=S0 session=2024-07-03 factor=-inf"),
        ("price", 0.0, "price is not above 0: symbol=S0 session=2024-07-03 price=0.0"),
        ("price", -2.5, "price is not above 0: symbol=S0 session=2024-07-03 price=-2.5"),
        ("volume", -1.0, "volume is below 0: symbol=S0 session=2024-07-03 volume=-1.0"),
        ("share", -0.1, "share is below 0: symbol=S0 session=2024-07-03 share=-0.1"),
        ("share", 1.5, "share is above 1: symbol=S0 session=2024-07-03 share=1.5"),
        ("side", "buy", "side is none of BUY, SELL: symbol=S0 session=2024-07-03 side=buy"),
    ],
)
def test_a_broken_value_is_named_with_its_row(column, value, said):
    assert complaint(rows(**{column: value})) == said


def test_the_first_five_offenders_and_their_number_are_named():
    said = complaint(rows(count=12).with_columns(price=pl.lit(-1.0)))
    assert said.count("price=-1.0") == 5
    assert said.endswith("; symbol=S4 session=2024-07-03 price=-1.0 ... (12 in all)")


def test_exactly_five_offenders_are_all_named():
    said = complaint(rows(count=5).with_columns(price=pl.lit(-1.0)))
    assert said.count("price=-1.0") == 5
    assert "in all" not in said


def test_duplicated_keys_are_named_once_each():
    said = complaint(pl.concat([rows(), rows().head(2), rows().head(1)]))
    assert said == "duplicated keys: symbol=S0 session=2024-07-03; symbol=S1 session=2024-07-03"


def test_missing_and_unknown_columns_are_named_together():
    frame = rows().rename({"price": "Price"}).drop("side")
    assert complaint(frame) == "missing columns: price, side; unknown columns: Price"


def test_wrong_types_are_named_with_both_types():
    frame = rows().with_columns(
        pl.col("factor").cast(pl.Float64), pl.col("session").cast(pl.String)
    )
    assert complaint(frame) == (
        "wrong column types: session is String, not Date, factor is Float64, not Float32"
    )


def test_a_time_without_zone_is_another_type_than_utc():
    contract = TableContract(
        name="trades",
        store="lake",
        description="",
        columns=(Column("ts", pl.Datetime("us", "UTC"), "Start"),),
        key=("ts",),
        sort_by=("ts",),
    )
    naive = pl.DataFrame({"ts": [dt.datetime(2024, 7, 3, 20)]})  # noqa: DTZ001 - the point
    said = complaint(naive, contract)
    assert said.startswith("wrong column types: ts is Datetime")
    assert "UTC" in said


def test_the_message_says_what_where_and_fix():
    with pytest.raises(ContractError) as caught:
        check_table(rows(price=-1.0), TRADES)
    assert str(caught.value) == (
        "price is not above 0: symbol=S0 session=2024-07-03 price=-1.0\n"
        "  where: table trades\n"
        "  fix:   correct these rows at their source and run again; nothing was written"
    )


@given(st.permutations(range(6)))
def test_rows_come_back_sorted_whatever_their_order(order):
    assert check_table(rows(count=6)[list(order)], TRADES).equals(rows(count=6))


def test_described_rows_can_be_narrowed_to_some_columns():
    assert describe_rows(rows(), ["symbol"]) == "symbol=S0; symbol=S1; symbol=S2"
