"""Compaction and vacuum of real tables: what stays readable, and what nobody takes for a change."""

import datetime as dt
import os
import time
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.contracts.tables import BARS, CELL, MASTER_TABLES
from turbomode_assets.maintenance.tables import TableKeeper
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.changes import appended_rows, changed_groups
from turbomode_assets.stores.lake import Lake
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets_tests.builders import make_bars, make_candles
from turbomode_assets_tests.stores.test_changes import note

FIRST = dt.date(2019, 12, 2)
NAMES = ["AAA", "BBB", "CCC"]
OLD = 40 * 86_400


def nights(count, start=0):
    return [offset_session(FIRST, start + i) for i in range(count)]


def put(lake, session, close):
    one = SessionSpan(session, session)
    lake.replace("bars", make_bars(NAMES, one, close=close), span=one, caller="test")
    return lake.version("bars")


def rows_at(reader, table, version=None):
    return reader.read(table, caller="test", version=version).rows


def data_files(reader, table):
    return {
        str(path)
        for path in Path(reader.uri(table)).rglob("*.parquet")
        if "_delta" not in str(path)
    }


def let_pass(reader, table, seconds=OLD):
    """Make everything that lies in a table's folder older."""
    then = time.time() - seconds
    for path in Path(reader.uri(table)).rglob("*"):
        os.utime(path, (then, then))


def commit_nothing(reader, table, times):
    """Let the log grow, past the checkpoint that Delta writes every 100 commits."""
    delta = DeltaTable(reader.uri(table))
    for _ in range(times):
        delta.create_write_transaction([], "append", delta.schema())
    assert list((Path(reader.uri(table)) / "_delta_log").glob("*.checkpoint.parquet"))


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"), "alpha", {"bars": BARS})


@pytest.fixture
def writer(tmp_path):
    return MasterWriter(str(tmp_path / "master"))


def test_the_files_of_a_crowded_partition_become_one_and_the_rows_stay(lake):
    for session in nights(30):  # 21 sessions of 2019 and 9 of 2020
        put(lake, session, 10.0)
    before = rows_at(lake, "bars")
    compacted = TableKeeper(lake).compact("bars", above_files=20)
    assert (compacted.files_before, compacted.files, compacted.given_up) == (30, 10, 0)
    assert rows_at(lake, "bars").equals(before)


def test_a_second_compaction_commits_nothing(lake):
    for session in nights(5):
        put(lake, session, 10.0)
    TableKeeper(lake).compact("bars", above_files=4)
    version = lake.version("bars")
    assert TableKeeper(lake).compact("bars", above_files=4).files == 1
    assert lake.version("bars") == version


def test_candles_that_were_only_moved_are_no_revision_for_the_audit(writer):
    for session in nights(12):
        one = SessionSpan(session, session)
        writer.replace("candles", make_candles(NAMES, one), span=one, symbols=NAMES, caller="test")
    since = writer.version("candles")
    merged = TableKeeper(MasterReader(writer.uri("candles").removesuffix("/candles")))
    assert merged.compact("candles", above_files=5).files == 1
    assert writer.version("candles") > since
    changed = changed_groups(writer, "candles", since, CELL)
    assert changed is not None
    assert changed.is_empty()


def test_a_log_that_was_compacted_and_vacuumed_tells_the_sensor_only_what_came_since(writer):
    for session in nights(8):
        since = note(writer, "AAA", session)
    keeper = TableKeeper(writer)
    keeper.compact("data_quality_log", above_files=3)
    keeper.vacuum("data_quality_log", keep_versions={since}, after_hours=0)
    assert appended_rows(writer, "data_quality_log", since).is_empty()
    note(writer, "BBB", nights(1, 8)[0])
    news = appended_rows(writer, "data_quality_log", since)
    assert news["symbol"].to_list() == ["BBB"]


def test_the_same_write_after_a_compaction_still_commits_nothing(lake):
    for session in nights(5):
        put(lake, session, 10.0)
    TableKeeper(lake).compact("bars", above_files=4)
    version = lake.version("bars")
    assert put(lake, FIRST, 10.0) == version


def test_replaced_files_go_and_those_of_kept_versions_stay(lake):
    pinned = put(lake, FIRST, 10.0)
    unpinned = put(lake, FIRST, 11.0)
    put(lake, FIRST, 12.0)
    removed = TableKeeper(lake).vacuum("bars", keep_versions={pinned}, after_hours=0)
    assert (removed.files, removed.kept_versions, removed.lost_versions) == (1, 1, ())
    assert removed.bytes > 0
    assert rows_at(lake, "bars", pinned)["close"].unique().to_list() == [10.0]
    assert rows_at(lake, "bars")["close"].unique().to_list() == [12.0]
    with pytest.raises((MissingDataError, OSError)):
        rows_at(lake, "bars", unpinned)


def test_what_was_replaced_lately_stays_for_steps_that_run_now(lake):
    found_at_start = put(lake, FIRST, 10.0)
    put(lake, FIRST, 11.0)
    TableKeeper(lake).compact("bars", above_files=2)
    removed = TableKeeper(lake).vacuum("bars", keep_versions=set(), after_hours=24)
    assert removed.files == 0
    assert rows_at(lake, "bars", found_at_start)["close"].unique().to_list() == [10.0]


