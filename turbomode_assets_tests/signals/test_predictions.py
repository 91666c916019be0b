import datetime as dt
import json

import numpy as np
import polars as pl
import pytest
from polars.exceptions import ComputeError

from turbomode_assets.contracts.errors import ContractError, MissingDataError
from turbomode_assets.contracts.table import check_table
from turbomode_assets.contracts.tables import PREDICTIONS
from turbomode_assets.signals import make_predictions
from turbomode_assets_tests.signals.builders import signals_config

CONFIG = signals_config(buy_threshold=0.4, sell_threshold=0.4)
SESSION = dt.date(2024, 7, 3)
ROWS = pl.DataFrame({"symbol": ["MSFT", "AAPL", "BTC-USD"], "session": [SESSION] * 3})
VENDORS = ROWS.with_columns(pl.Series("vendor", ["archive", "archive", "simulated"]))
PROBABILITIES = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3]])


def predicted(rows=ROWS, probabilities=PROBABILITIES, vendors=VENDORS):
    return make_predictions(
        rows,
        probabilities,
        CONFIG,
        model_version="20240701-ab12",
        feature_digest="f" * 8,
        config_digest="c" * 8,
        store_versions={"features": 12, "bars": 7},
        vendors=vendors,
    )


def test_every_row_carries_its_own_probabilities_decision_and_origin():
    assert predicted().rows(named=True)[0] == {
        "symbol": "AAPL",
        "session": SESSION,
        "signal": "BUY",
        "p_sell": 0.1,
        "p_hold": 0.2,
        "p_buy": 0.7,
        "model_version": "20240701-ab12",
        "feature_digest": "ffffffff",
        "config_digest": "cccccccc",
        "store_versions": '{"bars": 7, "features": 12}',
        "vendor": "archive",
        "gate_override": None,
    }


def test_rows_are_sorted_and_stay_with_their_probabilities():
    table = predicted()
    assert table.select("symbol", "signal", "p_sell", "vendor").rows() == [
        ("AAPL", "BUY", 0.1, "archive"),
        ("BTC-USD", "HOLD", 0.3, "simulated"),
        ("MSFT", "SELL", 0.5, "archive"),
    ]


def test_it_keeps_the_contract_of_the_predictions_table():
    table = predicted(probabilities=PROBABILITIES.astype(np.float32))
    assert check_table(table, PREDICTIONS).equals(table)


def test_store_versions_read_back_from_json():
    assert json.loads(predicted()["store_versions"][0]) == {"bars": 7, "features": 12}


def test_further_columns_of_the_rows_and_the_vendors_are_ignored():
    bars = VENDORS.with_columns(close=pl.lit(1.0))
    assert predicted(ROWS.with_columns(x=pl.lit(1)), vendors=bars).equals(predicted())


def test_a_row_without_a_bar_is_named():
    with pytest.raises(MissingDataError, match="rows without a bar: symbol=AAPL"):
        predicted(vendors=VENDORS.filter(pl.col("symbol") != "AAPL"))


def test_a_bar_given_twice_is_refused():
    with pytest.raises(ComputeError, match="m:1"):
        predicted(vendors=pl.concat([VENDORS, VENDORS]))


def test_a_row_given_twice_is_refused():
    with pytest.raises(ContractError, match="duplicated keys: symbol=MSFT"):
        predicted(ROWS.with_columns(symbol=pl.lit("MSFT")))


def test_as_many_probabilities_as_rows():
    with pytest.raises(ContractError, match="2 probabilities for 3 rows"):
        predicted(probabilities=PROBABILITIES[:2])


def test_no_rows_are_an_error():
    with pytest.raises(MissingDataError, match="no rows to predict"):
        predicted(ROWS.clear(), PROBABILITIES[:0])


def test_probabilities_are_checked():
    with pytest.raises(ContractError, match="row 2"):
        predicted(probabilities=PROBABILITIES * [[1], [1], [2]])
