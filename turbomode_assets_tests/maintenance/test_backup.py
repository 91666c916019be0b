"""Backups of real stores: consistent beside a writer, whole or not there, and restored alike."""

import dataclasses
import datetime as dt
import json
import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from turbomode_assets.contracts.errors import InputError, MissingDataError, StoreError
from turbomode_assets.maintenance.backup import BackupContents, make_backup
from turbomode_assets.maintenance.manifest import MANIFEST_FILE, read_manifest
from turbomode_assets.maintenance.restore import restore_backup
from turbomode_assets.maintenance.table_copies import present_versions
from turbomode_assets.maintenance.tables import TableKeeper
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.operations import Operations
from turbomode_assets_tests.faults.delta_writers import SYMBOLS, bars_of
from turbomode_assets_tests.maintenance.platforms import (
    FIRST,
    lake_of,
    memory_of,
    platform_at,
    silent,
    write_night,
    write_nights,
)

SPAWN = multiprocessing.get_context("spawn")
PATIENCE_SECONDS = 60
NOW = dt.datetime(2020, 1, 2, tzinfo=dt.UTC)


@pytest.fixture
def source(tmp_path):
    platform = platform_at(tmp_path / "data")
    for number in range(3):
        write_night(platform, number)
    operations = Operations(f"sqlite:///{platform.operations}")
    operations.try_lease("kept", "somebody", 3_600)
    model = platform.artifacts / "models" / "m1"
    model.mkdir(parents=True)
    (model / "model.txt").write_text("trees", encoding="utf-8")
    return platform


@pytest.fixture
def wanted(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "a.json").write_text("{}", encoding="utf-8")
    return BackupContents(configs=tmp_path / "configs", explained_sessions=10)


@pytest.fixture
def backed_up(source, wanted, tmp_path):
    make_backup(source, tmp_path / "backup", wanted, now=NOW, told=silent)
    return tmp_path / "backup"


def contents(platform):
    """Every row of every store, and every version that signals refer to."""
    rows = {"memory": memory_of(platform).query("SELECT * FROM signal_history ORDER BY session")}
    for reader in (platform.master, platform.lake):
        for table in reader.tables:
            if reader.exists(table):
                rows[table] = reader.read(table, caller="test").rows
    for text in rows["predictions"]["store_versions"]:
        for table, version in json.loads(text).items():
            reader = platform.master if table == "candles" else platform.lake
            pinned = reader.read(table, caller="test", version=version)
            rows[f"{table} v{version}"] = pinned.rows
    return rows


def same(found, expected):
    return found.keys() == expected.keys() and all(
        found[name].equals(expected[name]) for name in expected
    )


def test_what_is_restored_into_an_empty_root_is_what_was_backed_up(source, backed_up, tmp_path):
    target = platform_at(tmp_path / "elsewhere")
    manifest, rows = restore_backup(backed_up, target, told=silent)
    assert same(contents(target), contents(source))
    assert present_versions((target.lake, target.master)) == dict(manifest.tables)
    assert rows == 2 * 3 * len(SYMBOLS) + 3
    assert Operations(f"sqlite:///{target.operations}").try_lease("kept", "other", 1) is False
    assert (target.artifacts / "models" / "m1" / "model.txt").read_text("utf-8") == "trees"
    assert (target.root / "configs" / "a.json").is_file()


def test_a_restored_platform_can_be_written_maintained_and_backed_up_again(
    backed_up, wanted, tmp_path
):
    target = platform_at(tmp_path / "elsewhere")
    restore_backup(backed_up, target, told=silent)
    write_night(target, 3)
    TableKeeper(target.lake).compact("bars", above_files=2)
    manifest = make_backup(target, tmp_path / "again", wanted, now=NOW, told=silent)
    assert manifest.tables["lake/alpha/bars"] == target.lake.version("bars")
    assert memory_of(target).query("SELECT count(*) AS n FROM signal_history").item() == 4


def test_versions_that_signals_refer_to_are_in_the_backup_and_others_are_not(
    source, wanted, tmp_path
):
    pinned = source.lake.version("bars")
    one = SessionSpan(FIRST, FIRST)
    for generation in (11, 12):
        lake_of(source).replace("bars", bars_of(one, generation), span=one, caller="test")
    manifest = make_backup(source, tmp_path / "backup", wanted, now=NOW, told=silent)
    assert pinned in manifest.kept["lake/alpha/bars"]
    copied = {Path(name).name for name in manifest.files if "bars" in name and "_delta" not in name}
    # One session was written three times: the version in between is nobody's.
    assert len(copied) == 4
    assert len(list(Path(source.lake.uri("bars")).rglob("part-*.parquet"))) == 5


