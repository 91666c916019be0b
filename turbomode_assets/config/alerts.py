"""The section on alerts: what is worth telling a human, and how often."""

from typing import Annotated

from pydantic import Field

from turbomode_assets.config.section import Section


class HitRateConfig(Section):
    """Of the champion's last `signals` that won or lost, at least `minimum` should have won.

    Signals that expired between the barriers are left out. With fewer signals nothing is judged.
    """

    signals: Annotated[int, Field(ge=10, le=100_000)]
    minimum: Annotated[float, Field(ge=0, le=1)]


class AlertsConfig(Section):
    """How often is looked, what is alarming, and when something that lasts is told again.

    Something is over once it was not seen for `over_after_minutes`. The night is silent when what
    was due has not succeeded `silence_after_minutes` later. What has not come is no more than a
    warning while the sessions before it are caught up: one of them is running, or has succeeded
    within `catch_up_minutes`. Failed runs are told of for
    `failure_days`, decisions about models for `news_hours`. Where alerts go to is a secret and
    comes from the environment.
    """

    interval_seconds: Annotated[int, Field(ge=5, le=86_400)]
    enabled: bool
    repeat_after_hours: Annotated[int, Field(ge=1, le=720)]
    over_after_minutes: Annotated[int, Field(ge=0, le=1_440)]
    silence_after_minutes: Annotated[int, Field(ge=1, le=1_440)]
    catch_up_minutes: Annotated[int, Field(ge=1, le=1_440)]
    failure_days: Annotated[int, Field(ge=1, le=90)]
    news_hours: Annotated[int, Field(ge=1, le=720)]
    hit_rate: HitRateConfig
