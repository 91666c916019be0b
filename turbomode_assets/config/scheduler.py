"""Sections of `scheduler_config.json`: when things run, and what watches them."""

import datetime as dt
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator, model_validator

from turbomode_assets.config.alerts import AlertsConfig
from turbomode_assets.config.maintenance import MaintenanceConfig
from turbomode_assets.config.section import ConfigurationFile, Section

_CRON_FIELDS = 5
_ANY_MOMENT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class TaskConfig(Section):
    """When a task runs for a session, and what becomes of one that could not.

    The task is due for a session at the first time that `cron` names after the session's close,
    in the file's time zone. It starts when every task in `depends_on` has succeeded for the session
    and every one in `waits_for` has succeeded, failed for good, or has nothing to do; a failed run
    is started again up to `retries` times, `retry_delay_minutes` after it was asked for and each
    time twice as much. When these are used up, later sessions go ahead; it has as many attempts
    again whenever a later session becomes due.

    Sessions that were missed are caught up, the oldest first, until `misfire_grace_minutes` after
    they were due; with `coalesce` the newest of them stands for all. Owed are sessions since the
    first that the task ever ran for; before that, the newest alone. At most `maximum_running`
    sessions of a task run at once, as far as `dagster.yaml` lets more than one. A run that takes
    longer than `timeout_minutes` is ended.
    """

    cron: str
    enabled: bool
    timeout_minutes: Annotated[int, Field(ge=1, le=1_440)]
    retries: Annotated[int, Field(ge=0, le=20)]
    retry_delay_minutes: Annotated[int, Field(ge=0, le=1_440)]
    depends_on: tuple[str, ...]
    waits_for: tuple[str, ...]
    coalesce: bool
    misfire_grace_minutes: Annotated[int, Field(ge=1, le=525_600)]
    maximum_running: Annotated[int, Field(ge=1, le=10)]

    @field_validator("cron")
    @classmethod
    def _names_times(cls, cron: str) -> str:
        wanted = "is no cron expression of five fields, as `45 22 * * 1-5` is"
        if len(cron.split()) != _CRON_FIELDS:  # a sixth would be read as seconds
            raise ValueError(wanted)
        try:
            CronSim(cron, _ANY_MOMENT)
        except CronSimError as error:
            raise ValueError(f"{wanted}: {error}") from error
        return cron


class TasksConfig(Section):
    """The six tasks, in the order of a night."""

    ingestion: TaskConfig
    training: TaskConfig
    scanner: TaskConfig
    backtest: TaskConfig
    drift_monitor: TaskConfig
    maintenance: TaskConfig

    @model_validator(mode="after")
    def _tasks_wait_for_tasks_and_in_no_circle(self) -> Self:
        awaited = {
            name: {*task.depends_on, *task.waits_for} for name, task in self.by_name().items()
        }
        for name, others in awaited.items():
            if unknown := sorted(others - set(awaited)):
                raise ValueError(f"{name} waits for {', '.join(unknown)}, which is no task")
        settled: set[str] = set()
        while free := {name for name in set(awaited) - settled if awaited[name] <= settled}:
            settled |= free
        if circle := [name for name in awaited if name not in settled]:
            raise ValueError(f"these tasks wait for each other: {', '.join(circle)}")
        return self

    def by_name(self) -> dict[str, TaskConfig]:
        """Return the tasks by their names, in the order of a night."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class SensorConfig(Section):
    """A sensor: how often it looks, at least, and whether it is on from the start."""

    interval_seconds: Annotated[int, Field(ge=5, le=86_400)]
    enabled: bool


class SensorsConfig(Section):
    """What watches the ledger: holes to fill, sessions that are late, revisions to follow up."""

    completeness: SensorConfig
    freshness: SensorConfig
    revisions: SensorConfig


class SchedulerConfig(ConfigurationFile):
    """The tasks of every night, sensors, alerts and maintenance.

    `task_interval_seconds` is how often each task looks whether it can start.
    """

    time_zone: str
    task_interval_seconds: Annotated[int, Field(ge=5, le=3_600)]
    tasks: TasksConfig
    sensors: SensorsConfig
    alerts: AlertsConfig
    maintenance: MaintenanceConfig

    @model_validator(mode="after")
    def _nothing_is_removed_under_a_run_or_before_it_is_given_up(self) -> Self:
        tasks = self.tasks.by_name()
        longest = max(tasks, key=lambda name: tasks[name].timeout_minutes)
        if self.maintenance.vacuum_after_hours * 60 <= tasks[longest].timeout_minutes:
            raise ValueError(
                f"maintenance.vacuum_after_hours ({self.maintenance.vacuum_after_hours}) must be "
                f"longer than {longest} may take ({tasks[longest].timeout_minutes} minutes)"
            )
        latest = max(tasks, key=lambda name: tasks[name].misfire_grace_minutes)
        if self.maintenance.archive_after_days * 1_440 < tasks[latest].misfire_grace_minutes:
            raise ValueError(
                f"maintenance.archive_after_days ({self.maintenance.archive_after_days}) must "
                f"cover the misfire grace of {latest} "
                f"({tasks[latest].misfire_grace_minutes} minutes): its runs tell what is owed"
            )
        return self

    @field_validator("time_zone")
    @classmethod
    def _is_a_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("is no time zone of the IANA database") from error
        return name
