"""Who may be handed the keeper of the tables, and what it does when a store refuses."""

import datetime as dt
import os
import shutil
import threading
import time

import dagster as dg
import pytest

from turbomode_assets.contracts.errors import ReadOnlyError, StoreError
from turbomode_assets.ingestion.fetched import MASTER_WRITER_KEY
from turbomode_assets.maintenance.weekly import (
    MASTER_LEASE,
    master_lease_owner,
    remove_workbenches,
    space_by_store,
)
from turbomode_assets.orchestration.definitions import build_resources, guarded
from turbomode_assets.orchestration.partitions import SESSIONS
from turbomode_assets.orchestration.resources.keeper import (
    KEEPER_KEY,
    InstanceHistory,
    KeeperResource,
)
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Artifacts, MasterReader
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets.stores.operations import Operations
from turbomode_assets_tests.builders import make_candles, small_settings

NOW = dt.datetime.now(dt.UTC)
DAY = dt.date(2015, 12, 1)
ONE = SessionSpan(DAY, DAY)


@pytest.fixture
def settings(tmp_path):
    """A master in which one session of candles was replaced three times."""
    settings = small_settings(tmp_path)
    writer = MasterWriter(settings.master_root)
    for close in (10.0, 11.0, 12.0):
        candles = make_candles(["AAA"], ONE, close=close)
        writer.replace("candles", candles, span=ONE, symbols=["AAA"], caller="test")
    return settings


def maintain(settings):
    said = []
    with dg.instance_for_test() as instance:
        result = KeeperResource(settings=settings).maintain(instance, NOW, said.append)
    return result, said


def test_only_the_asset_maintenance_is_handed_the_keeper(settings):
    @dg.asset(required_resource_keys={KEEPER_KEY})
    def signals():
        """Asks for what it has no use for."""

    @dg.asset(partitions_def=SESSIONS)
    def bars(keeper: KeeperResource):
        """Asks for it by type."""

    @dg.asset(required_resource_keys={"other"})
    def labels():
        """Asks for it under another key."""

    @dg.asset
    def maintenance(keeper: KeeperResource):
        """The one that may."""

    resources = build_resources(settings)
    for rogue in (signals, bars):
        with pytest.raises(ReadOnlyError, match="these could write the master store"):
            guarded(dg.Definitions([rogue], resources=resources))
    hidden = resources | {"other": KeeperResource(settings=settings)}
    with pytest.raises(ReadOnlyError, match="resource other"):
        guarded(dg.Definitions([labels], resources=hidden))
    guarded(dg.Definitions([maintenance], resources=resources))


def test_a_writer_under_the_keepers_key_is_no_keeper(settings):
    resources = build_resources(settings)
    writer = resources[MASTER_WRITER_KEY]

    @dg.asset(io_manager_key=KEEPER_KEY, partitions_def=SESSIONS)
    def maintenance():
        """Its rows would go into the master."""

    with pytest.raises(ReadOnlyError, match="resource keeper"):
        guarded(dg.Definitions([maintenance], resources=resources | {KEEPER_KEY: writer}))

    @dg.asset(name="maintenance", resource_defs={KEEPER_KEY: writer}, io_manager_key=KEEPER_KEY)
    def with_its_own():
        """The same, brought along."""

    del resources[KEEPER_KEY]
    with pytest.raises(ReadOnlyError, match="resource of maintenance keeper"):
        guarded(dg.Definitions([with_its_own], resources=resources))


def test_a_master_of_which_a_tenants_needs_are_not_known_loses_no_file(settings):
    other = settings.root / "memory" / "beta" / "turbomode.duckdb"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"no database" * 1000)
    result, said = maintain(settings)
    (note,) = result.notes
    assert note.startswith("nothing of the master was removed")
    assert "beta: model memory cannot be read" in note
    assert any(line.startswith("master/candles") and "removed" not in line for line in said)
    result.raise_failures()


def test_a_master_that_another_tenant_maintains_is_left_to_it(settings):
    operations = Operations(settings.operations_url)
    assert operations.try_lease(MASTER_LEASE, "the other", 3_600)
    result, said = maintain(settings)
    assert result.notes == ["the master is being maintained by another tenant"]
    assert said == []


