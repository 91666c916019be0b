"""The public function: what it returns, for which rows, in which cases nothing."""

import datetime as dt

import polars as pl
import pytest
import torch

from turbomode_assets.contracts.devices import choose_device
from turbomode_assets.features import compute_features, device_name, feature_names
from turbomode_assets_tests.features.panels import panel, rescaled, sessions

DAYS = sessions(6)


def bars(**columns: list[object]) -> pl.DataFrame:
    """Six flat bars of one symbol, but for the columns given."""
    flat = {name: [10.0] * 6 for name in ("open", "high", "low", "close")}
    return pl.DataFrame(
        {"symbol": ["A"] * 6, "session": DAYS, **flat, "volume": [100.0] * 6, **columns}
    )


def test_values_worked_by_hand():
    rows = bars(
        open=[10.0, 10, 10, 10, 10, 12],
        high=[10.0, 11, 12, 13, 14, 15],
        close=[10.0, 11, 12, 13, 14, 12],
        volume=[100.0, 100, 100, 100, 100, 50],
    )
    names = ["kup", "roc5", "ma5", "imax5", "cntp5", "sump5", "vma5", "rank5", "overnight_gap"]
    last = compute_features(rows, names=names).row(-1, named=True)
    expected = {
        "kup": (15 - 12) / 12,
        "roc5": 10 / 12,
        "ma5": 12.4 / 12,
        "imax5": 5 / 5,
        "cntp5": 4 / 5,
        "sump5": 4 / 6,
        "vma5": 90 / 50,
        "rank5": (1 + (2 + 1) / 2) / 5,
        "overnight_gap": 12 / 14 - 1,
    }
    assert {name: last[name] for name in names} == pytest.approx(expected, rel=1e-6)


def test_columns_are_keys_then_features_in_single_precision_in_the_order_of_the_matrix():
    computed = compute_features(bars())
    assert computed.columns == ["symbol", "session", *feature_names()]
    assert set(computed.dtypes[2:]) == {pl.Float32()}
    assert computed.select(pl.all().null_count()).row(0) == (0,) * computed.width


def test_rows_are_returned_as_given():
    rows = panel(3, 40, missing=0.2, late_start=5)
    assert (
        compute_features(rows).select("symbol", "session").equals(rows.select("symbol", "session"))
    )


def test_only_sessions_from_since_on_are_returned():
    rows = panel(2, 40)
    computed = compute_features(rows, since=sessions(40)[38], names=["ma20", "high_252"])
    assert computed["session"].to_list() == [*sessions(40)[38:], *sessions(40)[38:]]
    assert computed["ma20"].is_finite().all()


def test_since_need_not_be_a_session():
    computed = compute_features(panel(1, 10), since=dt.date(2018, 1, 6))
    assert computed["session"][0] == dt.date(2018, 1, 8)


def test_since_after_the_last_bar_returns_no_row():
    computed = compute_features(bars(), since=dt.date(2019, 1, 2))
    assert (computed.height, computed.width) == (0, 2 + len(feature_names()))


def test_a_missing_bar_is_missing_in_every_window_that_holds_it():
    rows = bars().filter(pl.col("session") != DAYS[2])
    computed = compute_features(rows, names=["kmid", "overnight_gap", "ma5"])
    assert computed["kmid"].is_finite().all()
    assert computed["overnight_gap"].is_nan().to_list() == [True, False, True, False, False]
    assert computed["ma5"].is_nan().all()


def test_zero_volume_today_makes_volume_ratios_undefined():
    computed = compute_features(bars(volume=[1.0, 1, 1, 1, 1, 0]), names=["vma5", "vstd5"])
    assert computed["vma5"].is_nan().to_list() == [True, True, True, True, False, True]
    assert computed["vstd5"].is_nan().to_list() == [True, True, True, True, False, True]


def test_infinities_never_leave_the_engine():
    rows = panel(1, 70, zero_volume=0.3, halts=0.5)
    computed = compute_features(rows).select(feature_names())
    assert not computed.select(pl.all().is_infinite().any()).to_numpy().any()


def test_dollar_volume_is_close_times_volume_where_it_is_not_given():
    rows = panel(1, 60)
    without = compute_features(rows.drop("dollar_volume"), names=["amihud_20"])
    null = rows.with_columns(dollar_volume=pl.lit(None, pl.Float64()))
    product = rows.with_columns(dollar_volume=pl.col("close") * pl.col("volume"))
    assert compute_features(null, names=["amihud_20"]).equals(without, null_equal=True)
    assert compute_features(product, names=["amihud_20"]).equals(without, null_equal=True)


def test_the_first_known_sector_holds_before_it_too():
    rows = panel(4, 40)
    late = pl.when(pl.col("session") < sessions(40)[30]).then(None).otherwise(pl.col("sector"))
    names = ["sector_return_20"]
    expected = compute_features(rows, names=names)
    assert compute_features(rows.with_columns(sector=late), names=names).equals(expected)


def test_a_sector_of_two_has_no_mean():
    computed = compute_features(panel(5, 30, sectors=2), names=["sector_return_20"])
    last = computed.group_by("symbol", maintain_order=True).last()["sector_return_20"]
    assert last.is_nan().to_list() == [False, True, False, True, False]


def test_the_benchmark_belongs_to_no_cross_section():
    rows = panel(4, 80)
    last = compute_features(rows, benchmark="S002").group_by("symbol", maintain_order=True).last()
    assert last["rank_return_20"].is_nan().to_list() == [False, False, True, False]
    assert sorted(last["rank_return_20"].drop_nans()) == pytest.approx([1 / 3, 2 / 3, 1])
    assert last["sector_return_20"].is_nan().to_list() == [False, False, True, False]
    assert last["beta_60"][2] == pytest.approx(1)


def test_without_a_benchmark_there_is_no_beta():
    assert compute_features(panel(2, 80), names=["beta_60"])["beta_60"].is_nan().all()


@pytest.mark.parametrize(("absent", "known"), [(5, True), (6, False)])
def test_beta_needs_55_pairs_with_the_benchmark(absent, known):
    rows = panel(2, 70)
    # Bars left out one after the other cost one pair more than there are of them.
    gone = sessions(70)[40 : 40 + absent - 1]
    thinned = rows.filter((pl.col("symbol") == "S001") | ~pl.col("session").is_in(gone))
    computed = compute_features(thinned, benchmark="S000", names=["beta_60"])
    assert computed["beta_60"].is_finite()[-1] is known


def test_equal_returns_share_their_rank():
    one = panel(1, 30).drop("symbol")
    rows = pl.concat(one.select(pl.lit(name).alias("symbol"), pl.all()) for name in "ABC")
    dearer = rescaled(rows, pl.when(pl.col("symbol") == "B").then(3.0).otherwise(1.0))
    ranks = compute_features(dearer, names=["rank_return_20"])["rank_return_20"]
    assert ranks.drop_nans().unique().to_list() == pytest.approx([2 / 3])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_the_device_is_named():
    assert device_name("auto") == "cpu"
    assert choose_device("auto") == torch.device("cpu")


def test_the_number_of_torch_threads_is_left_alone():
    before = torch.get_num_threads()
    compute_features(bars())
    assert torch.get_num_threads() == before
