"""What failed and is not repaired: runs, and ticks of sensors."""

import datetime as dt
from collections.abc import Iterator

from turbomode_assets.alerts.conditions import Condition, Severity
from turbomode_assets.config.scheduler import SchedulerConfig
from turbomode_assets.runs.failures import UnrepairedFailure, unrepaired
from turbomode_assets.runs.history import RunSources
from turbomode_assets.runs.records import RunFailure, RunStatus
from turbomode_assets.runs.tasks import TasksWork

RUN, SENSOR = "run", "sensor"


def failed_runs(
    sources: RunSources, config: SchedulerConfig, now: dt.datetime
) -> Iterator[Condition]:
    """Runs that failed and whose work no later run has done; those that do the same as one.

    One that somebody canceled is known to whoever did that.
    """
    history = sources.history
    since = now - dt.timedelta(days=config.alerts.failure_days)
    failed = history.created_since(since, [RunStatus.FAILURE])
    if not failed:
        return
    oldest = min(run.created_at for run in failed)
    done = history.created_since(oldest, [RunStatus.SUCCESS])
    for failure in unrepaired([*failed, *done]):
        reason = history.failure_of(failure.latest.run_id)
        yield _failure(failure, reason, config, sources.work)


def failing_sensors(
    sources: RunSources, config: SchedulerConfig, now: dt.datetime
) -> Iterator[Condition]:
    """Sensors, those of tasks among them, whose last look ended in an error."""
    since = now - dt.timedelta(days=config.alerts.failure_days)
    for sensor in sources.read_failing_sensors(since):
        yield Condition(
            f"{SENSOR}:{sensor.name}",
            SENSOR,
            "critical" if sensor.name in config.tasks.by_name() else "warning",
            f"Sensor {sensor.name} fails: nothing of it is started",
            sensor.line,
            "mend what it says; its ticks are in the UI under Automation",
        )


def _failure(
    failure: UnrepairedFailure, reason: RunFailure, config: SchedulerConfig, tasks: TasksWork
) -> Condition:
    run, known = failure.latest, config.tasks.by_name()
    name, span, count = failure.name, run.sessions, len(failure.attempts)
    limits = [1 + known[task].retries for task, work in tasks.items() if run.job in work.jobs]
    severity: Severity = "critical" if limits and count >= max(limits) else "warning"
    times = f" {count} times" if count > 1 else ""
    fingerprint = f"{RUN}:{name}" if span is None else f"{RUN}:{name}:{span}"
    detail = f"step {reason.step}: {reason.line}" if reason.step else reason.line
    left = "" if failure.undone.is_whole else f"; left undone: {failure.undone}"
    return Condition(
        fingerprint.replace(" ", "_"),
        RUN,
        severity,
        (name if span is None else f"{name} of {span}") + f" failed{times}",
        detail + left,
        f"run {run.run_id[:8]} in the UI says more; it is over once the same work succeeds",
    )
