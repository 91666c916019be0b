"""Sensors turned on and off as the UI does it."""

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
)


def turn(instance: dg.DagsterInstance, name: str, status: InstigatorStatus) -> InstigatorState:
    """Write down that a sensor is in this state."""
    location = RegisteredCodeLocationOrigin("turbomode_assets")
    origin = RemoteRepositoryOrigin(location, "__repository__").get_instigator_origin(name)
    state = InstigatorState(origin, InstigatorType.SENSOR, status, SensorInstigatorData())
    instance.add_instigator_state(state)
    return state