def test_files_of_a_killed_writer_go_once_they_are_old_and_a_living_writers_stay(lake):
    put(lake, FIRST, 10.0)
    folder = Path(lake.uri("bars")) / "year=2019"
    for name in ("killed", "writing"):
        (folder / f"part-{name}.parquet").write_bytes(b"unfinished")
    then = time.time() - OLD
    os.utime(folder / "part-killed.parquet", (then, then))
    removed = TableKeeper(lake).vacuum("bars", keep_versions=set(), after_hours=24)
    assert removed.files == 1
    assert (folder / "part-writing.parquet").is_file()
    assert not (folder / "part-killed.parquet").exists()


def test_a_second_vacuum_finds_nothing_and_commits_nothing(lake):
    put(lake, FIRST, 10.0)
    put(lake, FIRST, 11.0)
    assert TableKeeper(lake).vacuum("bars", keep_versions=set(), after_hours=0).files == 1
    version = lake.version("bars")
    assert TableKeeper(lake).vacuum("bars", keep_versions=set(), after_hours=0).files == 0
    assert lake.version("bars") == version


def test_a_version_two_hundred_commits_and_forty_days_old_can_still_be_read(writer):
    pinned = note(writer, "AAA", FIRST)
    let_pass(writer, "data_quality_log")
    note(writer, "BBB", FIRST)
    commit_nothing(writer, "data_quality_log", times=210)
    keeper = TableKeeper(writer)
    keeper.compact("data_quality_log", above_files=1)
    keeper.vacuum("data_quality_log", keep_versions={pinned}, after_hours=0)
    assert writer.version("data_quality_log") > pinned + 200
    assert len(data_files(writer, "data_quality_log")) == 2
    assert rows_at(writer, "data_quality_log", pinned)["symbol"].to_list() == ["AAA"]
    assert rows_at(writer, "data_quality_log")["symbol"].to_list() == ["AAA", "BBB"]


def test_a_table_that_was_created_without_it_keeps_its_log_from_the_first_maintenance_on(tmp_path):
    contract = MASTER_TABLES["data_quality_log"]
    uri = str(tmp_path / "data_quality_log")
    DeltaTable.create(
        uri,
        schema=contract.empty().to_arrow().schema,
        name="master/data_quality_log",
        configuration={"turbomode.layoutVersion": "1"},
        raise_if_key_not_exists=False,
    )
    writer = MasterWriter(str(tmp_path))
    pinned = note(writer, "AAA", FIRST)
    TableKeeper(writer).compact("data_quality_log", above_files=30)
    let_pass(writer, "data_quality_log")
    commit_nothing(writer, "data_quality_log", times=110)
    assert rows_at(writer, "data_quality_log", pinned).height == 1


def test_a_version_whose_log_is_gone_is_told_and_hinders_nothing(lake):
    put(lake, FIRST, 10.0)
    put(lake, FIRST, 11.0)
    removed = TableKeeper(lake).vacuum("bars", keep_versions={1, 99}, after_hours=0)
    assert (removed.kept_versions, removed.lost_versions) == (1, (99,))


def test_a_version_whose_files_are_gone_is_told_and_not_counted_as_kept(lake):
    lost = put(lake, FIRST, 10.0)
    kept = put(lake, FIRST, 11.0)
    TableKeeper(lake).vacuum("bars", keep_versions={kept}, after_hours=0)
    removed = TableKeeper(lake).vacuum("bars", keep_versions={lost, kept}, after_hours=0)
    assert (removed.kept_versions, removed.lost_versions) == (1, (lost,))


@settings(max_examples=15)
@given(
    writes=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=12),
    data=st.data(),
)
def test_every_kept_version_reads_as_before_whatever_was_written(tmp_path_factory, writes, data):
    lake = Lake(str(tmp_path_factory.mktemp("lake")), "alpha", {"bars": BARS})
    sessions = nights(5)
    versions = {put(lake, sessions[which], float(close)) for which, close in writes}
    kept = data.draw(st.sets(st.sampled_from(sorted(versions))))
    wanted = {version: rows_at(lake, "bars", version) for version in [*kept, lake.version("bars")]}
    newest = lake.version("bars")
    keeper = TableKeeper(lake)
    keeper.compact("bars", above_files=data.draw(st.integers(1, 4)))
    keeper.vacuum("bars", keep_versions=kept, after_hours=0)
    assert rows_at(lake, "bars").equals(wanted[newest])
    for version in kept:
        assert rows_at(lake, "bars", version).equals(wanted[version])
    needed = {path for at in kept | {lake.version("bars")} for path in files_at(lake, at)}
    assert data_files(lake, "bars") == needed


def files_at(lake, version):
    return DeltaTable(lake.uri("bars"), version=version).file_uris()


def test_rows_say_nothing_of_who_moved_them(lake):
    for session in nights(6):
        put(lake, session, 10.0)
    before = rows_at(lake, "bars")
    TableKeeper(lake).compact("bars", above_files=2)
    actions = DeltaTable(lake.uri("bars")).history(1)[0]
    assert actions["operation"] == "OPTIMIZE"
    assert pl.DataFrame(before).equals(rows_at(lake, "bars"))
