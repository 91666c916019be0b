import dagster as dg
import pytest

from turbomode_assets.automation.schedules import nightly_schedule
from turbomode_assets.config.scheduler import TaskConfig
from turbomode_assets_tests.automation.test_partitions import at

NIGHTLY = TaskConfig(hour=22, minute=45, enabled=True)


@pytest.mark.parametrize(
    ("now", "session"),
    [
        ("2026-11-20 22:45", "2026-11-20"),
        ("2026-11-27 22:45", "2026-11-27"),
        ("2026-11-21 22:45", "2026-11-20"),
        ("2026-11-26 22:45", "2026-11-25"),
        ("2026-11-21 00:30", "2026-11-20"),
        ("2026-11-23 12:00", "2026-11-20"),
    ],
    ids=["friday", "half day", "saturday", "thanksgiving", "after midnight", "session still open"],
)
def test_a_tick_asks_for_the_session_that_closed_last(now, session):
    with (
        dg.instance_for_test() as instance,
        dg.build_schedule_context(instance, scheduled_execution_time=at(now)) as context,
    ):
        request = nightly_schedule(NIGHTLY)(context)
    assert request.partition_key == session
    assert request.run_key == f"nightly:{session}:attempt-1"


def test_the_schedule_follows_its_configuration():
    schedule = nightly_schedule(NIGHTLY)
    assert schedule.cron_schedule == "45 22 * * *"
    assert schedule.execution_timezone == "America/New_York"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    off = nightly_schedule(NIGHTLY.model_copy(update={"enabled": False}))
    assert off.default_status == dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ([dg.DagsterRunStatus.SUCCESS], "2026-11-20 has run, or is running"),
        ([dg.DagsterRunStatus.STARTED], "2026-11-20 has run, or is running"),
        ([dg.DagsterRunStatus.FAILURE], "nightly:2026-11-20:attempt-2"),
        ([dg.DagsterRunStatus.FAILURE] * 2, "nightly:2026-11-20:attempt-3"),
        ([dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS], "has run"),
    ],
)
def test_a_night_that_failed_is_tried_again_and_one_that_ran_is_not(statuses, outcome):
    with dg.instance_for_test() as instance:
        for status in statuses:
            run = dg.DagsterRun(
                job_name="nightly", status=status, tags={"dagster/partition": "2026-11-20"}
            )
            instance.add_run(run)
        saturday = at("2026-11-21 22:45")
        with dg.build_schedule_context(instance, scheduled_execution_time=saturday) as context:
            answer = nightly_schedule(NIGHTLY)(context)
    said = answer.run_key if isinstance(answer, dg.RunRequest) else answer.skip_message
    assert outcome in said
