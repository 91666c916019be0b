"""What Dagster has stored of runs, made into plain records: the one place that reads it.

What acts on runs (`automation/command_runs.py`, `resources/run_archive.py`) takes them itself;
whoever asks what ran is given `DagsterRunHistory`.
"""

import datetime as dt
from collections.abc import Collection, Iterator

import dagster as dg
from dagster._core.events import DagsterEventType
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    RESUME_RETRY_TAG,
)
from dagster_shared.error import SerializableErrorInfo

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.runs.records import NO_REASON, RunFailure, RunRecord, RunStatus
from turbomode_assets.runs.tasks import assets_of_jobs, names_of_job, present_job
from turbomode_assets.sessions import SessionSpan, session_of

SESSION_TAG = "turbomode/session"
REQUESTED_TAG = "turbomode/requested_at"
"""When a run was asked for, by the clock that asked; a simulated one differs from the storage's."""
ATTEMPT_TAG = "turbomode/attempt"
BATCH = 10
"""So many runs are read at a time where the newest that fits is looked for."""
REMEMBERED_RUNS = 10_000
_planned_by_run: dict[str, frozenset[str]] = {}
"""What finished runs of jobs that the platform does not have were to make; it cannot change."""


class DagsterRunHistory:
    """What the run storage of an instance holds, for a tenant that ingests or follows."""

    def __init__(self, instance: dg.DagsterInstance, *, ingests: bool) -> None:
        self._instance = instance
        self._assets_of_jobs = assets_of_jobs(ingests=ingests)

    def created_since(
        self, since: dt.datetime, statuses: Collection[RunStatus] = ()
    ) -> list[RunRecord]:
        """Runs that were created after a time, of these statuses if any are given."""
        wanted = [dg.DagsterRunStatus(status.value) for status in statuses]
        return self._read(dg.RunsFilter(statuses=wanted, created_after=since))

    def updated_since(self, since: dt.datetime) -> list[RunRecord]:
        """Runs of which something was recorded after a time."""
        return self._read(dg.RunsFilter(updated_after=since))

    def of_session(self, session: dt.date) -> list[RunRecord]:
        """Runs of one session alone; those of ranges around it are not among them."""
        return self.tagged(PARTITION_NAME_TAG, str(session))

    def tagged(self, tag: str, value: str) -> list[RunRecord]:
        """Runs that hold a tag with this value."""
        return self._read(dg.RunsFilter(tags={tag: value}))

    def unfinished(self, job: str) -> list[RunRecord]:
        """Runs of a job that wait or are under way."""
        statuses = list(NOT_FINISHED_STATUSES)
        return [
            run
            for name in names_of_job(job)
            for run in self._read(dg.RunsFilter(job_name=name, statuses=statuses))
        ]

    def oldest(self, job: str) -> RunRecord | None:
        """The first run of a job that is still stored."""
        found = [
            record
            for name in names_of_job(job)
            for record in self._instance.get_run_records(
                dg.RunsFilter(job_name=name), limit=1, ascending=True
            )
        ]
        oldest = min(found, key=lambda record: record.storage_id, default=None)
        return self.record_of(oldest) if oldest else None

    def newest_first(self, job: str) -> Iterator[RunRecord]:
        """Runs of a job from the newest on, read as they are asked for."""
        for name in names_of_job(job):
            cursor = None
            while found := self._instance.get_run_records(
                dg.RunsFilter(job_name=name), limit=BATCH, cursor=cursor
            ):
                yield from map(self.record_of, found)
                cursor = found[-1].dagster_run.run_id

    def failure_of(self, run_id: str) -> RunFailure:
        """First failed step of a run with the first line of its error, or what ended the run."""
        kinds = {
            DagsterEventType.STEP_FAILURE,
            DagsterEventType.RUN_FAILURE,
            DagsterEventType.RUN_CANCELED,
        }
        entries = self._instance.all_logs(run_id, of_type=kinds)
        events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
        for event in (each for each in events if each.is_step_failure):
            failure = event.step_failure_data
            said, error = failure.user_failure_data, failure.error
            words = said.description if said is not None else None
            if not words:
                words = reason_of(error) if error is not None else event.message
            return RunFailure(event.step_key, first_line(words) or NO_REASON)
        ends = (first_line(_without_class(event.message or "")) for event in events)
        return RunFailure(None, next(filter(None, ends), NO_REASON))

    def record_of(self, record: dg.RunRecord) -> RunRecord:
        """Make a plain record of one of Dagster's."""
        run = record.dagster_run
        parts = parts_of(run)
        asked = run.tags.get(REQUESTED_TAG)
        return RunRecord(
            run_id=run.run_id,
            number=record.storage_id,
            job=present_job(run.job_name),
            assets=self._whole_of(run) if parts is None else _made_by(parts),
            restricted_to=parts,
            sessions=sessions_of(run),
            status=RunStatus(run.status.value),
            created_at=record.create_timestamp,
            asked_at=dt.datetime.fromisoformat(asked) if asked else record.create_timestamp,
            started_at=_moment(record.start_time),
            ended_at=_moment(record.end_time),
            attempt=int(run.tags.get(ATTEMPT_TAG, 1)),
        )

    def _read(self, wanted: dg.RunsFilter) -> list[RunRecord]:
        return [self.record_of(record) for record in self._instance.get_run_records(wanted)]

    def _whole_of(self, run: dg.DagsterRun) -> frozenset[str]:
        """Assets that the whole of a run's job makes.

        Of a job that the platform does not have, what the run wrote down when it was created; of
        one without assets the job itself, which only another run of it can make good.
        """
        job = present_job(run.job_name)
        known = self._assets_of_jobs.get(job) or _planned_by_run.get(run.run_id)
        if known is None:
            known = self._planned(run.run_id) or frozenset({f"job {job}"})
            if run.is_finished:
                # A sensor reads the same runs at each tick, and each would be a file to open.
                if len(_planned_by_run) >= REMEMBERED_RUNS:
                    _planned_by_run.clear()
                _planned_by_run[run.run_id] = known
        return known

    def _planned(self, run_id: str) -> frozenset[str]:
        kind = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        events = (entry.dagster_event for entry in self._instance.all_logs(run_id, of_type=kind))
        keys = (event.asset_key for event in events if event is not None)
        return frozenset(key.to_user_string() for key in keys if key is not None)


def sessions_of(run: dg.DagsterRun) -> SessionSpan | None:
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
        return frozenset(f"step {step}" for step in run.step_keys_to_execute or ())
    if run.resolved_op_selection:
        return frozenset(f"step {step}" for step in run.resolved_op_selection)
    if run.asset_selection:
        return frozenset(key.to_user_string() for key in run.asset_selection)
    if run.asset_check_selection:
        return frozenset(key.to_user_string() for key in run.asset_check_selection)
    return None


def reason_of(error: SerializableErrorInfo) -> str:
    """Say what made a step fail, whole: what it raised is the cause of what Dagster says of it."""
    return _without_class((error.cause or error).message)


def first_line(words: str | None) -> str:
    """Return the first line that is not empty; an empty one if there is none."""
    return next((line.strip() for line in (words or "").splitlines() if line.strip()), "")


def _without_class(message: str) -> str:
    """Leave out the name of an error's class and the module before it."""
    head, colon, rest = message.strip().partition(": ")
    return rest if colon and "." in head and " " not in head else message.strip()


def _moment(timestamp: float | None) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(timestamp, dt.UTC) if timestamp else None


def _made_by(parts: Collection[str]) -> frozenset[str]:
    """What parts of a job make: the step of an asset bears the asset's name."""
    return frozenset(part.removeprefix("step ") for part in parts)
