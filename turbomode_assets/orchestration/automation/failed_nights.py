"""A page for nights that failed: that is when people need one most.

Within a run a failed step takes with it all that follows, the nightly page too; so a failed run of
a night's job asks for a run of the page alone.
"""

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from turbomode_assets.orchestration.run_records import sessions_of


def failed_nights_sensor(
    watched: Sequence[UnresolvedAssetJobDefinition],
    page: UnresolvedAssetJobDefinition,
    *,
    is_on: bool,
) -> dg.SensorDefinition:
    """Build the sensor that asks for the page of the last session of a failed run."""

    @dg.run_failure_sensor(
        name="failed_nights",
        monitored_jobs=list(watched),
        request_job=page,
        default_status=dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED,
    )
    def failed_nights(context: dg.RunFailureSensorContext) -> dg.RunRequest | dg.SkipReason:
        run = context.dagster_run
        span = sessions_of(run)
        if span is None:
            return dg.SkipReason(f"run {run.run_id} of {run.job_name} is of no session")
        return dg.RunRequest(run_key=f"{page.name}:{run.run_id}", partition_key=str(span.last))

    return failed_nights
