"""The sensor that looks for what a human should know, and tells it."""

import datetime as dt
from collections.abc import Callable

import dagster as dg

from turbomode_assets.alerts.rounds import look
from turbomode_assets.config.alerts import AlertsConfig
from turbomode_assets.contracts.errors import TurbomodeError
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.run_sources import run_sources

COMPLAIN_AFTER = dt.timedelta(days=1)
"""How often it is told that there is no telling what is wrong: nothing can be remembered then."""


def alerts_sensor(config: AlertsConfig, now: Callable[[], dt.datetime]) -> dg.SensorDefinition:
    """Look and tell; what became of it is the reason that each tick gives."""

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=config.interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING
        if config.enabled
        else dg.DefaultSensorStatus.STOPPED,
        description="Tells of failures, late data, drift, decisions and nights without a run.",
    )
    def alerts(context: dg.SensorEvaluationContext, settings: SettingsResource) -> dg.SensorResult:
        at, before = now(), context.cursor
        complained = dt.datetime.fromisoformat(before) if before else None
        complain = complained is None or at - complained >= COMPLAIN_AFTER
        try:
            runs = run_sources(context.instance, ingests=settings.ingests)
            seen = look(settings, runs, at, complain=complain)
        except TurbomodeError as error:
            context.log.error("alerts cannot be judged: %s", error)
            return dg.SensorResult(
                skip_reason=f"alerts cannot be judged: {error}",
                cursor=at.isoformat() if complain else before,
            )
        return dg.SensorResult(skip_reason=seen.summary)

    return alerts