def test_a_backup_made_while_a_writer_writes_is_of_one_moment(source, wanted, tmp_path):
    begun, stop = SPAWN.Event(), SPAWN.Event()
    writer = SPAWN.Process(target=write_nights, args=(source.root, 3, begun, stop))
    writer.start()
    try:
        assert begun.wait(PATIENCE_SECONDS)
        manifests = [
            make_backup(source, tmp_path / f"b{i}", wanted, now=NOW, told=silent) for i in range(2)
        ]
    finally:
        stop.set()
        writer.join(PATIENCE_SECONDS)
    assert writer.exitcode == 0
    for number, manifest in enumerate(manifests):
        target = platform_at(tmp_path / f"r{number}")
        restore_backup(tmp_path / f"b{number}", target, told=silent)
        found = contents(target)  # every version that a prediction names can be read
        signalled, predicted = found["memory"], found["predictions"]
        assert set(signalled["session"]) <= set(predicted["session"])
        assert set(predicted["session"]) <= set(found["bars"]["session"])
        assert set(found["bars"]["session"]) <= set(found["candles"]["session"])
        if manifest.at_one_moment:
            # A night writes its signals last: at any one moment at most one is on its way.
            assert predicted.height - signalled.height <= 1


def test_another_tenants_data_are_not_in_the_backup(source, wanted, tmp_path):
    other = platform_at(source.root, tenant="beta")
    write_night(other, 0)
    manifest = make_backup(source, tmp_path / "backup", wanted, now=NOW, told=silent)
    assert not [name for name in manifest.files if "beta" in name]
    assert not [path for path in (tmp_path / "backup").rglob("*") if "beta" in path.name]


def test_half_written_files_and_workbenches_are_left_out(source, wanted, tmp_path):
    for name in ("workbenches/run-1/a.npy", "models/m2/.ensemble.partial-1/x", ".page.partial-2"):
        path = source.artifacts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("unfinished", encoding="utf-8")
    manifest = make_backup(source, tmp_path / "backup", wanted, now=NOW, told=silent)
    artifacts = [name for name in manifest.files if name.startswith("artifacts/")]
    assert artifacts == ["artifacts/alpha/models/m1/model.txt"]


def test_an_existing_target_and_one_inside_the_data_root_are_refused(source, wanted, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "broken.partial").mkdir()
    for target, told in (
        (tmp_path / "there", "there exists already"),
        (tmp_path / "broken", "that one was broken off"),
        (source.root / "backup", "inside the data root"),
    ):
        with pytest.raises(InputError, match=told):
            make_backup(source, target, wanted, now=NOW, told=silent)
    assert list((tmp_path / "there").iterdir()) == []


def test_an_empty_platform_is_no_backup_and_leaves_no_folder(wanted, tmp_path):
    with pytest.raises(MissingDataError, match="nothing to back up"):
        make_backup(platform_at(tmp_path / "data"), tmp_path / "b", wanted, now=NOW, told=silent)
    assert not list(tmp_path.glob("b*"))


def test_a_table_whose_file_is_gone_gives_no_backup(source, wanted, tmp_path):
    next(Path(source.lake.uri("bars")).rglob("part-*.parquet")).unlink()
    with pytest.raises(StoreError, match="cannot be written"):
        make_backup(source, tmp_path / "backup", wanted, now=NOW, told=silent)
    assert not list(tmp_path.glob("backup*"))


def test_an_older_version_whose_files_are_gone_does_not_hinder_a_backup(source, wanted, tmp_path):
    span = SessionSpan(FIRST, FIRST)
    lake_of(source).replace("bars", bars_of(span, 77), span=span, caller="test")
    write_night(source, 3)
    newest = json.loads(contents(source)["predictions"]["store_versions"].to_list()[-1])["bars"]
    TableKeeper(source.lake).vacuum("bars", keep_versions={newest}, after_hours=0)
    manifest = make_backup(source, tmp_path / "backup", wanted, now=NOW, told=silent)
    assert manifest.kept["lake/alpha/bars"] == [newest]
    assert manifest.lost["lake/alpha/bars"]


