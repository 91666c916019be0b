"""The tasks of every night, each a sensor that asks for a run once it may start.

Why sensors, and neither schedules nor automation conditions:

- A schedule's tick cannot wait. A scanner whose ingestion is late would skip its session, not
  start later; and after a pause of the daemon only the last few ticks are made up for.
- `AutomationCondition.on_cron` requests the newest partition only. Sessions that were missed
  before it are never caught up, and there is no saying in which order, how often, or until when.
- A sensor looks again every half minute. What ran is in the run storage, so nothing is lost with
  a cursor, and whatever made the task's assets for a session counts like a run of its own: its job
  or `nightly` by hand, a range around the session, a `dagster asset materialize`. A session of
  which an asset is missing still is done as a whole, which leaves the same rows.
"""

import datetime as dt
import functools
import logging
from collections.abc import Callable
from pathlib import Path

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import MAX_RETRIES_TAG, MAX_RUNTIME_SECONDS_TAG

from turbomode_assets.config.scheduler import SchedulerConfig
from turbomode_assets.contracts.errors import first_few
from turbomode_assets.ingestion.following import why_not_followed
from turbomode_assets.modelling.retraining import cause_at
from turbomode_assets.orchestration.automation.command_runs import fail_dead_runs
from turbomode_assets.orchestration.automation.jobs import task_jobs
from turbomode_assets.orchestration.automation.switches import are_on
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.run_records import (
    ATTEMPT_TAG,
    REQUESTED_TAG,
    SESSION_TAG,
    DagsterRunHistory,
)
from turbomode_assets.runs.due import Start, TaskBoard
from turbomode_assets.runs.history import oldest_relevant, runs_of
from turbomode_assets.runs.last_look import TaskLook, keep_look, kept_look
from turbomode_assets.runs.task_status import task_rows
from turbomode_assets.runs.tasks import TASK_TAG, work_of_tasks
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.operations import utc_now

_LOGGER = logging.getLogger(__name__)
INGESTION, TRAINING = "ingestion", "training"
REMEMBERED = dt.timedelta(minutes=5)
"""How long an answer of the retraining policy holds; it reads several stores."""


class TaskPolicy:
    """What the stores say of the tasks: why training is due, and what a follower waits for."""

    def __init__(self, settings: SettingsResource, now: Callable[[], dt.datetime]) -> None:
        self.ingests = settings.ingests
        self._settings = settings
        self._now = now
        self._said: dict[dt.date, tuple[dt.datetime, str | None]] = {}

    def cause(self, session: dt.date) -> str | None:
        """Say why an ensemble is due as of a session; None if none is."""
        moment = self._now()
        said = self._said.get(session)
        if said is None or moment - said[0] > REMEMBERED:
            cause = cause_at(self._settings, session)
            said = self._said[session] = moment, f"{cause.kind}: {cause.text}" if cause else None
        return said[1]

    def held_because(self, name: str, session: dt.date) -> str | None:
        """Say what keeps a tenant from following the master in a session; None if nothing does."""
        if name != INGESTION or self.ingests:
            return None
        master = MasterReader(self._settings.master_root)
        why = why_not_followed(master, self._settings.data_quality(), session)
        return f"waits: {why}" if why else None

    def idle_because(self, instance: dg.DagsterInstance, name: str, session: dt.date) -> str | None:
        """Say why a task has nothing to do for a session; None if it has."""
        if name != TRAINING:
            return None
        if self.cause(session) is None:
            return "needs no training"
        for name in ("features", "labels"):
            wanted = dg.AssetRecordsFilter(
                asset_key=dg.AssetKey(name), asset_partitions=[str(session)]
            )
            if not instance.fetch_materializations(wanted, limit=1).records:
                return f"cannot be trained: its {name} have not been materialized"
        return None


def build_task_sensors(
    config: SchedulerConfig, settings: SettingsResource, now: Callable[[], dt.datetime] = utc_now
) -> list[dg.SensorDefinition]:
    """Build the sensor of each task, on or off as configured."""
    policy = TaskPolicy(settings, now)
    jobs = task_jobs(ingests=policy.ingests)
    return [task_sensor(name, job, config, policy, now) for name, job in jobs.items()]


