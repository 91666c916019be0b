"""Runs as a run storage holds them, for questions about what ran."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.storage.schedules import SqliteScheduleStorage

from turbomode_assets.config.loader import load_scheduler_config
from turbomode_assets.config.scheduler import SchedulerConfig
from turbomode_assets.orchestration.run_records import REQUESTED_TAG
from turbomode_assets_tests.builders import REPOSITORY


@contextmanager
def run_storage(root: Path) -> Iterator[dg.DagsterInstance]:
    """Runs in memory, for two years of them, and switches and ticks of sensors in a file."""
    with dg.DagsterInstance.ephemeral(str(root)) as instance:
        instance._schedule_storage = SqliteScheduleStorage.from_local(str(root))
        instance._schedule_storage.register_instance(instance)
        yield instance


def shipped(*enabled: str) -> SchedulerConfig:
    """The shipped configuration with some tasks on."""
    config = load_scheduler_config(REPOSITORY / "configs")
    tasks = {
        name: task.model_copy(update={"enabled": name in enabled})
        for name, task in config.tasks.by_name().items()
    }
    return config.model_copy(update={"tasks": config.tasks.model_copy(update=tasks)})


def add(
    instance: dg.DagsterInstance,
    job: str,
    first: dt.date | None = None,
    last: dt.date | None = None,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.SUCCESS,
    asked_at: dt.datetime | None = None,
    **more: object,
) -> dg.DagsterRun:
    """A run of one session, of a range, or of none; asked for now unless a time is given."""
    if last is not None:
        tags = {
            "dagster/asset_partition_range_start": str(first),
            "dagster/asset_partition_range_end": str(last),
        }
    else:
        tags = {"dagster/partition": str(first)} if first else {}
    if asked_at is not None:
        tags[REQUESTED_TAG] = asked_at.isoformat()
    run = dg.DagsterRun(job, status=status, tags=tags, **more)
    instance.add_run(run)
    return run


def happened(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    kind: dg.DagsterEventType,
    at: dt.datetime,
) -> None:
    """Write down that a run began or ended at a moment."""
    event = dg.DagsterEvent(kind.value, run.job_name)
    instance.report_dagster_event(event, run.run_id, timestamp=at.timestamp())


def only(*names: str) -> dict[str, frozenset[dg.AssetKey]]:
    """What restricts a run to some assets."""
    return {"asset_selection": frozenset(map(dg.AssetKey, names))}
