"""What compute_features refuses, before any work, and what the message says."""

import datetime as dt

import polars as pl
import pytest
import torch

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.features import compute_features
from turbomode_assets_tests.features.panels import panel

BARS = panel(2, 30)


def with_value(column: str, value: object, dtype: pl.DataType | None = None) -> pl.DataFrame:
    third_row = pl.int_range(pl.len()) == 3
    return BARS.with_columns(
        pl.when(third_row).then(pl.lit(value, dtype)).otherwise(pl.col(column)).alias(column)
    )


def test_rows_out_of_order():
    with pytest.raises(InputError, match=r"rows out of order: symbol=S000 session=2018-02-12"):
        compute_features(BARS.sort("symbol", "session", descending=[False, True]))


def test_symbols_out_of_order():
    with pytest.raises(InputError, match="rows out of order: symbol=S000 session=2018-01-02"):
        compute_features(pl.concat([BARS[30:], BARS[:30]]))


def test_duplicated_rows():
    with pytest.raises(InputError, match="duplicated rows: symbol=S001 session=2018-01-02"):
        compute_features(pl.concat([BARS[:31], BARS[30:]]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, 0.0, -1.0])
@pytest.mark.parametrize("column", ["open", "high", "low", "close"])
def test_prices_that_are_not_positive_and_finite(column, value):
    with pytest.raises(InputError, match=rf"{column} is not a positive finite price: symbol=S000"):
        compute_features(with_value(column, value, pl.Float64()))


@pytest.mark.parametrize("value", [-1.0, float("inf")])
def test_volumes_that_are_negative_or_infinite(value):
    with pytest.raises(InputError, match="volume is negative or infinite: symbol=S000"):
        compute_features(with_value("volume", value))


def test_an_unknown_feature():
    with pytest.raises(InputError, match="unknown features: rsi_15"):
        compute_features(BARS, names=["rsi_15"])


def test_dates_that_are_no_sessions():
    saturday = with_value("session", dt.date(2018, 1, 6))
    with pytest.raises(InputError, match="no XNYS sessions: 2018-01-06"):
        compute_features(saturday.sort("symbol", "session"))


def test_bars_of_another_frequency():
    with pytest.raises(InputError, match=r"session is Datetime(.|\n)*another frequency"):
        compute_features(BARS.with_columns(pl.col("session").cast(pl.Datetime("us"))))


def test_weekly_bars():
    fridays = panel(2, 300).filter(pl.col("session").dt.weekday() == 5)
    with pytest.raises(InputError, match=r"no symbol has bars of two consecutive sessions"):
        compute_features(fridays)


def test_a_missing_column():
    with pytest.raises(InputError, match="missing columns: high"):
        compute_features(BARS.drop("high"))


def test_prices_that_are_text():
    with pytest.raises(InputError, match="columns that are no numbers: close is String"):
        compute_features(BARS.with_columns(pl.col("close").cast(pl.String)))


def test_an_empty_frame():
    with pytest.raises(InputError, match="there is no bar"):
        compute_features(BARS.clear())


def test_a_row_without_a_symbol():
    with pytest.raises(InputError, match="null symbol"):
        compute_features(with_value("symbol", None, pl.String()))


def test_a_benchmark_without_bars():
    with pytest.raises(InputError, match="the benchmark SPY has no bars"):
        compute_features(BARS, benchmark="SPY")


def test_an_unknown_device():
    with pytest.raises(InputError, match="unknown device tpu"):
        compute_features(BARS, device="tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_cuda_without_cuda():
    with pytest.raises(InputError, match="torch sees no CUDA device"):
        compute_features(BARS, device="cuda")


def test_only_the_first_five_offenders_are_named_and_counted():
    with pytest.raises(InputError, match=r"session=2018-01-08 close=-1.0 ... \(60 in all\)"):
        compute_features(BARS.with_columns(close=pl.lit(-1.0)))
