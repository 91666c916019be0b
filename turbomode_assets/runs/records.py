"""What is known of one run, as plain data, and the one rule on what it did for whom.

No Dagster here: `orchestration/run_records.py` makes these records.
"""

import datetime as dt
import enum
from collections.abc import Iterable
from dataclasses import dataclass

from turbomode_assets.contracts.errors import first_few
from turbomode_assets.runs.tasks import ASSETS, WITHOUT_SESSIONS
from turbomode_assets.sessions import SessionSpan, last_closed_session

NAMED_PARTS = 3
NO_REASON = "it left no reason: its process may have been killed"


class Outcome(enum.Enum):
    """What became of a run."""

    UNDER_WAY = "under way"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RunStatus(enum.Enum):
    """Status of a run, by the names that the run storage has for them."""

    QUEUED = "QUEUED"
    NOT_STARTED = "NOT_STARTED"
    MANAGED = "MANAGED"
    STARTING = "STARTING"
    STARTED = "STARTED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"


AT_WORK = frozenset({RunStatus.STARTING, RunStatus.STARTED})
FINISHED = frozenset({RunStatus.SUCCESS, RunStatus.FAILURE, RunStatus.CANCELED})


@dataclass(frozen=True)
class RunFailure:
    """What made a run fail: its first failed step, if one did, and the first line of the error."""

    step: str | None
    line: str


@dataclass(frozen=True)
class RunRecord:
    """One run, whoever launched it.

    `number` grows in the order in which runs were created. `assets` is what it was to make;
    `restricted_to` names the assets, checks or steps that it was restricted to, None if it does
    its whole job. `sessions` is None where its tags name none.
    """

    run_id: str
    number: int
    job: str
    assets: frozenset[str]
    restricted_to: frozenset[str] | None
    sessions: SessionSpan | None
    status: RunStatus
    created_at: dt.datetime
    asked_at: dt.datetime
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    attempt: int = 1

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status in FINISHED

    @property
    def outcome(self) -> Outcome:
        """What became of it; one that was canceled failed."""
        if not self.is_finished:
            return Outcome.UNDER_WAY
        return Outcome.SUCCEEDED if self.status is RunStatus.SUCCESS else Outcome.FAILED

    @property
    def seconds(self) -> float | None:
        """How long it took; None until it has ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    @property
    def name(self) -> str:
        """What it was to do: its job, and the parts of it where it was restricted to some."""
        if self.restricted_to is None:
            return self.job.strip("_")
        chosen = first_few(sorted(self.restricted_to), NAMED_PARTS)
        return chosen if self.job.startswith("__") else f"{self.job} ({chosen})"

    def covers(self, session: dt.date) -> bool:
        """Tell whether a session is among those that it was launched for."""
        span = self.sessions
        return span is not None and span.first <= session <= span.last

    def did(self, asset: str, session: dt.date) -> bool:
        """Tell whether it made an asset for a session: the one answer to that question.

        A run that failed made nothing that counts. What it wrote may be what a blocking check
        refused after the write, so its tasks are done again, and only a success ends that.
        """
        return any(first <= session <= last for first, last in self.stretches(asset))

    def includes(self, part: str, job: str | None = None) -> bool:
        """Tell whether it was to do an asset, or a check or step of a job.

        A whole run of the job does its checks and steps too, though its record lists none.
        """
        is_whole = self.restricted_to is None and self.job == job
        return part in self.assets or (is_whole and part not in ASSETS)

    def stretches(self, asset: str, job: str | None = None) -> list[tuple[dt.date, dt.date]]:
        """First and last days of the sessions for which it made an asset, or a part of a job.

        One without partitions is made for every session that had closed when the run was asked for.
        """
        if self.status is not RunStatus.SUCCESS or not self.includes(asset, job):
            return []
        found = [(self.sessions.first, self.sessions.last)] if self.sessions else []
        if asset in WITHOUT_SESSIONS:
            found.append((dt.date.min, last_closed_session(self.asked_at)))
        return found


def is_done(runs: Iterable[RunRecord], assets: Iterable[str], session: dt.date) -> bool:
    """Tell whether each of these assets was made for a session, by whichever runs."""
    known = list(runs)
    return all(any(run.did(asset, session) for run in known) for asset in assets)


def done_spans(runs: Iterable[RunRecord], assets: Iterable[str]) -> list[SessionSpan]:
    """Stretches of sessions for which each of these assets was made, by whichever runs.

    Stretches that touch are not joined; no session is in two of them.
    """
    known = list(runs)
    common: list[tuple[dt.date, dt.date]] | None = None
    for asset in assets:
        made = _joined(stretch for run in known for stretch in run.stretches(asset))
        common = made if common is None else _overlap(common, made)
    return [SessionSpan(first, last) for first, last in common or [] if first != dt.date.min]


def _joined(stretches: Iterable[tuple[dt.date, dt.date]]) -> list[tuple[dt.date, dt.date]]:
    joined: list[tuple[dt.date, dt.date]] = []
    for first, last in sorted(stretches):
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined


def _overlap(
    some: list[tuple[dt.date, dt.date]], others: list[tuple[dt.date, dt.date]]
) -> list[tuple[dt.date, dt.date]]:
    """Days that lie in a stretch of both lists, each of which is in order."""
    found: list[tuple[dt.date, dt.date]] = []
    left, right = 0, 0
    while left < len(some) and right < len(others):
        first = max(some[left][0], others[right][0])
        last = min(some[left][1], others[right][1])
        if first <= last:
            found.append((first, last))
        if some[left][1] < others[right][1]:
            left += 1
        else:
            right += 1
    return found
