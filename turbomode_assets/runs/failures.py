"""Which failures are not repaired, and what exactly they left undone.

A failure is repaired asset by asset and session by session, by whichever later runs.
"""

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from turbomode_assets.contracts.errors import first_few
from turbomode_assets.runs.records import Outcome, RunRecord, RunStatus
from turbomode_assets.runs.tasks import WITHOUT_SESSIONS
from turbomode_assets.sessions import SessionSpan, session_index

ALL_OF_IT = "all of it"


@dataclass(frozen=True)
class UndonePart:
    """Assets that are missing for the same sessions; for none in particular if there are none."""

    assets: tuple[str, ...]
    sessions: tuple[dt.date, ...]

    def __str__(self) -> str:
        """Write the first assets and the stretches of sessions."""
        assets = first_few(self.assets)
        return f"{assets} of {first_few(_stretches(self.sessions))}" if self.sessions else assets


@dataclass(frozen=True)
class Undone:
    """What a failed run left undone up to now; `is_whole` where nothing of it was repaired."""

    parts: tuple[UndonePart, ...]
    is_whole: bool

    def __bool__(self) -> bool:
        """Tell whether anything is left."""
        return bool(self.parts)

    def __str__(self) -> str:
        """Name what is left."""
        return ALL_OF_IT if self.is_whole else "; ".join(map(str, self.parts))


@dataclass(frozen=True)
class UnrepairedFailure:
    """Runs of the same work that failed, the oldest first, and what the latest left undone."""

    name: str
    attempts: tuple[RunRecord, ...]
    undone: Undone

    @property
    def latest(self) -> RunRecord:
        """The latest of the runs."""
        return self.attempts[-1]


def unrepaired(runs: Iterable[RunRecord]) -> list[UnrepairedFailure]:
    """Failures whose work was not all done since, the oldest first; the same work is one.

    `runs` must hold every success since the oldest of the failures.
    """
    known = sorted(runs, key=lambda run: run.number)
    successes = [run for run in known if run.status is RunStatus.SUCCESS]
    alike: dict[tuple[str, SessionSpan | None], list[tuple[RunRecord, Undone]]] = {}
    for run in known:
        if run.outcome is Outcome.FAILED and (undone := left_undone(run, successes)):
            alike.setdefault((run.name, run.sessions), []).append((run, undone))
    return [
        UnrepairedFailure(name, tuple(run for run, _ in found), found[-1][1])
        for (name, _), found in alike.items()
    ]


def left_undone(
    failed: RunRecord, runs: Sequence[RunRecord], assets: frozenset[str] | None = None
) -> Undone:
    """Say what of a failed run (of these assets of it, if given) no later run made."""
    wanted = failed.assets if assets is None else failed.assets & assets
    later = [
        run
        for run in runs
        if run.number > failed.number
        and run.status is RunStatus.SUCCESS
        and any(run.includes(asset, failed.job) for asset in wanted)
    ]
    alike: dict[tuple[dt.date, ...], list[str]] = defaultdict(list)
    left = 0
    for asset in sorted(wanted):
        sessions = _missing(failed, later, asset)
        if sessions is not None:
            alike[sessions].append(asset)
            left += max(len(sessions), 1)
    parts = tuple(UndonePart(tuple(assets), sessions) for sessions, assets in alike.items())
    each = len(failed.sessions.sessions) if failed.sessions else 1
    whole = sum(1 if asset in WITHOUT_SESSIONS else each for asset in wanted)
    return Undone(parts, is_whole=bool(parts) and left == whole)


def _missing(
    failed: RunRecord, later: Sequence[RunRecord], asset: str
) -> tuple[dt.date, ...] | None:
    """Sessions for which no later run made an asset; None if there is nothing that is missing."""
    makers = [run for run in later if run.includes(asset, failed.job)]
    if failed.sessions is None or asset in WITHOUT_SESSIONS:
        return None if makers else ()
    span = failed.sessions
    stretches = [stretch for run in makers for stretch in run.stretches(asset, failed.job)]
    if any(first <= span.first and span.last <= last for first, last in stretches):
        return None
    missing = tuple(
        session
        for session in span.sessions
        if not any(first <= session <= last for first, last in stretches)
    )
    return missing or None


def _stretches(sessions: Sequence[dt.date]) -> list[SessionSpan]:
    """The stretches of sessions that follow on one another."""
    numbered = enumerate(sessions)
    groups = itertools.groupby(numbered, key=lambda pair: session_index(pair[1]) - pair[0])
    found = [[session for _, session in group] for _, group in groups]
    return [SessionSpan(stretch[0], stretch[-1]) for stretch in found]
