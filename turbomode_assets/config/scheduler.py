"""Sections of `scheduler_config.json`: when things run."""

from typing import Annotated

from pydantic import Field

from turbomode_assets.config.section import ConfigurationFile, Section


class TaskConfig(Section):
    """A task that is looked at once a day, in New York time."""

    hour: Annotated[int, Field(ge=0, le=23)]
    minute: Annotated[int, Field(ge=0, le=59)]
    enabled: bool


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
    """All schedules and sensors: the nightly run, and training where it is due."""

    nightly: TaskConfig
    training: TaskConfig
    sensors: SensorsConfig