def test_the_lease_of_a_tenants_own_killed_maintenance_does_not_keep_it_from_the_master(settings):
    operations = Operations(settings.operations_url)
    assert operations.try_lease(MASTER_LEASE, master_lease_owner(settings.tenant_name), 3_600)
    result, said = maintain(settings)
    assert result.notes == []
    assert any(line.startswith("master/candles") for line in said)


def test_the_lease_is_given_back(settings):
    maintain(settings)
    assert Operations(settings.operations_url).try_lease(MASTER_LEASE, "the next", 1)


def test_one_table_that_refuses_does_not_stop_the_others_and_fails_the_run(settings):
    writer = MasterWriter(settings.master_root)
    writer.append("audits", writer.contract("audits").empty(), caller="test")
    log = next((settings.root / "master" / "candles" / "_delta_log").glob("*1.json"))
    log.write_text("no log", encoding="utf-8")
    result, said = maintain(settings)
    assert any(line.startswith("master/audits") for line in said)
    with pytest.raises(StoreError, match="table candles cannot be opened"):
        result.raise_failures()


def test_files_that_a_killed_run_left_half_written_go_when_they_are_old(settings):
    artifacts = settings.artifacts_root
    for name in ("models/m1/.ensemble.partial-1/deep/.file", "models/m2/.ensemble.partial-2/file"):
        (artifacts / name).parent.mkdir(parents=True)
        (artifacts / name).write_text("half", encoding="utf-8")
    then = time.time() - 30 * 86_400
    for path in (artifacts / "models" / "m1").rglob("*"):
        os.utime(path, (then, then))
    result, _ = maintain(settings)
    assert result.figures["partial_files_removed"] >= 1
    assert not list((artifacts / "models" / "m1").iterdir())
    assert (artifacts / "models" / "m2" / ".ensemble.partial-2" / "file").is_file()


def test_workbenches_of_ended_and_of_killed_runs_go_and_a_running_ones_stays(settings):
    artifacts = Artifacts(settings.artifacts_root)
    job = dg.define_asset_job("job")
    graph = dg.Definitions([_made]).resolve_asset_graph()
    with dg.instance_for_test() as instance:
        ids = {
            name: instance.create_run_for_job(job.resolve(asset_graph=graph), status=status).run_id
            for name, status in (
                ("failed", dg.DagsterRunStatus.FAILURE),
                ("killed", dg.DagsterRunStatus.STARTED),
                ("running", dg.DagsterRunStatus.STARTED),
            )
        }
        for run_id in [*ids.values(), "unknown"]:
            artifacts.workbench(run_id).mkdir(parents=True)
        then = time.time() - 30 * 86_400
        for run_id in (ids["killed"], "unknown"):
            os.utime(artifacts.workbench(run_id), (then, then))
        assert (
            remove_workbenches(InstanceHistory(instance), artifacts, NOW - dt.timedelta(days=7))
            == 3
        )
    assert artifacts.workbenches() == [ids["running"]]


@dg.asset
def _made():
    """Something to run."""


def test_an_instance_without_sensors_has_no_cursors():
    assert InstanceHistory(dg.DagsterInstance.ephemeral()).revision_cursors() == set()


def test_maintenance_changes_no_row(settings):
    before = MasterReader(settings.master_root).read("candles", caller="test").rows
    maintain(settings)
    assert MasterReader(settings.master_root).read("candles", caller="test").rows.equals(before)


def test_folders_that_others_remove_meanwhile_hinder_nothing(settings):
    artifacts, stop = Artifacts(settings.artifacts_root), threading.Event()

    def come_and_go():
        while not stop.is_set():
            inner = artifacts.workbench("run") / "step"
            inner.mkdir(parents=True)
            (inner / ".half").write_text("x", encoding="utf-8")
            shutil.rmtree(artifacts.workbench("run"))

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(300):
            assert artifacts.remove_partial(NOW - dt.timedelta(days=365)) == 0
            assert artifacts.finished_files() == []
            assert space_by_store(settings)["master"] > 0
    finally:
        stop.set()
        other.join()
