"""Old runs of a real instance: packed, and forgotten only where nothing was made by them."""

import datetime as dt
import json
import tarfile
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from turbomode_assets.orchestration.resources.event_log import QuickSqliteEventLogStorage
from turbomode_assets.orchestration.resources.run_archive import archive_runs

DAYS = dg.StaticPartitionsDefinition(["one", "two", "three"])
LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=31)


@dg.asset(partitions_def=DAYS)
def made(context):
    print(f"made {context.partition_key}")


@dg.asset(partitions_def=DAYS)
def broken():
    raise ValueError("refused")


@pytest.fixture
def instance(tmp_path):
    storage = {
        "event_log_storage": {
            "module": "turbomode_assets.orchestration.resources.event_log",
            "class": "QuickSqliteEventLogStorage",
            "config": {"base_dir": str(tmp_path / "history")},
        },
        "run_storage": {
            "module": "dagster._core.storage.runs",
            "class": "SqliteRunStorage",
            "config": {"base_dir": str(tmp_path / "runs")},
        },
        "compute_logs": {
            "module": "dagster._core.storage.local_compute_log_manager",
            "class": "LocalComputeLogManager",
            "config": {"base_dir": str(tmp_path / "storage")},
        },
    }
    with dg.instance_for_test(overrides=storage) as instance:
        assert isinstance(instance.event_log_storage, QuickSqliteEventLogStorage)
        assert isinstance(instance.compute_log_manager, LocalComputeLogManager)
        yield instance


def run(instance, asset, key):
    result = dg.materialize([asset], partition_key=key, instance=instance, raise_on_error=False)
    return result.run_id


def members(path):
    with tarfile.open(path) as archive:
        return {
            member.name: archive.extractfile(member).read().decode()
            for member in archive.getmembers()
            if member.isfile()
        }


def test_a_run_that_made_something_is_packed_and_stays(instance, tmp_path):
    run_id = run(instance, made, "one")
    before = instance.get_materialized_partitions(made.key)
    archived = archive_runs(instance, tmp_path / "archive", ended_before=LATER)
    assert (archived.packed, archived.deleted) == (1, 0)
    assert instance.get_materialized_partitions(made.key) == before == {"one"}
    assert instance.has_run(run_id)
    packed = members(tmp_path / "archive" / f"{run_id}.tar.gz")
    assert json.loads(packed["run.json"])["run_id"] == run_id
    assert "ASSET_MATERIALIZATION" in packed["events.jsonl"]
    assert any("made one" in text for name, text in packed.items() if name.startswith("printed/"))


def test_what_steps_printed_leaves_the_instance(instance, tmp_path):
    run_id = run(instance, made, "one")
    folder = Path(tmp_path / "storage" / run_id)
    assert list(folder.rglob("*.out"))
    archive_runs(instance, tmp_path / "archive", ended_before=LATER)
    assert not folder.exists()


def test_a_run_that_made_nothing_is_packed_and_forgotten(instance, tmp_path):
    kept, failed = run(instance, made, "two"), run(instance, broken, "two")
    database = Path(instance.event_log_storage.path_for_shard(failed))
    assert database.is_file()
    archived = archive_runs(instance, tmp_path / "archive", ended_before=LATER)
    assert (archived.packed, archived.deleted) == (2, 1)
    assert instance.has_run(kept)
    assert not instance.has_run(failed)
    assert not database.exists()
    assert "refused" in members(tmp_path / "archive" / f"{failed}.tar.gz")["events.jsonl"]
    assert instance.get_materialized_partitions(made.key) == {"two"}
    assert instance.all_logs(kept)


def test_a_second_look_packs_nothing_again(instance, tmp_path):
    run(instance, made, "one")
    archive_runs(instance, tmp_path / "archive", ended_before=LATER)
    again = archive_runs(instance, tmp_path / "archive", ended_before=LATER)
    assert (again.packed, again.deleted) == (0, 0)


def test_young_runs_and_runs_under_way_are_left_alone(instance, tmp_path):
    run(instance, made, "one")
    instance.create_run_for_job(
        dg.define_asset_job("job").resolve(
            asset_graph=dg.Definitions([made]).resolve_asset_graph()
        ),
        status=dg.DagsterRunStatus.STARTED,
    )
    young = archive_runs(
        instance,
        tmp_path / "archive",
        ended_before=dt.datetime.now(dt.UTC) - dt.timedelta(days=30),
    )
    assert (young.packed, young.deleted) == (0, 0)
    assert archive_runs(instance, tmp_path / "archive", ended_before=LATER).packed == 1


def test_a_broken_off_packing_is_done_again(instance, tmp_path):
    run_id = run(instance, made, "one")
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / f".{run_id}.tar.gz.partial-1").write_bytes(b"half")
    archive_runs(instance, tmp_path / "archive", ended_before=LATER)
    assert "run.json" in members(tmp_path / "archive" / f"{run_id}.tar.gz")
