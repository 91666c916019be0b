"""Apple from 1980 to 2018, adjusted by us and by its vendor: every difference has its reason."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from turbomode_assets.curation.adjusting import adjust
from turbomode_assets_tests.builders import real_data_folder

pytestmark = pytest.mark.real_data
BASIS_POINT = 1e-4
VENDOR_ROUNDING = 1e-13
"""The vendor's adjusted prices have 14 significant digits."""


@pytest.fixture(scope="module")
def vendor():
    return pl.read_parquet(real_data_folder() / "wiki_raw_and_adjusted.parquet")


@pytest.fixture(scope="module")
def raw(vendor):
    names = ("open", "high", "low", "close", "volume")
    return vendor.select("symbol", *names, session="date")


@pytest.fixture(scope="module")
def ratios():
    return pl.read_csv(real_data_folder() / "splits.csv", try_parse_dates=True)


@pytest.fixture(scope="module")
def paid(raw):
    """Dividends with the close of the ex-date and that of the bar before."""
    closes = raw.select(ex_date="session", close="close", close_before=pl.col("close").shift())
    events = pl.read_csv(real_data_folder() / "dividends.csv", try_parse_dates=True)
    return events.join(closes, on="ex_date", how="left", validate="1:1")


def difference(ours, vendor, name="close"):
    """Our price over the vendor's, less 1."""
    return (ours[name] / vendor[f"adj_{name}"] - 1).to_numpy()


def test_ours_differ_from_the_vendors_by_less_than_three_basis_points(raw, ratios, paid, vendor):
    events = paid.select("symbol", "ex_date", "amount")
    ours = adjust(raw, ratios, events, as_of=raw["session"][-1])
    off = np.abs(difference(ours, vendor))
    assert off.max() == pytest.approx(2.4862 * BASIS_POINT, abs=0.0001 * BASIS_POINT)
    # All of it lies before events: from the last ex-date on nothing differs.
    assert off[(raw["session"] >= dt.date(2017, 8, 10)).to_numpy()].max() == 0.0


def test_the_vendor_divides_by_the_close_of_the_ex_date_plus_the_dividend(
    raw, ratios, paid, vendor
):
    its_way = paid.with_columns(previous_close=pl.col("close") + pl.col("amount"))
    ours = adjust(raw, ratios, its_way, as_of=raw["session"][-1])
    for name in ("open", "high", "low", "close"):
        assert np.abs(difference(ours, vendor, name)).max() < VENDOR_ROUNDING
    assert (ours["volume"] / vendor["adj_volume"] - 1).abs().max() < VENDOR_ROUNDING


def test_each_dividend_adds_the_ratio_of_the_two_conventions(raw, ratios, paid, vendor):
    events = paid.select("symbol", "ex_date", "amount", previous_close="close_before")
    ours = difference(adjust(raw, ratios, events, as_of=raw["session"][-1]), vendor)
    here, there = pl.col("amount") / pl.col("close_before"), pl.col("amount") / pl.col("close")
    steps = paid.select("ex_date", step=(1 - here) * (1 + there)).sort("ex_date")
    later = steps["step"].to_numpy()[::-1].cumprod()[::-1]
    # On a day all steps of ex-dates after it are in the price, and none before.
    position = np.searchsorted(steps["ex_date"], raw["session"], side="right")
    explained = np.append(later, 1.0)[position] - 1
    np.testing.assert_allclose(ours, explained, rtol=0, atol=VENDOR_ROUNDING)
    # One by one up to 3 basis points (1994-02-07: it rose by 9 % on the ex-date); they cancel.
    off = np.abs(steps["step"].to_numpy() - 1)
    assert off.max() == pytest.approx(3.062 * BASIS_POINT, abs=0.001 * BASIS_POINT)
    assert steps["ex_date"][int(off.argmax())] == dt.date(1994, 2, 7)


def test_the_two_dividends_that_the_vendor_lacks_are_worth_76_basis_points(
    raw, ratios, paid, vendor
):
    lacking = pl.DataFrame(
        {
            "symbol": ["AAPL"] * 2,
            "ex_date": [dt.date(2017, 11, 10), dt.date(2018, 2, 9)],
            "amount": [0.63] * 2,
        }
    )
    events = paid.select(lacking.columns)
    without, complete = (
        adjust(raw, ratios, each, as_of=raw["session"][-1])
        for each in (events, pl.concat([events, lacking]))
    )
    worth = (complete["close"] / without["close"]).to_numpy()
    before = (raw["session"] < dt.date(2017, 11, 10)).to_numpy()
    # The closes before were 175.88 and 155.32.
    both = (1 - 0.63 / 175.88) * (1 - 0.63 / 155.32)
    np.testing.assert_allclose(worth[before], both, rtol=1e-14)
    assert both - 1 == pytest.approx(-76.24 * BASIS_POINT, abs=0.01 * BASIS_POINT)
