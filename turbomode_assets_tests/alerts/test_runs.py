"""What a real run storage says has failed: runs, and looks of sensors."""

import datetime as dt
import uuid

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus, TickData, TickStatus
from dagster_shared.error import SerializableErrorInfo

from turbomode_assets.alerts.runs import failed_runs, failing_sensors
from turbomode_assets.orchestration.run_sources import run_sources
from turbomode_assets_tests.runs.run_storage import add, only, run_storage, shipped
from turbomode_assets_tests.runs.sensor_states import turn

FRIDAY, MONDAY = dt.date(2017, 11, 10), dt.date(2017, 11, 13)
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
HOUR = dt.timedelta(hours=1)
ANEW = {"parent_run_id": str(uuid.UUID(int=1)), "root_run_id": str(uuid.UUID(int=1))}


@pytest.fixture
def instance(tmp_path):
    with run_storage(tmp_path) as instance:
        yield instance


def known(instance):
    return run_sources(instance, ingests=True)


def failures(instance, *enabled):
    return list(failed_runs(known(instance), shipped(*enabled), dt.datetime.now(dt.UTC)))


class TestFailures:
    def test_a_failed_run_is_told_until_the_same_work_succeeds(self, instance):
        assert failures(instance) == []
        add(instance, "scanner", FRIDAY, status=FAILURE)
        (told,) = failures(instance)
        assert (told.fingerprint, told.severity) == ("run:scanner:2017-11-10", "warning")
        assert told.title == "scanner of 2017-11-10 failed"
        add(instance, "scanner", MONDAY)
        assert len(failures(instance)) == 1
        add(instance, "scanner", FRIDAY)
        assert failures(instance) == []

    def test_is_critical_once_the_attempts_are_used_up(self, instance):
        for _ in range(2):
            add(instance, "scanner", FRIDAY, status=FAILURE)
        assert failures(instance)[0].severity == "warning"
        add(instance, "scanner", FRIDAY, status=FAILURE)
        (told,) = failures(instance)
        assert (told.severity, told.title) == (
            "critical",
            "scanner of 2017-11-10 failed 3 times",
        )

    def test_a_night_as_a_whole_does_the_work_of_its_tasks_and_they_that_of_a_night(self, instance):
        add(instance, "scanner", FRIDAY, status=FAILURE)
        add(instance, "nightly", FRIDAY)
        assert failures(instance) == []
        add(instance, "nightly", MONDAY, status=FAILURE)
        add(instance, "ingestion", MONDAY)
        assert [each.fingerprint for each in failures(instance)] == ["run:nightly:2017-11-13"]
        for job in ("scanner", "backtest_generator", "drift_monitor"):
            assert len(failures(instance)) == 1
            add(instance, job, MONDAY)
        assert failures(instance) == []

    def test_a_range_does_the_work_of_a_session_and_no_shorter_range_that_of_a_longer(
        self, instance
    ):
        add(instance, "backfill", FRIDAY, MONDAY, status=FAILURE)
        add(instance, "backfill", MONDAY)
        (told,) = failures(instance)
        assert told.fingerprint == "run:backfill:2017-11-10...2017-11-13"
        add(instance, "backfill", dt.date(2017, 11, 6), MONDAY)
        assert failures(instance) == []

    def test_assets_picked_by_hand_are_named_and_done_by_a_run_with_them(self, instance):
        def pick(status, *names):
            keys = frozenset(dg.AssetKey(name) for name in names)
            add(instance, "__ASSET_JOB", FRIDAY, status=status, asset_selection=keys)

        pick(FAILURE, "bars", "features")
        pick(SUCCESS, "bars")
        (told,) = failures(instance)
        assert told.fingerprint == "run:bars,_features:2017-11-10"
        pick(SUCCESS, "bars", "features", "labels")
        assert failures(instance) == []

    @pytest.mark.parametrize(
        "part",
        [only("raw_candles", "audit"), {"step_keys_to_execute": ["labels"], **ANEW}],
        ids=["some assets", "a step anew"],
    )
    def test_a_part_that_succeeds_or_fails_does_not_do_the_work_of_a_whole(self, instance, part):
        add(instance, "ingestion", FRIDAY, status=FAILURE)
        add(instance, "ingestion", FRIDAY, status=SUCCESS, **part)
        add(instance, "ingestion", FRIDAY, status=FAILURE, **part)
        whole, restricted = failures(instance)
        assert whole.title == "ingestion of 2017-11-10 failed"
        assert restricted.title.startswith("ingestion (")
        add(instance, "ingestion", FRIDAY, status=SUCCESS, **part)
        assert failures(instance) == [whole]
        add(instance, "ingestion", FRIDAY, status=FAILURE, **part)
        add(instance, "ingestion", FRIDAY)
        assert failures(instance) == []

    def test_a_night_as_a_whole_does_a_part_of_a_task(self, instance):
        add(instance, "scanner", FRIDAY, status=FAILURE, **only("signals"))
        add(instance, "backfill", FRIDAY)
        assert len(failures(instance)) == 1
        add(instance, "nightly", FRIDAY)
        assert failures(instance) == []

    def test_a_job_of_no_task_is_done_by_a_run_of_all_that_the_failed_one_was_to_make(
        self, instance
    ):
        @dg.asset
        def one():
            raise ValueError

        @dg.asset
        def two():
            raise ValueError

        job = dg.define_asset_job("extra", selection="*")
        extra = dg.Definitions([one, two], jobs=[job]).resolve_job_def("extra")
        extra.execute_in_process(instance=instance, raise_on_error=False)
        add(instance, "extra", **only("one"))
        assert [each.fingerprint for each in failures(instance)] == ["run:extra"]
        add(instance, "extra", **only("one", "two"))
        assert failures(instance) == []

    def test_success_begins_the_count_of_failures_anew(self, instance):
        for status in (FAILURE, FAILURE, SUCCESS, FAILURE):
            add(instance, "scanner", FRIDAY, status=status)
        (told,) = failures(instance)
        assert (told.severity, told.title) == ("warning", "scanner of 2017-11-10 failed")

    def test_tags_that_name_no_sessions_keep_nothing_from_being_told(self, instance):
        add(instance, "ingestion", FRIDAY, dt.date(2017, 11, 1), status=FAILURE)
        add(instance, "scanner", "2017-11-31", status=FAILURE)
        add(instance, "scanner", FRIDAY, status=FAILURE)
        assert [each.fingerprint for each in failures(instance)] == [
            "run:ingestion",
            "run:scanner",
            "run:scanner:2017-11-10",
        ]
        add(instance, "ingestion", "junk", "1871-01-02")
        assert "run:ingestion" not in [each.fingerprint for each in failures(instance)]

    def test_the_reason_is_that_of_the_step(self, instance):
        @dg.op
        def refuse():
            raise dg.Failure("3 sessions have no bar\n  where: bars\n  fix: ingest")

        @dg.op
        def crash():
            raise ZeroDivisionError("of all things")

        for body in (refuse, crash):
            job = dg.GraphDefinition(name=f"j_{body.name}", node_defs=[body]).to_job()
            job.execute_in_process(instance=instance, raise_on_error=False)
        add(instance, "killed", FRIDAY, status=FAILURE)
        told = {each.fingerprint: each.detail for each in failures(instance)}
        assert told == {
            "run:j_refuse": "step refuse: 3 sessions have no bar",
            "run:j_crash": "step crash: ZeroDivisionError: of all things",
            "run:killed:2017-11-10": "it left no reason: its process may have been killed",
        }

    def test_old_failures_are_forgotten(self, instance):
        add(instance, "scanner", FRIDAY, status=FAILURE)
        later = dt.datetime.now(dt.UTC) + dt.timedelta(days=7, minutes=1)
        assert list(failed_runs(known(instance), shipped(), later)) == []


