"""Runs as Dagster stores them, read as plain records."""

import datetime as dt

import dagster as dg
import pytest

from turbomode_assets.orchestration.run_records import DagsterRunHistory
from turbomode_assets.runs import tasks
from turbomode_assets.runs.failures import unrepaired
from turbomode_assets_tests.runs.nights import day
from turbomode_assets_tests.runs.run_storage import add, only

BAD = dg.DagsterRunStatus.FAILURE
FRIDAY = day("2017-11-10")
EVER = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def instance():
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def history(instance):
    return DagsterRunHistory(instance, ingests=True)


def undone(history):
    return {each.name: str(each.undone) for each in unrepaired(history.created_since(EVER))}


def test_every_former_name_of_a_job_leads_to_one_that_exists():
    jobs = {job.name for job in tasks.JOBS}
    assert set(tasks.FORMER_JOBS.values()) <= jobs
    assert not set(tasks.FORMER_JOBS) & jobs


def test_runs_under_a_former_name_are_runs_of_todays_job(instance, history, monkeypatch):
    monkeypatch.setattr(tasks, "FORMER_JOBS", {"training_job": "train"})
    old = add(instance, "training_job", FRIDAY, status=BAD)
    waiting = add(instance, "training_job", FRIDAY, status=dg.DagsterRunStatus.STARTED)
    assert undone(history) == {"train": "all of it"}
    oldest = history.oldest("train")
    assert (oldest.run_id, oldest.job, oldest.assets) == (old.run_id, "train", {"ensemble"})
    assert [run.run_id for run in history.unfinished("train")] == [waiting.run_id]
    new = add(instance, "train", FRIDAY)
    assert undone(history) == {}
    assert [run.run_id for run in history.newest_first("train")] == [
        new.run_id,
        waiting.run_id,
        old.run_id,
    ]


def test_a_restricted_run_makes_what_it_was_restricted_to(instance, history):
    add(instance, "nightly", FRIDAY, **only("bars"))
    (run,) = history.of_session(FRIDAY)
    assert (run.name, run.assets, run.restricted_to) == ("nightly (bars)", {"bars"}, {"bars"})


def test_a_step_executed_again_that_fails_is_repaired_once_the_whole_job_succeeds(
    instance, history
):
    first = add(instance, "train", FRIDAY, status=BAD)
    lineage = {"parent_run_id": first.run_id, "root_run_id": first.run_id}
    add(instance, "train", FRIDAY, status=BAD, step_keys_to_execute=["ensemble.fit"], **lineage)
    assert undone(history) == {"train": "all of it", "train (step ensemble.fit)": "all of it"}
    add(instance, "train", FRIDAY)
    assert undone(history) == {}


def test_a_run_with_tags_that_name_no_session_keeps_nobody_from_reading(instance, history):
    run = dg.DagsterRun("nightly", tags={"dagster/partition": "no day"})
    instance.add_run(run)
    add(instance, "nightly", FRIDAY)
    assert [each.sessions is None for each in history.created_since(EVER)] == [False, True]
