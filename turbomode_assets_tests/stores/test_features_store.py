"""The feature matrix in its layout: real Delta tables, with blocks small enough to be many."""

import dataclasses
import datetime as dt

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import (
    ContractError,
    InputError,
    MissingDataError,
    StoreError,
)
from turbomode_assets.contracts.tables import FEATURE_LAYOUT, features_table
from turbomode_assets.sessions import SessionSpan, sessions_between
from turbomode_assets.stores import Lake, read_features
from turbomode_assets.stores.table_files import record_batches

NAMES = [f"feature_{i}" for i in range(12)]
LAYOUT = dataclasses.replace(FEATURE_LAYOUT, rows_per_group=16, rows_per_block=64, rows_per_page=4)
CONTRACT = dataclasses.replace(features_table(NAMES), layout=LAYOUT)
SESSIONS = sessions_between(dt.date(2023, 12, 11), dt.date(2024, 1, 19))
SPAN = SessionSpan(SESSIONS[0], SESSIONS[-1])
SYMBOLS = ["AAA", "BBB", "BRK.B", "BTC-USD", "CCC", "DDD", "NEW"]
LISTED = {"NEW": dt.date(2024, 1, 10)}


def matrix(span=SPAN, seed=3):
    """Features of seven symbols, one listed late; a third missing, some zeros negative."""
    keys = [
        (symbol, session)
        for symbol in SYMBOLS
        for session in span.sessions
        if session >= LISTED.get(symbol, SESSIONS[0])
    ]
    rng = np.random.default_rng([seed, span.first.toordinal()])
    values = rng.standard_normal((len(NAMES), len(keys)), dtype=np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    values[0, ::5] = -0.0
    frame = pl.DataFrame(keys, schema={"symbol": pl.String, "session": pl.Date}, orient="row")
    return frame.with_columns(pl.Series(n, v) for n, v in zip(NAMES, values, strict=True))


def lake(root, tenant="default"):
    return Lake(str(root / "lake" / tenant), tenant, {"features": CONTRACT})


def write(root, frame, span=SPAN):
    return lake(root).replace("features", frame, span=span, caller="test")


def same(found, expected):
    """Equal to the bit, NaN and the sign of zero included."""
    bits = [pl.col(name).reinterpret(signed=False) for name in found.columns[2:]]
    return found.columns == expected.columns and found.with_columns(bits).equals(
        expected.with_columns(bits)
    )


@pytest.fixture
def stored(tmp_path):
    write(tmp_path, matrix())
    return tmp_path


@pytest.mark.parametrize("session", [SESSIONS[0], SESSIONS[13], SESSIONS[14], SESSIONS[-1]])
def test_one_session_of_all_symbols_is_what_was_written(stored, session):
    expected = matrix().filter(pl.col("session") == session)
    assert same(read_features(stored, first=session, last=session), expected)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_all_sessions_of_one_symbol_are_what_was_written(stored, symbol):
    names = NAMES[7:2:-2]
    expected = matrix().filter(pl.col("symbol") == symbol).select("symbol", "session", *names)
    assert same(read_features(stored, names=names, symbols=[symbol]), expected)


def test_some_features_of_all_rows_are_what_was_written(stored):
    names = NAMES[1::3]
    expected = matrix().select("symbol", "session", *names)
    assert same(read_features(str(stored), names=names), expected)


def test_the_tables_reader_gives_the_same_rows(stored):
    assert same(lake(stored).read("features", caller="test").rows, matrix())


def test_a_range_is_bounded_by_days_that_need_not_be_sessions(stored):
    found = read_features(stored, first=dt.date(2023, 12, 30), last=dt.date(2024, 1, 1))
    assert found.is_empty()
    later = read_features(stored, first=dt.date(2024, 1, 13))
    assert same(later, matrix().filter(pl.col("session") > dt.date(2024, 1, 13)))
    earlier = read_features(stored, last=dt.date(2024, 1, 1))
    assert same(earlier, matrix().filter(pl.col("session") < dt.date(2024, 1, 1)))


def test_rows_written_in_disorder_are_stored_alike(tmp_path):
    write(
        tmp_path,
        matrix().sample(fraction=1, shuffle=True, seed=1).select(*NAMES[::-1], "symbol", "session"),
    )
    assert same(read_features(tmp_path), matrix())


def test_a_year_is_one_file_with_the_extremes_of_its_keys_alone(stored):
    files = DeltaTable(lake(stored).uri("features")).file_uris()
    assert len(files) == 2
    for file in files:
        metadata = pq.ParquetFile(file).metadata
        assert metadata.row_group(0).num_rows == LAYOUT.rows_per_group
        columns = [metadata.row_group(0).column(i) for i in range(metadata.num_columns)]
        known = {column.path_in_schema for column in columns if column.is_stats_set}
        assert known == {"symbol", "session"}


def test_blocks_of_sessions_are_cut_into_groups_of_symbols():
    january = matrix().filter(pl.col("session").dt.year() == 2024)
    groups = [pl.from_arrow(batch) for batch in record_batches(january, CONTRACT)]
    assert [group.height for group in groups[:-1]] == [LAYOUT.rows_per_group] * (len(groups) - 1)
    blocks = [pl.concat(groups[first : first + 4]) for first in range(0, len(groups), 4)]
    assert len(blocks) == 2
    for block in blocks:
        assert block.select("symbol", "session").equals(
            block.select("symbol", "session").sort("symbol", "session")
        )
    assert blocks[0]["session"].max() <= blocks[1]["session"].min()
    assert same(pl.concat(blocks).sort("symbol", "session").drop("year"), january)


def test_nights_written_one_by_one_leave_what_one_write_leaves(tmp_path):
    start = SessionSpan(SESSIONS[0], SESSIONS[9])
    write(tmp_path, matrix().filter(pl.col("session") <= start.last), start)
    for night in SESSIONS[10:]:
        part = matrix().filter(pl.col("session") == night)
        write(tmp_path, part, SessionSpan(night, night))
    assert same(read_features(tmp_path), matrix())


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rewrites=st.lists(
        st.tuples(st.integers(0, len(SESSIONS) - 1), st.integers(0, len(SESSIONS) - 1)).map(sorted),
        min_size=1,
        max_size=4,
    )
)
def test_rewritten_ranges_hold_the_last_write_and_their_neighbours_stay(tmp_path_factory, rewrites):
    root = tmp_path_factory.mktemp("store")
    write(root, matrix())
    expected = matrix()
    for number, (begin, end) in enumerate(rewrites):
        span = SessionSpan(SESSIONS[begin], SESSIONS[end])
        part = matrix(span, seed=50 + number)
        write(root, part, span)
        kept = expected.filter(~pl.col("session").is_between(span.first, span.last))
        expected = pl.concat([kept, part]).sort("symbol", "session")
        assert same(read_features(root), expected)
    for session in (SESSIONS[rewrites[0][0]], SESSIONS[-1]):
        one = expected.filter(pl.col("session") == session)
        assert same(read_features(root, first=session, last=session), one)