class TestSensors:
    def tick(self, instance, state, status, words=None, age=0 * HOUR):
        error = SerializableErrorInfo(words, [], "ConfigurationError") if words else None
        instance.create_tick(
            TickData(
                state.instigator_origin_id,
                state.instigator_name,
                InstigatorType.SENSOR,
                status,
                (dt.datetime.now(dt.UTC) - age).timestamp(),
                error=error,
                selector_id=state.selector_id,
            )
        )

    def failing(self, instance):
        found = failing_sensors(known(instance), shipped("ingestion"), dt.datetime.now(dt.UTC))
        return [(each.fingerprint, each.severity, each.detail) for each in found]

    def test_a_sensor_whose_last_look_failed_is_told_with_its_error(self, instance):
        task = turn(instance, "ingestion", InstigatorStatus.DECLARED_IN_CODE)
        other = turn(instance, "freshness", InstigatorStatus.RUNNING)
        for state in (task, other):
            self.tick(instance, state, TickStatus.FAILURE, "no data root\n  where: here")
        assert self.failing(instance) == [
            ("sensor:freshness", "warning", "no data root"),
            ("sensor:ingestion", "critical", "no data root"),
        ]
        self.tick(instance, task, TickStatus.SKIPPED)
        assert [name for name, *_ in self.failing(instance)] == ["sensor:freshness"]

    def test_sensors_that_are_off_or_failed_long_ago_are_not_told(self, instance):
        off = turn(instance, "revisions", InstigatorStatus.STOPPED)
        self.tick(instance, off, TickStatus.FAILURE, "x")
        old = turn(instance, "freshness", InstigatorStatus.RUNNING)
        self.tick(instance, old, TickStatus.FAILURE, "x", age=8 * 24 * HOUR)
        assert self.failing(instance) == []
