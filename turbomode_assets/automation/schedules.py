"""When jobs run by themselves."""

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG

from turbomode_assets.automation.jobs import nightly, train
from turbomode_assets.config.scheduler import TaskConfig
from turbomode_assets.resources.retraining import cause_at
from turbomode_assets.resources.settings import SettingsResource
from turbomode_assets.sessions import NEW_YORK, last_closed_session


def nightly_schedule(config: TaskConfig) -> dg.ScheduleDefinition:
    """Run the nightly job for the session that closed last before the scheduled time.

    After midnight that is still the session of the evening before. On weekends and holidays it has
    run already, and is run again only if it did not succeed: the run key counts the attempts.
    """

    @dg.schedule(
        job=nightly,
        name="nightly",
        cron_schedule=f"{config.minute} {config.hour} * * *",
        execution_timezone=NEW_YORK,
        default_status=_status(config),
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


def training_schedule(config: TaskConfig, settings: SettingsResource) -> dg.ScheduleDefinition:
    """Train as of the session that closed last, if the retraining policy says that it is due.

    Features and labels of that session must be there. The cause goes into the run's configuration,
    and from there into the record.
    """

    @dg.schedule(
        job=train,
        name="training",
        cron_schedule=f"{config.minute} {config.hour} * * *",
        execution_timezone=NEW_YORK,
        default_status=_status(config),
    )
    def training_tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        session = last_closed_session(context.scheduled_execution_time)
        tags = {PARTITION_NAME_TAG: session.isoformat()}
        for name in ("features", "labels"):
            if str(session) not in context.instance.get_materialized_partitions(dg.AssetKey(name)):
                return dg.SkipReason(f"{name} of {session} have not been materialized")
        earlier = context.instance.get_runs(dg.RunsFilter(job_name=train.name, tags=tags))
        if any(not run.is_failure_or_canceled for run in earlier):
            return dg.SkipReason(f"trained as of {session}, or about to be")
        cause = cause_at(settings, session)
        if cause is None:
            return dg.SkipReason(f"no training is due on {session}")
        text = f"{cause.kind}: {cause.text}"
        return dg.RunRequest(
            run_key=f"training:{session}:attempt-{len(earlier) + 1}",
            partition_key=session.isoformat(),
            run_config={"ops": {"ensemble": {"config": {"cause": text}}}},
        )

    return training_tick


def _status(config: TaskConfig) -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if config.enabled else dg.DefaultScheduleStatus.STOPPED
