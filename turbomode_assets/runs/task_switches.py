"""Which tasks are switched on, and since when, as the switches of their sensors say."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus

from turbomode_assets.config.scheduler import SchedulerConfig


@dataclass(frozen=True)
class Switch:
    """How a task is switched: by hand, or else by its configuration.

    `since` is when it was switched on, or when a daemon first saw it on; None while it is off,
    and where nobody wrote it down.
    """

    is_on: bool
    by_hand: bool
    since: dt.datetime | None


def sensor_states(instance: dg.DagsterInstance) -> Sequence[InstigatorState]:
    """Read what is stored of every sensor."""
    return instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)


def switches(instance: dg.DagsterInstance, config: SchedulerConfig) -> dict[str, Switch]:
    """Read the switch of every task."""
    states = sensor_states(instance)
    return {
        name: _switch([state for state in states if state.instigator_name == name], task.enabled)
        for name, task in config.tasks.by_name().items()
    }


def _switch(states: Sequence[InstigatorState], is_enabled: bool) -> Switch:
    by_hand = {state.status for state in states} - {InstigatorStatus.DECLARED_IN_CODE}
    is_on = InstigatorStatus.RUNNING in by_hand if by_hand else is_enabled
    began = [
        data.last_sensor_start_timestamp
        for state in states
        if (data := state.sensor_instigator_data) and data.last_sensor_start_timestamp
        if state.status != InstigatorStatus.STOPPED
    ]
    since = dt.datetime.fromtimestamp(max(began), dt.UTC) if is_on and began else None
    return Switch(is_on, bool(by_hand), since)
