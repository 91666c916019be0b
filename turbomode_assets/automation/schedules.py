"""When jobs run by themselves."""

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG

from turbomode_assets.automation.jobs import nightly
from turbomode_assets.config.scheduler import NightlyConfig
from turbomode_assets.sessions import NEW_YORK, last_closed_session


def nightly_schedule(config: NightlyConfig) -> dg.ScheduleDefinition:
    """Run the nightly job for the session that closed last before the scheduled time.

    After midnight that is still the session of the evening before. On weekends and holidays it has
    run already, and is run again only if it did not succeed: the run key counts the attempts.
    """

    @dg.schedule(
        job=nightly,
        name="nightly",
        cron_schedule=f"{config.minute} {config.hour} * * *",
        execution_timezone=NEW_YORK,
        default_status=(
            dg.DefaultScheduleStatus.RUNNING if config.enabled else dg.DefaultScheduleStatus.STOPPED
        ),
    )
    def nightly_tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        session = last_closed_session(context.scheduled_execution_time)
        tags = {PARTITION_NAME_TAG: session.isoformat()}
        earlier = context.instance.get_runs(dg.RunsFilter(job_name=nightly.name, tags=tags))
        if any(not run.is_failure_or_canceled for run in earlier):
            return dg.SkipReason(f"{session} has run, or is running")
        key = f"nightly:{session}:attempt-{len(earlier) + 1}"
        return dg.RunRequest(run_key=key, partition_key=session.isoformat())

    return nightly_tick