def test_a_data_root_behind_a_link_is_backed_up(source, wanted, tmp_path):
    (tmp_path / "link").symlink_to(source.root)
    linked = platform_at(tmp_path / "link")
    make_backup(linked, tmp_path / "backup", wanted, now=NOW, told=silent)
    restored = platform_at(tmp_path / "restored")
    restore_backup(tmp_path / "backup", restored, told=silent)
    assert same(contents(restored), contents(source))


@pytest.mark.parametrize("harm", ["flip", "shorten", "remove"])
def test_a_damaged_backup_is_refused_and_restores_nothing(backed_up, tmp_path, harm):
    victim = next((backed_up / "lake").rglob("part-*.parquet"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    if harm == "flip":
        victim.write_bytes(content)
    elif harm == "shorten":
        victim.write_bytes(content[:-1])
    else:
        victim.unlink()
    target = platform_at(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=f"1 files of the backup .*{victim.name}"):
        restore_backup(backed_up, target, told=silent)
    assert list(target.root.iterdir()) == []


def test_only_an_empty_root_takes_a_backup(backed_up, tmp_path):
    target = platform_at(tmp_path / "elsewhere")
    target.history.mkdir(parents=True)
    (target.history / "dagster.yaml").write_text("telemetry: {}", encoding="utf-8")
    (target.root / "master").mkdir()
    (target.root / "master" / "something").write_text("of value", encoding="utf-8")
    with pytest.raises(InputError, match="not empty: master/something"):
        restore_backup(backed_up, target, told=silent)
    (target.root / "master" / "something").unlink()
    restore_backup(backed_up, target, told=silent)
    assert (target.history / "dagster.yaml").is_file()


def test_another_tenants_backup_is_refused(backed_up, tmp_path):
    with pytest.raises(InputError, match="of tenant 'alpha', not 'beta'"):
        restore_backup(backed_up, platform_at(tmp_path / "x", tenant="beta"), told=silent)


def test_a_folder_that_is_no_backup_is_refused(backed_up, tmp_path):
    target, manifest = platform_at(tmp_path / "x"), backed_up / MANIFEST_FILE
    with pytest.raises(StoreError, match="no complete backup"):
        restore_backup(tmp_path, target, told=silent)
    content = json.loads(manifest.read_text("utf-8"))
    manifest.write_text(json.dumps(content | {"format": 99}), encoding="utf-8")
    with pytest.raises(StoreError, match="has format 99; this program knows 1"):
        read_manifest(backed_up)
    outside = {"../evil": {"bytes": 1, "sha256": "0"}}
    manifest.write_text(json.dumps(content | {"files": outside}), encoding="utf-8")
    with pytest.raises(StoreError, match="outside of its folder"):
        restore_backup(backed_up, target, told=silent)


def test_an_operations_store_elsewhere_comes_to_its_usual_place(source, wanted, tmp_path):
    elsewhere = tmp_path / "queue.sqlite"
    Operations(f"sqlite:///{elsewhere}").try_lease("kept", "somebody", 3_600)
    moved = dataclasses.replace(source, operations=elsewhere)
    make_backup(moved, tmp_path / "backup", wanted, now=NOW, told=silent)
    target = platform_at(tmp_path / "restored")
    restore_backup(tmp_path / "backup", target, told=silent)
    with sqlite3.connect(target.root / "operations" / "queue.sqlite") as connection:
        assert connection.execute("SELECT name FROM leases").fetchall() == [("kept",)]


def test_dagsters_history_is_copied_when_it_is_wanted(source, wanted, tmp_path):
    source.history.mkdir(parents=True)
    with sqlite3.connect(source.history / "runs.db") as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE runs (id INTEGER)")
        connection.execute("INSERT INTO runs VALUES (7)")
    everything = dataclasses.replace(wanted, history=True)
    make_backup(source, tmp_path / "backup", everything, now=NOW, told=silent)
    target = platform_at(tmp_path / "restored")
    restore_backup(tmp_path / "backup", target, told=silent)
    with sqlite3.connect(target.history / "runs.db") as connection:
        assert connection.execute("SELECT id FROM runs").fetchall() == [(7,)]