def test_the_same_features_again_commit_nothing(stored):
    assert not write(stored, matrix()).committed


def test_an_earlier_version_is_read_as_it_was(stored):
    before = lake(stored).version("features")
    day = SessionSpan(SESSIONS[3], SESSIONS[3])
    write(stored, matrix(day, seed=9), day)
    assert same(read_features(stored, version=before), matrix())
    assert not same(read_features(stored), matrix())


def test_a_version_that_does_not_exist_is_named_with_the_present_one(stored):
    for version in (99, -1):
        with pytest.raises(MissingDataError, match=rf"version {version} .*\n.*\n.* version is 1"):
            read_features(stored, version=version)


def test_a_symbol_without_rows_returns_none(stored):
    assert read_features(stored, symbols=["XXX"]).is_empty()
    found = read_features(stored, symbols=["XXX", "AAA"], names=NAMES[:1])
    assert found["symbol"].unique().to_list() == ["AAA"]
    assert read_features(stored, symbols=[]).is_empty()


def test_unknown_features_are_refused_by_name(stored):
    with pytest.raises(InputError, match="no such features: rsi_15, kmidd"):
        read_features(stored, names=["feature_1", "rsi_15", "kmidd"])
    with pytest.raises(InputError, match="no such features: year"):
        read_features(stored, names=["year"])


@pytest.mark.parametrize("argument", ["names", "symbols"])
def test_a_text_in_place_of_a_list_is_refused(stored, argument):
    with pytest.raises(InputError, match=f"{argument} is the text 'AAA', not a list"):
        read_features(stored, **{argument: "AAA"})


def test_a_range_that_ends_before_it_begins_is_refused(stored):
    with pytest.raises(InputError, match=r"ends .2024-01-02. before it begins .2024-01-03."):
        read_features(stored, first=dt.date(2024, 1, 3), last=dt.date(2024, 1, 2))


def test_a_tenant_without_features_is_told_to_make_them(stored):
    with pytest.raises(MissingDataError, match="materialize the asset"):
        read_features(stored, "other")


def test_another_tenants_table_is_refused(stored):
    (stored / "lake" / "other").symlink_to(stored / "lake" / "default")
    with pytest.raises(StoreError, match="table is lake/default/features, not lake/other/features"):
        read_features(stored, "other")


@pytest.mark.parametrize("value", [float("inf"), None])
def test_one_bad_value_among_thousands_is_found_and_nothing_is_written(tmp_path, value):
    place = (pl.col("symbol") == "CCC") & (pl.col("session") == SESSIONS[7])
    spoiled = matrix().with_columns(
        pl.when(place)
        .then(pl.lit(value, dtype=pl.Float32))
        .otherwise("feature_7")
        .alias("feature_7")
    )
    with pytest.raises(ContractError, match=f"feature_7 is .*: symbol=CCC session={SESSIONS[7]}"):
        write(tmp_path, spoiled)
    with pytest.raises(MissingDataError):
        read_features(tmp_path)


def test_a_row_twice_is_refused(tmp_path):
    row = matrix().filter((pl.col("symbol") == "BBB") & (pl.col("session") == SESSIONS[4]))
    with pytest.raises(ContractError, match=f"duplicated keys: symbol=BBB session={SESSIONS[4]}"):
        write(tmp_path, pl.concat([matrix(), row]))
