"""Failures and what later runs left of them, over plain records."""

import datetime as dt
import itertools

import pytest

from turbomode_assets.runs.failures import left_undone, unrepaired
from turbomode_assets.runs.records import RunRecord, RunStatus, done_spans, is_done
from turbomode_assets.sessions import SessionSpan
from turbomode_assets_tests.runs.nights import at, day

BAD, CANCELED = RunStatus.FAILURE, RunStatus.CANCELED
MONDAY, TUESDAY, FRIDAY = day("2017-11-06"), day("2017-11-07"), day("2017-11-10")
FRIDAY_NIGHT = at("2017-11-10 23:30")


@pytest.fixture
def record():
    """Records numbered in the order in which they are made."""
    numbers = itertools.count(1)

    def made(
        job: str,
        *assets: str,
        first: dt.date | None = FRIDAY,
        last: dt.date | None = None,
        status: RunStatus = RunStatus.SUCCESS,
        only: str | None = None,
        asked: dt.datetime = FRIDAY_NIGHT,
    ) -> RunRecord:
        number = next(numbers)
        return RunRecord(
            run_id=str(number),
            number=number,
            job=job,
            assets=frozenset(assets),
            restricted_to=None if only is None else frozenset({only}),
            sessions=SessionSpan(first, last or first) if first else None,
            status=status,
            created_at=asked,
            asked_at=asked,
        )

    return made


def test_a_run_did_an_asset_only_if_it_succeeded_was_to_make_it_and_covers_the_session(record):
    run = record("rederive", "bars", first=MONDAY, last=TUESDAY)
    assert run.did("bars", MONDAY)
    assert run.did("bars", TUESDAY)
    assert not run.did("bars", FRIDAY)
    assert not run.did("labels", MONDAY)
    assert not record("rederive", "bars", status=BAD).did("bars", FRIDAY)
    assert not record("rederive", "bars", status=CANCELED).did("bars", FRIDAY)
    assert not record("rederive", "bars", status=RunStatus.STARTED).did("bars", FRIDAY)


def test_an_asset_without_partitions_is_made_for_every_session_closed_when_it_was_asked(record):
    run = record("__ASSET_JOB", "splits", first=None, asked=at("2017-11-07 23:30"))
    assert run.did("splits", MONDAY)
    assert run.did("splits", TUESDAY)
    assert not run.did("splits", day("2017-11-08"))


def test_a_task_is_done_where_different_runs_made_each_of_its_assets(record):
    runs = [
        record("a", "bars", first=MONDAY, last=FRIDAY),
        record("b", "labels", first=TUESDAY, last=day("2017-11-08")),
        record("c", "labels"),
    ]
    assert is_done(runs, ["bars", "labels"], TUESDAY)
    assert not is_done(runs, ["bars", "labels"], MONDAY)
    assert done_spans(runs, ["bars", "labels"]) == [
        SessionSpan(TUESDAY, day("2017-11-08")),
        SessionSpan(FRIDAY, FRIDAY),
    ]


def test_what_no_later_run_made_is_named_and_what_was_made_is_not(record):
    failed = record("rederive", "bars", "features", first=MONDAY, last=FRIDAY, status=BAD)
    bars = record("__ASSET_JOB", "bars", first=TUESDAY, last=day("2017-11-08"))
    assert str(left_undone(failed, [])) == "all of it"
    assert str(left_undone(failed, [bars])) == (
        "bars of 2017-11-06, 2017-11-09...2017-11-10; features of 2017-11-06...2017-11-10"
    )
    whole = record("nightly", "bars", "features", first=MONDAY, last=FRIDAY)
    assert not left_undone(failed, [bars, whole])


def test_a_run_before_the_failure_and_one_that_failed_repair_nothing(record):
    before = record("nightly", "bars")
    failed = record("nightly", "bars", status=BAD)
    again = record("nightly", "bars", status=BAD)
    (failure,) = unrepaired([again, failed, before])
    assert failure.attempts == (failed, again)
    assert failure.latest is again
    assert str(failure.undone) == "all of it"


@pytest.mark.parametrize("part", ["ensemble.fit", "ensemble:is_calibrated"])
def test_a_step_or_check_that_failed_alone_is_repaired_by_a_whole_run_of_its_job(record, part):
    failed = record("train", part, only=part, status=BAD)
    assert str(left_undone(failed, [])) == "all of it"
    elsewhere = record("train", "ensemble", first=MONDAY)
    other = record("scanner", "signals")
    another_step = record("train", "ensemble.gate", only="step ensemble.gate")
    assert left_undone(failed, [elsewhere, other, another_step]).is_whole
    assert not left_undone(failed, [record("train", "ensemble")])
    assert not left_undone(failed, [record("train", part, only=part)])


def test_a_step_that_succeeds_alone_does_not_repair_the_job(record):
    failed = record("train", "ensemble", status=BAD)
    step = record("train", "ensemble.fit", only="step ensemble.fit")
    assert str(left_undone(failed, [step])) == "all of it"


def test_a_whole_run_does_not_stand_for_an_asset_that_it_does_not_make(record):
    """Who follows the master since makes no candles by his nightly."""
    failed = record("nightly", "raw_candles", only="raw_candles", status=BAD)
    assert left_undone(failed, [record("nightly", "bars")]).is_whole
