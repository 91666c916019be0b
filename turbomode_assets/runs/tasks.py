"""Every job, stated once: what it makes, which task it is of, and how it runs.

The definitions of jobs, what counts as a task's run, and what a failed run left undone all follow
from these.
"""

from collections.abc import Mapping
from dataclasses import dataclass

TASK_TAG = "turbomode/task"
"""Run tag whose values never run twice at once: `dagster.yaml` limits each to one."""

_DERIVED = frozenset({"bars", "features", "labels"})
_REFERENCE = frozenset(
    {"symbol_metadata", "sector_mappings", "splits", "dividends", "fundamentals"}
)
_FETCHED = _REFERENCE | {"db_metadata", "raw_candles"}
"""Assets that only a tenant who ingests makes; who follows reads the master's."""
_NIGHT = _FETCHED | _DERIVED | {"audit", "completeness"}


@dataclass(frozen=True)
class Job:
    """A job: its name, which no asset may have, the assets that it makes, and how it runs.

    `is_nightly` where a run of `nightly` does its work too. `followed` describes it to a tenant
    that follows, for whom it makes what is not fetched. One that `only_ingests` is none of his.
    """

    name: str
    assets: frozenset[str]
    description: str
    task: str | None = None
    is_nightly: bool = False
    followed: str | None = None
    only_ingests: bool = False
    has_checks: bool = True
    fits_side_by_side: bool = False

    @property
    def turn(self) -> str | None:
        """Value of TASK_TAG in its runs; a run of `nightly` asks vendors as an ingestion does."""
        return "ingestion" if self.name == NIGHTLY_JOB else self.task

    def made(self, *, ingests: bool) -> frozenset[str]:
        """What a whole run makes, for a tenant that ingests or follows."""
        return self.assets if ingests else self.assets - _FETCHED

    def described(self, *, ingests: bool) -> str:
        """What it is for, to a tenant that ingests or follows."""
        return self.description if ingests else self.followed or self.description


NIGHTLY_JOB = "nightly"
_TASKS = (
    Job(
        "ingestion",
        _NIGHT,
        "Everything up to features and labels: a session by night, a range by hand.",
        task="ingestion",
        is_nightly=True,
        followed="Bars, features and labels of sessions that another tenant ingested and judged.",
    ),
    Job(
        "train",
        frozenset({"ensemble"}),
        "A new ensemble as of a session; base models are fitted side by side.",
        task="training",
        fits_side_by_side=True,
    ),
    Job(
        "scanner",
        frozenset({"signals", "outcomes"}),
        "Signals of a session by the champion in force, and outcomes of earlier ones.",
        task="scanner",
        is_nightly=True,
    ),
    Job(
        "backtest_generator",
        frozenset({"backtest"}),
        "What trading every stored prediction up to a session would have brought.",
        task="backtest",
        is_nightly=True,
    ),
    Job(
        "drift_monitor",
        frozenset({"drift_metrics", "nightly_page"}),
        "How far the market has drifted from what the champion knows, and the page.",
        task="drift_monitor",
        is_nightly=True,
    ),
    Job(
        "weekly_maintenance",
        frozenset({"maintenance"}),
        "Tables compacted, old files removed, old runs and logs archived.",
        task="maintenance",
    ),
)
_BESIDE_TASKS = (
    Job(
        NIGHTLY_JOB,
        frozenset[str]().union(*(job.assets for job in _TASKS if job.is_nightly)),
        "One session from raw candles to signals and outcomes, with the champion in force.",
        followed="One session that another tenant ingested, from bars to signals and outcomes.",
    ),
    Job("page", frozenset({"nightly_page"}), "The nightly page of a session, as of now."),
    Job(
        "backfill",
        frozenset({"raw_candles", "audit"}),
        "Queued holes of some sessions, fetched and audited.",
        only_ingests=True,
        has_checks=False,
    ),
    Job(
        "sweep",
        frozenset({"audit"}),
        "Another look at old sessions, which queues what is missing there.",
        only_ingests=True,
        has_checks=False,
    ),
    Job(
        "reference",
        _REFERENCE | {"db_metadata"},
        "Symbols, sectors, corporate actions and fundamentals.",
        only_ingests=True,
    ),
    Job(
        "rederive",
        _DERIVED,
        "Bars, features and labels of sessions whose candles came late or were revised.",
    ),
    Job(
        "readjust",
        _DERIVED - {"bars"},
        "Features and labels of windows that straddle a late corporate action.",
    ),
)
JOBS = (*_TASKS, *_BESIDE_TASKS)
"""Every job, those of tasks first and in the order of a night."""

ASSETS = frozenset[str]().union(*(job.assets for job in JOBS))
"""Every asset that a job makes."""

FORMER_JOBS: Mapping[str, str] = {}
"""Name of today's job, by each name that older runs of it hold."""

JOB_OF_TASK = {job.task: job.name for job in JOBS if job.task is not None}
NIGHTLY_TASKS = tuple(job.task for job in JOBS if job.task is not None and job.is_nightly)
"""Tasks whose work a run of `nightly` does."""

WITHOUT_SESSIONS = _REFERENCE | {"db_metadata", "completeness"}
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
    return {
        job.task: TaskWork(tuple(jobs_of(job.task)), job.made(ingests=ingests))
        for job in JOBS
        if job.task is not None
    }


def assets_of_jobs(*, ingests: bool) -> dict[str, frozenset[str]]:
    """What the whole of each job makes, for a tenant that ingests or follows."""
    return {job.name: job.made(ingests=ingests) for job in JOBS}


def present_job(name: str) -> str:
    """Return today's name of a job that a run may hold under a former one."""
    return FORMER_JOBS.get(name, name)


def names_of_job(job: str) -> list[str]:
    """Every name under which runs of a job may be stored, today's first."""
    return [job, *(former for former, present in FORMER_JOBS.items() if present == job)]
