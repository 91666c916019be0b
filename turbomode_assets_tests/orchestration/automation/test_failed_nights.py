"""A failed night asks for its page, of the session that failed."""

import dagster as dg

from turbomode_assets.nightly.pages import NightlyPages
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.stores import Artifacts
from turbomode_assets_tests.builders import small_settings
from turbomode_assets_tests.market import NIGHT

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def failed_run(definitions, instance, tags):
    job = definitions.resolve_job_def("scanner")
    return job.execute_in_process(
        instance=instance, run_config=QUIET, tags=tags, raise_on_error=False
    )


def asked_for(definitions, instance, result):
    sensor = definitions.resolve_sensor_def("failed_nights")
    (event,) = [event for event in result.all_events if event.is_run_failure]
    context = dg.build_run_status_sensor_context(
        "failed_nights", event, instance, result.dagster_run
    ).for_run_failure()
    return sensor(context)


def test_a_failed_run_asks_for_the_page_of_its_last_session(tmp_path):
    settings = small_settings(tmp_path)
    definitions = build(settings)
    ends = {
        "dagster/asset_partition_range_start": str(NIGHT),
        "dagster/asset_partition_range_end": str(NIGHT),
    }
    with dg.DagsterInstance.ephemeral() as instance:
        for tags in (ends, {"dagster/partition": str(NIGHT)}):
            result = failed_run(definitions, instance, tags)
            assert not result.success
            request = asked_for(definitions, instance, result)
            assert request.partition_key == str(NIGHT)
            assert request.run_key == f"page:{result.dagster_run.run_id}"
        written = definitions.resolve_job_def("page").execute_in_process(
            instance=instance, run_config=QUIET, partition_key=request.partition_key
        )
    assert written.success
    page = NightlyPages(Artifacts(settings.artifacts_root)).page(NIGHT).read_text(encoding="utf-8")
    assert "Run scanner of" in page
    assert "There are no signals" in page


def test_it_watches_every_job_of_a_night_and_never_the_page_itself(tmp_path):
    definitions = build(small_settings(tmp_path))
    sensor = definitions.resolve_sensor_def("failed_nights")
    watched = {job.name for job in sensor._monitored_jobs}
    assert {"ingestion", "train", "scanner", "drift_monitor", "nightly"} <= watched
    assert "page" not in watched
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
