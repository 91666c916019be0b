"""The jobs that tasks and people launch, as `runs/tasks.py` declares them."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from turbomode_assets.runs.tasks import JOBS, NIGHTLY_JOB, TASK_TAG, Job

SIDE_BY_SIDE = dg.multiprocess_executor.configured(
    {
        "start_method": {
            "forkserver": {"preload_modules": ["lightgbm", "torch", "sklearn", "pandas"]}
        }
    }
)
"""Steps in processes of their own; loading these libraries anew for each would take longer than
most steps."""


def _defined(job: Job, *, ingests: bool) -> UnresolvedAssetJobDefinition:
    selection = dg.AssetSelection.assets(*sorted(job.made(ingests=ingests)))
    return dg.define_asset_job(
        job.name,
        selection=selection if job.has_checks else selection.without_checks(),
        executor_def=SIDE_BY_SIDE if job.fits_side_by_side else None,
        tags={TASK_TAG: job.turn} if job.turn else None,
        description=job.described(ingests=ingests),
    )


_INGESTS = {job.name: _defined(job, ingests=True) for job in JOBS}
# Sensors name the very jobs of the repository: one that is alike for both is one object.
_FOLLOWS = {
    job.name: (
        _INGESTS[job.name]
        if job.made(ingests=True) == job.made(ingests=False)
        else _defined(job, ingests=False)
    )
    for job in JOBS
    if not job.only_ingests
}
TASK_JOBS = {job.task: _INGESTS[job.name] for job in JOBS if job.task is not None}
"""The job of each task of `scheduler_config.json`, by the task's name."""
page, backfill, sweep, rederive, readjust = (
    _INGESTS[name] for name in ("page", "backfill", "sweep", "rederive", "readjust")
)


def build_jobs(*, ingests: bool) -> list[UnresolvedAssetJobDefinition]:
    """Name every job; one that asks vendors or writes the master only to a tenant that ingests."""
    return list((_INGESTS if ingests else _FOLLOWS).values())


def task_jobs(*, ingests: bool) -> dict[str, UnresolvedAssetJobDefinition]:
    """Name the job of each task; its name is the same for all tenants."""
    defined = _INGESTS if ingests else _FOLLOWS
    return {task: defined[job.name] for task, job in TASK_JOBS.items()}


def night_jobs(*, ingests: bool) -> list[UnresolvedAssetJobDefinition]:
    """Name the jobs of a night: each task's, and the one that does most of them at once."""
    nightly = (_INGESTS if ingests else _FOLLOWS)[NIGHTLY_JOB]
    return [*task_jobs(ingests=ingests).values(), nightly]
