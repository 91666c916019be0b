import datetime as dt

import polars as pl
import pytest

from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.tables import CANDLES
from turbomode_assets.curation import find_defects
from turbomode_assets.sessions import session_opens
from turbomode_assets_tests.builders import fill_columns, make_universe, real_data_folder
from turbomode_assets_tests.curation.builders import ARRIVED, dividends, shipped_config, splits
from turbomode_assets_tests.curation.dirty_files import found_in, listed, read_dirty

FITTING = {
    "AET-L-1d-100x-error": {"unit_error"},
    "1398-HK-1d-bad-div": {"dividend_not_adjusted"},
    "4063-T-1d-bad-div": {"amount_in_old_shares"},
    "ADIG-L-1d-bad-div": {"dividend_adjusted_in_wrong_unit"},
    "ELCO-L-1d-bad-div": {"dividend_not_in_price", "implausible_amount"},
    "KEN-TA-1d-bad-div": {"repeated_dividend", "dividend_not_adjusted"},
    "LSC-L-1d-bad-div": {"amount_above_close", "unit_error"},
    "PSH-L-1d-bad-div": {"dividend_not_in_price", "implausible_amount"},
    "RGL-L-1d-bad-div": {"dividend_adjusted_in_wrong_unit"},
    "SCR-TO-1d-bad-div": {"dividend_not_in_price", "split_sized_jump"},
    "SSNLF-1d-bad-div": {"adjusted_close_is_no_price"},
    "TENT-L-1d-bad-div": {"dividend_too_small"},
    "4063-T-1d-bad-stock-split": {"split_misapplied"},
    "AV-L-1wk-bad-stock-split": {"split_not_in_prices"},
    "DEX-AX-1d-bad-stock-split": {"split_misapplied"},
    "MOB-ST-1d-bad-stock-split": {"split_not_applied"},
    "ASAI-L-1h-bad-unit": {"field_unit_error"},
    "JENYX-1d-cg-double-count": {"dividend_adjusted_twice"},
    "8TRA-DE-1d-missing-div-adjust": {"dividend_not_adjusted"},
}
NOTHING_TRADED = {"zero_volume_copy"}
"""Controls hold bars without a trade; those are found, and are no defect of a dividend."""


@pytest.mark.real_data
def test_bad_files_are_flagged_for_their_defects_and_controls_for_untraded_bars_at_most():
    folder = real_data_folder() / "dirty"
    seen = set()
    for entry in listed(folder):
        if entry["role"] == "fixed":
            continue
        name = entry["file"].removesuffix(".csv")
        found = found_in(read_dirty(folder / entry["file"]), shipped_config())
        reasons = {reason for frame in found.values() for reason in frame["reason"]}
        if entry["role"] == "bad":
            assert reasons >= FITTING[name], name
            seen.add(name)
        else:
            assert reasons <= NOTHING_TRADED, name
            assert found["dividends"].is_empty(), name
    assert seen == set(FITTING)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["MOB-ST-1d-bad-stock-split", "ASAI-L-1h-bad-unit"])
def test_repaired_closes_are_those_of_the_mended_file(name):
    folder = real_data_folder() / "dirty"
    found = found_in(read_dirty(folder / f"{name}.csv"), shipped_config())["bars"]
    close = found.filter(pl.col("column") == "close")
    wanted = read_dirty(folder / f"{name}-fixed.csv").rows.select("day", wanted="close")
    compared = close.join(wanted, on="day", validate="1:1")
    assert compared.height == 1
    assert compared["new_value"].to_list() == pytest.approx(compared["wanted"].to_list(), rel=1e-6)


def daily_500():
    rows = pl.read_parquet(real_data_folder() / "daily_500.parquet")
    days = rows["date"].unique().sort()
    opens = pl.DataFrame({"session": days, "ts": session_opens(days)})
    dated = rows.rename({"date": "session"}).join(opens, on="session", validate="m:1")
    return fill_columns(
        CANDLES,
        dated,
        is_checked=False,
        vendor="archive",
        adjustment="split",
        adjusted_as_of=dt.date(2018, 2, 8),
        ingested_at=ARRIVED,
    )


@pytest.mark.real_data
def test_every_known_defect_of_five_hundred_stocks_is_found_and_little_else():
    candles = daily_500()
    found = find_defects(
        candles,
        make_universe(candles["symbol"].unique().to_list()),
        splits(),
        dividends(),
        shipped_config(),
    )
    count = dict(found.group_by("reason").len().rows())
    partial = candles.filter(pl.any_horizontal(pl.col(name).is_null() for name in PRICES))
    assert count["missing_price"] == partial.height == 11
    assert (count["copied_bar"], count["stale"]) == (277, 1)
    bounds = found.filter(pl.col("reason").str.contains("widened|far_"))
    assert bounds.select("symbol", "session").n_unique() == 12
    jumps = found.filter(pl.col("reason") == "split_sized_jump").select("symbol", "session").rows()
    assert jumps == [
        ("BAX", dt.date(2015, 7, 1)),
        ("DISCA", dt.date(2014, 8, 7)),
        ("DISCK", dt.date(2014, 8, 7)),
        ("EBAY", dt.date(2015, 7, 20)),
        ("NI", dt.date(2015, 7, 2)),
    ]
    # Spin-offs, special dividends and the four bars of 2017-09-14 that belong to other symbols.
    unexplained = found.filter(pl.col("reason") == "unexplained_jump")
    assert unexplained["symbol"].to_list() == [
        *("A", "FLR", "HPE", "IR", "KLAC", "MPC", "MRO", "NWL", "SYMC", "VNO", "YUM")
    ]
    assert set(count) <= {
        *("missing_price", "copied_bar", "stale", "split_sized_jump", "unexplained_jump"),
        *("close_far_outside", "open_far_outside", "high_widened", "low_widened"),
    }
