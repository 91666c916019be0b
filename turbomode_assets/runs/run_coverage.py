"""What a run covers: its sessions, and whether it does all of a task for them."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    RESUME_RETRY_TAG,
)

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions import SessionSpan, session_of


@dataclass(frozen=True)
class TaskWork:
    """The jobs whose runs do a task's work, and the assets that make it."""

    jobs: tuple[str, ...]
    assets: frozenset[str]


TasksWork = Mapping[str, TaskWork]
"""The work of each task, by the task's name."""


def sessions_of_run(run: dg.DagsterRun) -> SessionSpan | None:
    """Sessions that a run covers, by its partition or range.

    None if it has neither, or tags that name no sessions: such a run did nothing, and must not
    keep anybody from reading the others.
    """
    key = run.tags.get(PARTITION_NAME_TAG)
    first = run.tags.get(ASSET_PARTITION_RANGE_START_TAG, key)
    last = run.tags.get(ASSET_PARTITION_RANGE_END_TAG, key)
    if first is None or last is None:
        return None
    try:
        return SessionSpan(*(session_of(dt.date.fromisoformat(end)) for end in (first, last)))
    except (InputError, ValueError):
        return None


def parts_of(run: dg.DagsterRun) -> frozenset[str] | None:
    """Assets, checks or steps that a run was restricted to; None if it does its whole job."""
    # Runs in one process name their steps too, all of them; they are nobody's re-execution.
    are_steps_chosen = run.parent_run_id is not None and run.step_keys_to_execute is not None
    if are_steps_chosen and run.tags.get(RESUME_RETRY_TAG) != "true":
        return frozenset(
            f"step {step} of {run.job_name}" for step in run.step_keys_to_execute or ()
        )
    if run.resolved_op_selection:
        return frozenset(f"step {step} of {run.job_name}" for step in run.resolved_op_selection)
    if run.asset_selection:
        return frozenset(key.to_user_string() for key in run.asset_selection)
    if run.asset_check_selection:
        return frozenset(key.to_user_string() for key in run.asset_check_selection)
    return None


def makes_all(run: dg.DagsterRun, assets: frozenset[str]) -> bool:
    """Tell whether a run of their job makes all of these assets."""
    parts = parts_of(run)
    return parts is None or parts >= assets


def covers(run: dg.DagsterRun, session: dt.date) -> bool:
    """Tell whether a session is among those of a run."""
    span = sessions_of_run(run)
    return span is not None and span.first <= session <= span.last
