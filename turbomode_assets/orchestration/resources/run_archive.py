"""Old runs of the Dagster instance: packed into the archive, and removed where nothing needs them.

Dagster forgets which partitions a run materialized when the run is deleted: a run that holds an
asset's event stays, and only what its steps printed goes.
"""

import datetime as dt
import io
import shutil
import tarfile
import uuid
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import serialize_value

from turbomode_assets.maintenance.run_history import ArchivedRuns
from turbomode_assets.orchestration.resources.event_log import QuickSqliteEventLogStorage

REMEMBERED = frozenset(
    {
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        dg.DagsterEventType.ASSET_OBSERVATION,
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    }
)
"""Events by which Dagster knows what was made and judged."""


def archive_runs(
    instance: dg.DagsterInstance, folder: Path, *, ended_before: dt.datetime
) -> ArchivedRuns:
    """Pack every run that ended before a time into `<run id>.tar.gz`, once.

    The file holds the run, its events and what its steps printed.
    """
    packed = deleted = 0
    ended = dg.RunsFilter(statuses=FINISHED_STATUSES, updated_before=ended_before)
    for run_id in instance.get_run_ids(ended):
        path = folder / f"{run_id}.tar.gz"
        run = None if path.is_file() else instance.get_run_by_id(run_id)
        if run is None:
            continue  # packed before and kept for its asset events, or deleted meanwhile
        events, printed = instance.all_logs(run_id), _printed(instance, run_id)
        _pack(path, run, events, printed)
        packed += 1
        if printed is not None:
            shutil.rmtree(printed)
        if not any(_is_remembered(event) for event in events):
            _delete(instance, run_id)
            deleted += 1
    return ArchivedRuns(packed, deleted)


def _is_remembered(event: dg.EventLogEntry) -> bool:
    return event.dagster_event is not None and event.dagster_event.event_type in REMEMBERED


def _printed(instance: dg.DagsterInstance, run_id: str) -> Path | None:
    """Folder of what a run's steps printed; None where there is none, or it is not on this disk."""
    manager = instance.compute_log_manager
    if not isinstance(manager, LocalComputeLogManager):
        return None
    folder = Path(manager.get_captured_local_path([run_id, "compute_logs", "any"], "out")).parent
    return folder.parent if folder.is_dir() else None


def _pack(
    path: Path, run: dg.DagsterRun, events: Sequence[dg.EventLogEntry], printed: Path | None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{uuid.uuid4().hex}")
    with tarfile.open(partial, "w:gz") as archive:
        _add(archive, "run.json", serialize_value(run))
        _add(archive, "events.jsonl", "".join(f"{serialize_value(event)}\n" for event in events))
        if printed is not None:
            archive.add(printed, "printed")
    partial.rename(path)


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _delete(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.delete_run(run_id)
    if isinstance(instance.event_log_storage, QuickSqliteEventLogStorage):
        instance.event_log_storage.remove_database(run_id)
