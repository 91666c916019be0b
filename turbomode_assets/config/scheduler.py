"""Sections of `scheduler_config.json`: when things run."""

from typing import Annotated

from pydantic import Field

from turbomode_assets.config.section import ConfigurationFile, Section


class NightlyConfig(Section):
    """The nightly run, in New York time, after the session's data has settled."""

    hour: Annotated[int, Field(ge=0, le=23)]
    minute: Annotated[int, Field(ge=0, le=59)]
    enabled: bool


class SchedulerConfig(ConfigurationFile):
    """All schedules."""

    nightly: NightlyConfig
