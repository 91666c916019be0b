"""Laws that every feature of the registry keeps, on panels that hypothesis makes up."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from turbomode_assets.features import LONGEST_WINDOW, compute_features, engine
from turbomode_assets.features.registry import registered_features
from turbomode_assets_tests.features.comparison import assert_alike
from turbomode_assets_tests.features.panels import panel, rescaled, sessions

COUNT = 300
KEY = ["symbol", "session"]
FEATURES = registered_features()
BY_SYMBOL = [each.name for each in FEATURES if each.scope == "symbol"]
ACROSS = [each.name for each in FEATURES if each.scope == "cross_section"]
VOLUME_READERS = [each for each in FEATURES if "volume" in each.inputs]
law = settings(
    max_examples=6,
    phases=(Phase.explicit, Phase.generate),
)

panels = st.builds(
    panel,
    symbols=st.integers(1, 4),
    count=st.just(COUNT),
    seed=st.integers(0, 2**31),
    missing=st.sampled_from([0.0, 0.002, 0.05]),
    zero_volume=st.sampled_from([0.0, 0.01]),
    null_volume=st.sampled_from([0.0, 0.01]),
    halts=st.sampled_from([0.0, 0.2, 0.97]),
    late_start=st.sampled_from([0, 17]),
    tick=st.sampled_from([None, 0.01, 1.0]),
    volumes=st.just((1e5, 1e10)),
)
positions = st.integers(1, COUNT - 1)


def assert_same_bits(actual: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert actual.columns == expected.columns
    differing = [
        name for name in actual.columns if not actual[name].equals(expected[name], null_equal=True)
    ]
    assert not differing, differing[:5]


def assert_all_alike(actual: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert actual.columns == expected.columns
    for name in actual.columns[2:]:
        pair = (frame[name].to_numpy().astype(np.float64) for frame in (actual, expected))
        assert_alike(name, *pair)


@law
@given(bars=panels, cut=positions)
def test_the_future_never_changes_the_past(bars, cut):
    known = bars.filter(pl.col("session") <= sessions(COUNT)[cut])
    if known.is_empty():
        return
    full = compute_features(bars, benchmark="S000").join(known, on=KEY, how="semi")
    benchmark = "S000" if "S000" in known["symbol"] else None
    assert_same_bits(compute_features(known, benchmark=benchmark), full)


@pytest.mark.parametrize("cut", range(20, 300, 40))
def test_the_future_never_changes_the_past_at_many_cuts(cut):
    bars = panel(3, COUNT, seed=cut, tick=0.01)
    known = bars.filter(pl.col("session") <= sessions(COUNT)[cut])
    full = compute_features(bars).join(known, on=KEY, how="semi")
    assert_same_bits(compute_features(known), full)


@law
@given(bars=panels, first=positions)
def test_batch_equals_incremental_bit_for_bit(bars, first):
    since = sessions(COUNT)[first]
    batch = compute_features(bars, benchmark="S000").filter(pl.col("session") >= since)
    nightly = compute_features(bars, benchmark="S000", since=since)
    assert_same_bits(nightly, batch)
    reach = sessions(COUNT)[max(0, first - (LONGEST_WINDOW - 1))]
    read = bars.filter(pl.col("session") >= reach)
    benchmark = "S000" if "S000" in read["symbol"] else None
    alone = compute_features(read, benchmark=benchmark)
    assert_same_bits(alone.filter(pl.col("session") >= since), batch)


@law
@given(bars=panels, chunk=st.sampled_from([1, 500, 1000]))
def test_chunks_change_nothing(bars, chunk):
    whole = compute_features(bars, benchmark="S000")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "CPU_CHUNK_BARS", chunk)
        assert_same_bits(compute_features(bars, benchmark="S000"), whole)


@law
@given(bars=panels)
def test_a_symbol_alone_equals_the_symbol_in_the_panel(bars):
    names = [name for name in BY_SYMBOL if name != "beta_60"]
    together = compute_features(bars, names=names)
    for symbol in bars["symbol"].unique():
        mine = pl.col("symbol") == symbol
        assert_same_bits(compute_features(bars.filter(mine), names=names), together.filter(mine))


@law
@given(bars=panels, seed=st.integers(0, 100))
def test_permuting_symbols_permutes_the_features(bars, seed):
    names = bars["symbol"].unique().sort()
    renamed = dict(zip(names, names.shuffle(seed), strict=True))
    permuted = bars.with_columns(pl.col("symbol").replace_strict(renamed)).sort(KEY)
    expected = compute_features(bars).with_columns(pl.col("symbol").replace_strict(renamed))
    actual = compute_features(permuted)
    expected = expected.sort(KEY)
    assert_same_bits(actual.select(BY_SYMBOL), expected.select(BY_SYMBOL))
    assert_all_alike(actual.select(*KEY, *ACROSS), expected.select(*KEY, *ACROSS))


@law
@given(bars=panels, factor=st.floats(0.02, 50))
def test_rescaling_a_symbol_changes_nothing(bars, factor):
    mine = pl.when(pl.col("symbol") == "S000").then(factor).otherwise(1.0)
    names = [each.name for each in FEATURES]
    if (bars["volume"] == 0).any():
        # ln(v + 1) of a volume of zero is zero in any unit: corr is no longer free of the unit.
        names = [name for name in names if not name.startswith("corr")]
    expected = compute_features(bars, names=names)
    assert_all_alike(compute_features(rescaled(bars, mine), names=names), expected)


@law
@given(bars=panels, at=positions, ratio=st.sampled_from([2.0, 3.0, 1.5, 0.1, 7.0]))
@example(bars=panel(2, COUNT, seed=2, halts=0.97, tick=0.01), at=1, ratio=3.0)
def test_a_split_in_the_window_leaves_only_rounding_and_no_trace(bars, at, ratio):
    after = pl.col("session") >= sessions(COUNT)[at]
    split = rescaled(bars, pl.when(after).then(1 / ratio).otherwise(1.0))
    adjusted = rescaled(split, pl.when(after).then(ratio).otherwise(1.0))
    assert_all_alike(compute_features(adjusted), compute_features(bars))


def bars_in_a_row(rows: pl.DataFrame, known: pl.Expr) -> np.ndarray:
    """How many sessions up to each row have a bar for which `known` holds, without a gap."""
    grid = {session: at for at, session in enumerate(sessions(COUNT))}
    out: list[int] = []
    last = ("", -2)
    for symbol, session, is_known in rows.select("symbol", "session", known.alias("known")).rows():
        here = (symbol, grid[session])
        follows = last == (symbol, here[1] - 1)
        out.append(((out[-1] if follows else 0) + 1) if is_known else 0)
        last = here
    return np.array(out)


@law
@given(
    seed=st.integers(0, 2**31),
    missing=st.sampled_from([0.001, 0.01, 0.1]),
    null_volume=st.sampled_from([0.0, 0.002, 0.05]),
)
def test_a_value_is_missing_exactly_where_its_window_is_not_complete(seed, missing, null_volume):
    bars = panel(4, COUNT, seed=seed, missing=missing, null_volume=null_volume)
    computed = compute_features(bars)
    present = bars_in_a_row(bars, pl.lit(True))
    with_volume = bars_in_a_row(bars, pl.col("volume").is_not_null())
    for each in FEATURES:
        if each.name in ("beta_60", "sector_return_20"):
            continue
        expected = present < each.bars
        if {"volume", "dollar_volume"} & set(each.inputs):
            reads_volume_before = each.name.startswith(("cord", "vsum"))
            of_volume = each.bars if reads_volume_before else dict(each.parameters).get("window", 1)
            expected |= with_volume < of_volume
        actual = computed[each.name].is_nan().to_numpy()
        assert (actual == expected).all(), (each.name, np.flatnonzero(actual != expected)[:5])


@law
@given(seed=st.integers(0, 2**31), zero_volume=st.sampled_from([0.0, 0.05]))
def test_volumes_over_nine_decades_give_finite_values(seed, zero_volume):
    bars = panel(2, COUNT, seed=seed, volumes=(1e2, 1e11), zero_volume=zero_volume)
    computed = compute_features(bars)
    assert not computed.select(pl.col(BY_SYMBOL).is_infinite().any()).to_numpy().any()
    if not zero_volume:
        last = computed.group_by("symbol").last().drop("beta_60", *ACROSS)
        assert last.select(pl.exclude(KEY).is_finite().all()).to_numpy().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@law
@given(bars=panels)
def test_cpu_equals_cuda(bars):
    on_cpu = compute_features(bars, benchmark="S000", device="cpu")
    assert_all_alike(compute_features(bars, benchmark="S000", device="cuda"), on_cpu)