def task_sensor(
    name: str,
    job: UnresolvedAssetJobDefinition,
    config: SchedulerConfig,
    policy: TaskPolicy,
    now: Callable[[], dt.datetime],
) -> dg.SensorDefinition:
    """Ask for a run of the task's job for each session that may start."""
    task = config.tasks.by_name()[name]

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=config.task_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING
        if task.enabled
        else dg.DefaultSensorStatus.STOPPED,
        description=f"Starts {job.name} for each session, from `{task.cron}` on.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        moment = now()
        fail_dead_runs(context.instance)
        board = board_at(context.instance, config, policy, moment)
        _keep_look(context.instance, config, policy, board)
        decision = board.decide(name)
        if not decision.starts:
            return dg.SkipReason(first_few(decision.reasons))
        return dg.SensorResult(
            [run_request(name, start, config, policy, moment) for start in decision.starts]
        )

    return look


def board_at(
    instance: dg.DagsterInstance,
    config: SchedulerConfig,
    policy: TaskPolicy,
    moment: dt.datetime,
) -> TaskBoard:
    """Lay out the tasks as the run storage knows them at a moment."""
    since, work = oldest_relevant(config, moment), work_of_tasks(ingests=policy.ingests)
    history = DagsterRunHistory(instance, ingests=policy.ingests)
    recent = functools.cache(lambda: history.created_since(since))
    return TaskBoard(
        tasks=config.tasks.by_name(),
        zone=config.time_zone,
        now=moment,
        runs_of=functools.cache(lambda name: runs_of(history, work[name], recent())),
        is_on=are_on(instance, config).__getitem__,
        held_because=policy.held_because,
        idle_because=functools.partial(policy.idle_because, instance),
    )


def task_look(instance: dg.DagsterInstance, policy: TaskPolicy, board: TaskBoard) -> TaskLook:
    """Describe every task as the board has it."""
    history = DagsterRunHistory(instance, ingests=policy.ingests)
    return TaskLook(board.now, task_rows(history, work_of_tasks(ingests=policy.ingests), board))


def _keep_look(
    instance: dg.DagsterInstance, config: SchedulerConfig, policy: TaskPolicy, board: TaskBoard
) -> None:
    """Keep what a sensor sees for who asks soon; the first of a round does so for all."""
    home = Path(instance.root_directory)
    half_a_round = dt.timedelta(seconds=config.task_interval_seconds / 2)
    if kept_look(home, now=board.now, within=half_a_round) is not None:
        return
    try:
        keep_look(home, task_look(instance, policy, board))
    except OSError as error:
        # Whoever asks looks again by himself; the night must not wait for a file that tells of it.
        _LOGGER.warning("what the tasks look like could not be kept in %s: %s", home, error)


def run_request(
    name: str, start: Start, config: SchedulerConfig, policy: TaskPolicy, moment: dt.datetime
) -> dg.RunRequest:
    """Ask for one session of a task; a training is told why it is due."""
    limit = config.tasks.by_name()[name].timeout_minutes * 60
    cause = policy.cause(start.session) if name == TRAINING else None
    return dg.RunRequest(
        run_key=f"{name}:{start.session}:attempt-{start.attempt}",
        partition_key=str(start.session),
        tags=task_tags(name, start, moment)
        | {
            MAX_RUNTIME_SECONDS_TAG: str(limit),
            # This sensor is what tries again; a relaunch by the daemon would be one attempt more.
            MAX_RETRIES_TAG: "0",
        },
        run_config={"ops": {"ensemble": {"config": {"cause": cause}}}} if cause else None,
    )


def task_tags(name: str, start: Start, moment: dt.datetime) -> dict[str, str]:
    """Tags by which a run of a task is known again."""
    return {
        TASK_TAG: name,
        SESSION_TAG: str(start.session),
        REQUESTED_TAG: moment.isoformat(),
        ATTEMPT_TAG: str(start.attempt),
    }
