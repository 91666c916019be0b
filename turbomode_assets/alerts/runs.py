"""What the run storage says has failed: runs whose work is not done yet, and looks of sensors."""

import datetime as dt
from collections.abc import Iterator, Sequence

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus
from dagster._core.storage.dagster_run import RunRecord

from turbomode_assets.alerts.conditions import Condition, Severity
from turbomode_assets.config.scheduler import SchedulerConfig
from turbomode_assets.contracts.errors import first_few
from turbomode_assets.runs.run_coverage import TasksWork, makes_all, parts_of, sessions_of_run
from turbomode_assets.runs.task_switches import sensor_states
from turbomode_assets.sessions import SessionSpan

RUN, SENSOR = "run", "sensor"


def failed_runs(
    instance: dg.DagsterInstance, config: SchedulerConfig, tasks: TasksWork, now: dt.datetime
) -> Iterator[Condition]:
    """Runs that failed and whose work no later run has done; those that do the same as one."""
    since = now - dt.timedelta(days=config.alerts.failure_days)
    failed = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], created_after=since)
    )
    if not failed:
        return
    done = instance.get_run_records(
        dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.SUCCESS],
            created_after=min(record.create_timestamp for record in failed),
        )
    )
    alike: dict[tuple[str, SessionSpan | None], list[RunRecord]] = {}
    for record in sorted(failed, key=lambda each: each.storage_id):
        if not _was_done_later(instance, record, done, tasks):
            alike.setdefault(_work_of(record.dagster_run), []).append(record)
    for (name, span), attempts in alike.items():
        yield _failure(instance, config, tasks, name, span, attempts)


def failing_sensors(
    instance: dg.DagsterInstance, config: SchedulerConfig, now: dt.datetime
) -> Iterator[Condition]:
    """Sensors, those of tasks among them, whose last look ended in an error."""
    since = (now - dt.timedelta(days=config.alerts.failure_days)).timestamp()
    for state in sorted(sensor_states(instance), key=lambda each: each.instigator_name):
        name = state.instigator_name
        if state.status == InstigatorStatus.STOPPED:
            continue
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        if not ticks or ticks[0].status != TickStatus.FAILURE or ticks[0].timestamp < since:
            continue
        error = ticks[0].error
        yield Condition(
            f"{SENSOR}:{name}",
            SENSOR,
            "critical" if name in config.tasks.by_name() else "warning",
            f"Sensor {name} fails: nothing of it is started",
            _first_line(error.message) if error else "it gave no reason",
            "mend what it says; its ticks are in the UI under Automation",
        )


def _failure(
    instance: dg.DagsterInstance,
    config: SchedulerConfig,
    tasks: TasksWork,
    name: str,
    span: SessionSpan | None,
    attempts: list[RunRecord],
) -> Condition:
    run, known = attempts[-1].dagster_run, config.tasks.by_name()
    limits = [1 + known[task].retries for task, work in tasks.items() if run.job_name in work.jobs]
    severity: Severity = "critical" if limits and len(attempts) >= max(limits) else "warning"
    times = f" {len(attempts)} times" if len(attempts) > 1 else ""
    fingerprint = f"{RUN}:{name}" if span is None else f"{RUN}:{name}:{span}"
    return Condition(
        fingerprint.replace(" ", "_"),
        RUN,
        severity,
        (name if span is None else f"{name} of {span}") + f" failed{times}",
        _reason(instance, run.run_id),
        f"run {run.run_id[:8]} in the UI says more; it is over once the same work succeeds",
    )


def _was_done_later(
    instance: dg.DagsterInstance, failed: RunRecord, done: Sequence[RunRecord], tasks: TasksWork
) -> bool:
    """Tell whether all that a run failed to do succeeded since.

    That is each task that its job does; of another job the job; of a run of a part that part.
    """
    run, span = failed.dagster_run, sessions_of_run(failed.dagster_run)
    later = [
        each.dagster_run
        for each in done
        if each.storage_id > failed.storage_id and _covers(each.dagster_run, span)
    ]
    parts = parts_of(run)
    if parts is not None:
        return any(_makes_parts(each, run.job_name, parts, tasks) for each in later)
    owners = [work for work in tasks.values() if run.job_name in work.jobs]
    if owners:
        return all(
            any(each.job_name in work.jobs and makes_all(each, work.assets) for each in later)
            for work in owners
        )
    same = [each for each in later if each.job_name == run.job_name]
    return any(parts_of(each) is None for each in same) or (
        bool(same)
        and bool(planned := _planned(instance, run.run_id))
        and any(makes_all(each, planned) for each in same)
    )


def _makes_parts(run: dg.DagsterRun, job: str, parts: frozenset[str], tasks: TasksWork) -> bool:
    """Tell whether a run does these parts of a job, as chosen ones or among all of its tasks'."""
    chosen = parts_of(run)
    if chosen is not None:
        return chosen >= parts
    of_tasks = (work.assets for work in tasks.values() if run.job_name in work.jobs)
    return run.job_name == job or frozenset().union(*of_tasks) >= parts


def _planned(instance: dg.DagsterInstance, run_id: str) -> frozenset[str]:
    """Assets that a run was to make, as it wrote down when it was created."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    events = (entry.dagster_event for entry in instance.all_logs(run_id, of_type=kind))
    keys = (event.asset_key for event in events if event is not None)
    return frozenset(key.to_user_string() for key in keys if key is not None)


def _work_of(run: dg.DagsterRun) -> tuple[str, SessionSpan | None]:
    """Name what a run was to do, its job or parts of it, and its sessions."""
    parts = parts_of(run)
    if parts is None:
        return run.job_name.strip("_"), sessions_of_run(run)
    chosen = first_few(sorted(parts), 3)
    is_ad_hoc = run.job_name.startswith("__")
    return chosen if is_ad_hoc else f"{run.job_name} ({chosen})", sessions_of_run(run)


def _covers(run: dg.DagsterRun, span: SessionSpan | None) -> bool:
    if span is None:
        return True
    own = sessions_of_run(run)
    return own is not None and own.first <= span.first and span.last <= own.last


def _reason(instance: dg.DagsterInstance, run_id: str) -> str:
    """The first failed step with the first line of its error, or what ended the run."""
    for kind in (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE):
        for entry in instance.all_logs(run_id, of_type=kind):
            event = entry.dagster_event
            if event is None:
                continue
            if not event.is_step_failure:
                return _first_line(event.message or "the run ended")
            failure = event.step_failure_data
            said, error = failure.user_failure_data, failure.error
            while error is not None and error.cause is not None:
                error = error.cause
            words = error.message if error is not None else None
            if said is not None and said.description:
                words = said.description
            return f"step {event.step_key}: {_first_line(words)}"
    return "it left no reason: its process may have been killed"


def _first_line(words: str | None) -> str:
    lines = [line.strip() for line in (words or "").splitlines() if line.strip()]
    return lines[0] if lines else "it gave no reason"
