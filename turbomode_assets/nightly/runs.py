"""What ran lately, as the nightly page tells it."""

import datetime as dt
from collections.abc import Mapping

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from turbomode_assets.nightly.figures import Run, Runs
from turbomode_assets.nightly.verdict import unrepaired_failures

SHOWN_RUNS = 30
SHOWN_DAYS = 7
FAILURE_LENGTH = 240
NAMED_ASSETS = 3
_UNNAMED_JOB = "__ASSET_JOB"
"""Dagster's name for the job of a command that selected assets itself."""


def gather_runs(instance: dg.DagsterInstance, session: dt.date, now: dt.datetime) -> Runs:
    """Return the runs of the last days, the newest first, with the reasons of those that failed.

    Of many, the newest, and older ones that failed and that nothing has made good since.
    """
    since = now - dt.timedelta(days=SHOWN_DAYS)
    records = instance.get_run_records(dg.RunsFilter(created_after=since))
    told = [_told(instance, record, session) for record in records]
    newest, older = told[:SHOWN_RUNS], told[SHOWN_RUNS:]
    rows = (*newest, *(run for run in unrepaired_failures(told) if run in older))
    if rows:
        return Runs(rows)
    return Runs(why_none=f"Nothing ran since {since:%Y-%m-%d %H:%M} UTC. Is the daemon running?")


def _told(instance: dg.DagsterInstance, record: dg.RunRecord, session: dt.date) -> Run:
    run = record.dagster_run
    first, last = _ends(run.tags)
    begun, ended = record.start_time, record.end_time
    return Run(
        run_id=run.run_id,
        job=_job(run),
        sessions=None if first is None else first if first == last else f"{first}...{last}",
        status=run.status.value,
        created_at=record.create_timestamp,
        seconds=None if begun is None or ended is None else ended - begun,
        failure=_failure(instance, run.run_id) if run.is_failure else None,
        covers_session=first is not None and first <= str(session) <= str(last),
    )


def _ends(tags: Mapping[str, str]) -> tuple[str | None, str | None]:
    one = tags.get(PARTITION_NAME_TAG)
    return (
        tags.get(ASSET_PARTITION_RANGE_START_TAG, one),
        tags.get(ASSET_PARTITION_RANGE_END_TAG, one),
    )


def _job(run: dg.DagsterRun) -> str:
    if run.job_name != _UNNAMED_JOB:
        return run.job_name
    chosen = sorted(key.to_user_string() for key in run.asset_selection or ())
    named = ", ".join(chosen[:NAMED_ASSETS])
    more = f" and {len(chosen) - NAMED_ASSETS} more" if len(chosen) > NAMED_ASSETS else ""
    return f"{named}{more}" or run.job_name


def _failure(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Step and first line of what went wrong first."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    records = instance.get_records_for_run(run_id, of_type=kinds).records
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        words = f"{event.step_key}: {_reason(event)}" if event.is_step_failure else event.message
        line = (words or "").strip().partition("\n")[0]
        return line if len(line) <= FAILURE_LENGTH else f"{line[: FAILURE_LENGTH - 1]}…"
    return None


def _reason(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    if error is None:
        return event.message or "no reason was recorded"
    # What the step raised is the cause of what Dagster says of it.
    return (error.cause or error).message
