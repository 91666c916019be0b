"""What the rooms are handed of Dagster's instance: runs, switches and ticks as plain data."""

import datetime as dt
from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, TickStatus

from turbomode_assets.config.scheduler import SchedulerConfig
from turbomode_assets.orchestration.run_records import DagsterRunHistory, first_line
from turbomode_assets.runs.history import RunSources
from turbomode_assets.runs.switches import SensorFailure, Switch
from turbomode_assets.runs.tasks import work_of_tasks


def run_sources(instance: dg.DagsterInstance, *, ingests: bool) -> RunSources:
    """Open all that is known of runs, for a tenant that ingests or follows; each is read late."""
    return RunSources(
        history=DagsterRunHistory(instance, ingests=ingests),
        work=work_of_tasks(ingests=ingests),
        read_switches=lambda config: switches(instance, config),
        read_failing_sensors=lambda since: failing_sensors(instance, since),
    )


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


def failing_sensors(instance: dg.DagsterInstance, since: dt.datetime) -> list[SensorFailure]:
    """Sensors that are not off and whose last tick, after a time, ended in an error."""
    found = []
    for state in sorted(sensor_states(instance), key=lambda each: each.instigator_name):
        if state.status == InstigatorStatus.STOPPED:
            continue
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        if not ticks or ticks[0].status != TickStatus.FAILURE:
            continue
        if ticks[0].timestamp >= since.timestamp():
            error = ticks[0].error
            line = first_line(error.message) if error else ""
            found.append(SensorFailure(state.instigator_name, line or "it gave no reason"))
    return found


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
