"""Switching tasks on and off, as the switch of their sensor in the UI does."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from turbomode_assets.config.scheduler import SchedulerConfig
from turbomode_assets.orchestration.run_sources import sensor_states, switches
from turbomode_assets.stores.operations import utc_now

LOCATION = "turbomode_assets"
"""The code location, as `workspace.yaml`, `pyproject.toml` and `-m turbomode_assets` name it."""
_REPOSITORY = "__repository__"


def are_on(instance: dg.DagsterInstance, config: SchedulerConfig) -> Mapping[str, bool]:
    """Tell which tasks are switched on: by hand, or else by their configuration."""
    return {name: known.is_on for name, known in switches(instance, config).items()}


def switch(instance: dg.DagsterInstance, config: SchedulerConfig, task: str, *, on: bool) -> None:
    """Switch a task's sensor on or off; a daemon that runs sees it at its next look.

    A run that is under way goes on. Since when a task is on is written down, as the UI does it.
    """
    status = InstigatorStatus.RUNNING if on else InstigatorStatus.STOPPED
    since = utc_now().timestamp() if on and not switches(instance, config)[task].is_on else None
    known = [each for each in sensor_states(instance) if each.instigator_name == task]
    for state in known:
        data = state.sensor_instigator_data or SensorInstigatorData()
        changed = data.with_sensor_start_timestamp(since) if since else data
        instance.update_instigator_state(state.with_status(status).with_data(changed))
    if not known:
        data = SensorInstigatorData(
            min_interval=config.task_interval_seconds, last_sensor_start_timestamp=since
        )
        instance.add_instigator_state(
            InstigatorState(_origin(task), InstigatorType.SENSOR, status, data)
        )


def _origin(task: str) -> RemoteInstigatorOrigin:
    """Where the sensor will be loaded from: Dagster finds its state by location and name alone."""
    target = LoadableTargetOrigin(module_name=LOCATION, working_directory=str(Path.cwd()))
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION)
    return RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, _REPOSITORY), task)
