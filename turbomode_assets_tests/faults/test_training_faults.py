"""Training that is killed on its way, and run again. Real `dagster`, real kills."""

import contextlib
import dataclasses
import datetime as dt
import json
import random
import shutil
import time

import polars as pl
import psutil
import pytest
from click.testing import CliRunner

from turbomode_assets.cli.models import models
from turbomode_assets.ensemble import load_ensemble
from turbomode_assets.ensemble.artefact import file_digests
from turbomode_assets.ensemble.step_results import FitCourse, PromotionOutcome
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Artifacts, ModelMemory
from turbomode_assets.stores.artifacts import ENSEMBLE, REPORTS
from turbomode_assets.stores.model_registry import champion_or_none, record_model
from turbomode_assets.stores.promotions import gate_decision
from turbomode_assets_tests.faults.platforms import (
    FORKSERVER,
    KILLED,
    LIBRARIES,
    Platform,
    be_dagster,
    kill_while,
)
from turbomode_assets_tests.market import AS_OF, NIGHT
from turbomode_assets_tests.stores.model_rows import performance, record_of

pytestmark = pytest.mark.slow

ELDER = "elder"
"""Champion of the night after AS_OF, whoever is trained as of AS_OF: it must stay that."""
RECORDS = ("model_metadata", "training_runs", "model_performance", "promotions")
"""Tables that name the model of each row."""
ARCHIVES = ("feature_store", "rare_events", "error_replay")
CLOCK = ("trained_at", "started_at", "finished_at", "decided_at", "dagster_run_id", "sequence")
"""Of another run, another time."""
TRAINED = SessionSpan(AS_OF, AS_OF)
ATTEMPTS = 5
PICTURES = 5
LONG_PATIENCE_SECONDS = 1800
"""Each of two dozen processes loads all libraries again."""


@pytest.fixture(scope="module")
def undisturbed(_trained_market, tmp_path_factory):
    """A market that was trained on without a kill."""
    root = tmp_path_factory.mktemp("undisturbed") / "market"
    shutil.copytree(_trained_market, root)
    return Platform(root)


@pytest.fixture
def platform(undisturbed, tmp_path):
    """The same market before its training, with a champion of another origin."""
    copy = undisturbed.copy(tmp_path / "market")
    copy.settings.memory_path.unlink()
    shutil.rmtree(copy.settings.artifacts_root)
    promoted = gate_decision(
        ELDER,
        offset_session(NIGHT, -10),
        passed=True,
        reason="all rules passed",
        rules="[]",
        shadow_sessions=10,
        at=dt.datetime(2015, 11, 17, tzinfo=dt.UTC),
    )
    record = record_of(ELDER, offset_session(NIGHT, -10))
    record_model(memory_of(copy), record, performance(), decision=promoted)
    return copy


def memory_of(platform):
    return ModelMemory(platform.settings.memory_path, platform.settings.tenant_name)


def remembered_of(platform):
    """Rows of every table that a training writes."""
    return {table: platform.memory(table) for table in (*RECORDS, *ARCHIVES)}


def versions_of(platform):
    return set(platform.memory("model_metadata")["model_version"])


def folder_of(platform, version):
    return Artifacts(platform.settings.artifacts_root).model_folder(version)


def list_models(platform, monkeypatch):
    """What `turbomode models list` prints."""
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "160")
    return CliRunner().invoke(models, ["list"], catch_exceptions=False).output


def assert_nothing_is_half_registered(platform, before, monkeypatch):
    """A model is recorded in every table, with its decision and whole files, or in none."""
    now, new = remembered_of(platform), versions_of(platform) - {ELDER}
    for table in RECORDS:
        assert set(now[table]["model_version"]) == {ELDER, *new}, table
    if not new:
        for table, rows in before.items():
            assert now[table].equals(rows), table
        assert champion_or_none(memory_of(platform), AS_OF) is None
    for version in new:
        assert load_ensemble(folder_of(platform, version) / ENSEMBLE).as_of == AS_OF
    assert champion_or_none(memory_of(platform), NIGHT).model_version == ELDER
    output = list_models(platform, monkeypatch)
    assert all(version in output for version in (ELDER, *new))


def assert_as_undisturbed(platform, undisturbed):
    """The model is the undisturbed one to the byte; so is what is recorded, but for the time."""
    (version,) = versions_of(undisturbed)
    assert versions_of(platform) == {ELDER, version}
    assert champion_or_none(memory_of(platform), AS_OF).model_version == version
    assert champion_or_none(memory_of(platform), NIGHT).model_version == ELDER
    made, expected = (file_digests(folder_of(each, version)) for each in (platform, undisturbed))
    assert made == expected
    now, quiet = remembered_of(platform), remembered_of(undisturbed)
    for table in RECORDS:
        rows = now[table].filter(pl.col("model_version") == version)
        rows, others = (each.drop(CLOCK, strict=False) for each in (rows, quiet[table]))
        assert rows.unique().sort(pl.all()).equals(others.sort(pl.all())), table
    assert now["promotions"].height == 2
    for table in ("rare_events", "error_replay"):
        assert now[table].equals(quiet[table]), table
    assert str(AS_OF) in platform.materialized("ensemble")


