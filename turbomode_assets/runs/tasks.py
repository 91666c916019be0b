"""The tasks by what does their work: their jobs by name, and the assets that each makes."""

from collections.abc import Mapping
from dataclasses import dataclass

TASK_TAG = "turbomode/task"
"""Run tag whose values never run twice at once: `dagster.yaml` limits each to one."""

JOB_OF_TASK = {
    "ingestion": "ingestion",
    "training": "train",
    "scanner": "scanner",
    "backtest": "backtest_generator",
    "drift_monitor": "drift_monitor",
    "maintenance": "weekly_maintenance",
}
"""Name of the job of each task. No job may have the name of an asset: both do not load."""

FORMER_JOBS: Mapping[str, str] = {}
"""Name of today's job, by each name that older runs of it hold."""

NIGHTLY_JOB = "nightly"
NIGHTLY_TASKS = ("ingestion", "scanner", "backtest", "drift_monitor")
"""Tasks whose work a run of `nightly` does; each job's assets are among its own."""

_DERIVED = {"bars", "features", "labels", "completeness"}
_REFERENCE = {"symbol_metadata", "sector_mappings", "splits", "dividends", "fundamentals"}
TASK_ASSETS: dict[str, frozenset[str]] = {
    "ingestion": frozenset({"raw_candles", "audit", "db_metadata"} | _REFERENCE | _DERIVED),
    "training": frozenset({"ensemble"}),
    "scanner": frozenset({"signals", "outcomes"}),
    "backtest": frozenset({"backtest"}),
    "drift_monitor": frozenset({"drift_metrics", "nightly_page"}),
    "maintenance": frozenset({"maintenance"}),
}
"""What each task's job makes: a run that somebody restricted to fewer assets is not the task's."""

FOLLOWED_ASSETS = TASK_ASSETS | {"ingestion": frozenset({"audit"} | _DERIVED)}
"""What each task's job makes where another tenant ingests."""

_BESIDE_TASKS = {
    "page": frozenset({"nightly_page"}),
    "backfill": frozenset({"raw_candles", "audit"}),
    "sweep": frozenset({"audit"}),
    "rederive": frozenset({"bars", "features", "labels"}),
    "readjust": frozenset({"features", "labels"}),
    "reference": frozenset({"db_metadata"} | _REFERENCE),
}
"""What the jobs that are no task's make."""

WITHOUT_SESSIONS = frozenset({"db_metadata", "completeness"} | _REFERENCE)
"""Assets without partitions: each run makes them as a whole, as of when it was asked for."""


@dataclass(frozen=True)
class TaskWork:
    """The jobs whose runs do a task's work, and the assets that make it."""

    jobs: tuple[str, ...]
    assets: frozenset[str]


TasksWork = Mapping[str, TaskWork]
"""The work of each task, by the task's name."""


def jobs_of(task: str) -> list[str]:
    """Jobs whose runs do a task's work."""
    return [JOB_OF_TASK[task], *([NIGHTLY_JOB] if task in NIGHTLY_TASKS else [])]


def work_of_tasks(*, ingests: bool) -> TasksWork:
    """What does the work of each task, and what it makes, for a tenant that ingests or follows."""
    made = TASK_ASSETS if ingests else FOLLOWED_ASSETS
    return {task: TaskWork(tuple(jobs_of(task)), made[task]) for task in JOB_OF_TASK}


def assets_of_jobs(*, ingests: bool) -> dict[str, frozenset[str]]:
    """What the whole of each job makes, for a tenant that ingests or follows."""
    made = TASK_ASSETS if ingests else FOLLOWED_ASSETS
    night = frozenset[str]().union(*(made[task] for task in NIGHTLY_TASKS))
    of_tasks = {job: made[task] for task, job in JOB_OF_TASK.items()}
    return {**_BESIDE_TASKS, **of_tasks, NIGHTLY_JOB: night}


def present_job(name: str) -> str:
    """Return today's name of a job that a run may hold under a former one."""
    return FORMER_JOBS.get(name, name)


def names_of_job(job: str) -> list[str]:
    """Every name under which runs of a job may be stored, today's first."""
    return [job, *(former for former, present in FORMER_JOBS.items() if present == job)]