def written(platform, kind):
    """How many results of a kind the steps of any run have written, to their last field."""
    last = dataclasses.fields(kind)[-1].name
    benches = platform.settings.artifacts_root / "workbenches"
    # A workbench goes when its run has ended, and is emptied when one begins.
    with contextlib.suppress(FileNotFoundError):
        return len(list(benches.glob(f"*/{kind.__name__}/*/{last}*")))
    return 0


def fitting(platform):
    """Hold while some base models of a run are fitted and others are not."""
    seen = written(platform, FitCourse)
    return lambda: 2 <= written(platform, FitCourse) - seen <= 6


def ready_to_store(platform):
    """Hold once the gate has decided; nothing reads model memory between that and the record."""
    return lambda: written(platform, PromotionOutcome) > 0


def placed(platform):
    """Hold once every picture, and so every file, of the model is in its folder."""
    folders = platform.settings.artifacts_root / "models"
    return lambda: len(list(folders.glob(f"{AS_OF}-*/{REPORTS}/*.png"))) == PICTURES


def kill_before_the_record(platform, process):
    """Kill a training that has written its files, and waits for model memory to record them."""
    is_ready = ready_to_store(platform)
    while process.is_alive() and not is_ready():
        time.sleep(0.001)
    with memory_of(platform).transaction():
        return kill_while(process, placed(platform))


def start_job(platform):
    """Start the job `train`, which runs each step in a process of its own."""
    FORKSERVER.set_forkserver_preload(LIBRARIES)
    arguments = ["job", "execute", "-m", "turbomode_assets", "-j", "train"]
    arguments += ["--tags", json.dumps({"dagster/partition": str(AS_OF)})]
    process = FORKSERVER.Process(
        target=be_dagster, args=(arguments, platform.environment, platform.root, None)
    )
    process.start()
    return process


def kill_all(process):
    """Kill a process and the steps that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        steps = psutil.Process(process.pid).children(recursive=True)
        for each in (psutil.Process(process.pid), *steps):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(steps)
    process.join()


def test_a_training_that_dies_leaves_no_half_of_a_model_and_a_rerun_makes_the_same(
    platform, undisturbed, monkeypatch
):
    """It dies while models are fitted, and again when files are written but not recorded."""
    before = remembered_of(platform)
    process = platform.start(["ensemble"], TRAINED)
    assert kill_while(process, fitting(platform))
    assert platform.finish(process) == KILLED
    assert_nothing_is_half_registered(platform, before, monkeypatch)
    process = platform.start(["ensemble"], TRAINED)
    assert kill_before_the_record(platform, process)
    assert platform.finish(process) == KILLED
    assert versions_of(platform) == {ELDER}
    assert_nothing_is_half_registered(platform, before, monkeypatch)
    assert str(AS_OF) not in platform.materialized("ensemble")
    assert platform.finish(platform.start(["ensemble"], TRAINED)) == 0
    assert_as_undisturbed(platform, undisturbed)


def test_a_training_killed_at_random_again_and_again_is_whole_and_completed_by_a_rerun(
    platform, undisturbed, monkeypatch
):
    before, chance = remembered_of(platform), random.Random(20151201)
    started = time.monotonic()
    assert platform.finish(platform.copy(platform.root / "quiet").start(["ensemble"], TRAINED)) == 0
    seconds = time.monotonic() - started
    for _ in range(ATTEMPTS):
        process = platform.start(["ensemble"], TRAINED)
        time.sleep(seconds * chance.uniform(0.3, 1.0))
        process.kill()
        platform.finish(process)
        assert_nothing_is_half_registered(platform, before, monkeypatch)
    assert platform.finish(platform.start(["ensemble"], TRAINED)) == 0
    assert_as_undisturbed(platform, undisturbed)


def test_the_job_of_many_processes_killed_among_its_fits_makes_the_same_model_in_the_end(
    platform, undisturbed, monkeypatch
):
    before = remembered_of(platform)
    process, moment = start_job(platform), fitting(platform)
    while process.is_alive() and not moment():
        time.sleep(0.01)
    kill_all(process)
    assert process.exitcode == KILLED
    assert_nothing_is_half_registered(platform, before, monkeypatch)
    again = start_job(platform)
    again.join(LONG_PATIENCE_SECONDS)
    assert again.exitcode == 0, (platform.root / "output.txt").read_text(encoding="utf-8")[-3000:]
    assert_as_undisturbed(platform, undisturbed)
