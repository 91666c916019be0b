"""Which sessions of a task are to be started now: a decision over what has run, and nothing else.

No state is kept: what ran says what is owed. This module knows neither Dagster nor any store.
"""

import datetime as dt
import enum
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from turbomode_assets.config.scheduler import TaskConfig
from turbomode_assets.runs.records import Outcome
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.sessions.timetable import (
    due_sessions,
    due_time,
    newest_due_session,
    next_due,
)


@dataclass(frozen=True)
class TaskRun:
    """A run of a task for some sessions, whoever launched it."""

    sessions: SessionSpan
    outcome: Outcome
    asked_at: dt.datetime
    attempt: int = 1


@dataclass(frozen=True)
class TaskRuns:
    """The runs of a task that can matter now, and the first session that any run ever covered.

    `done` are the stretches of sessions that succeeded, by whichever runs.
    """

    runs: tuple[TaskRun, ...]
    first: dt.date | None
    done: tuple[SessionSpan, ...]

    @functools.cached_property
    def under_way(self) -> int:
        """How many runs are under way."""
        return sum(run.outcome is Outcome.UNDER_WAY for run in self.runs)

    @functools.cached_property
    def last_success(self) -> dt.date | None:
        """The latest session that succeeded."""
        return max((span.last for span in self.done), default=None)

    def has_succeeded(self, session: dt.date) -> bool:
        """Tell whether all of the task was done for this session."""
        return session in self._single_successes or any(
            span.first <= session <= span.last for span in self._long_successes
        )

    def covering(self, session: dt.date) -> list[TaskRun]:
        """Runs that did this session."""
        return [run for run in self.runs if run.sessions.first <= session <= run.sessions.last]

    @functools.cached_property
    def _single_successes(self) -> set[dt.date]:
        return {span.first for span in self.done if span.first == span.last}

    @functools.cached_property
    def _long_successes(self) -> list[SessionSpan]:
        return [span for span in self.done if span.first != span.last]


class State(enum.Enum):
    """How a session of a task stands."""

    DONE = "has succeeded"
    UNDER_WAY = "is running"
    NOT_DUE = "is not due yet"
    LET_GO = "is not owed"
    COALESCED = "is left to a later session"
    EXHAUSTED = "has failed for good"
    HOPELESS = "cannot run"
    RETRYING = "has failed"
    OPEN = "has not succeeded"


NEVER_BY_ITSELF = {State.LET_GO, State.EXHAUSTED, State.HOPELESS}
SETTLED = {State.DONE, State.COALESCED, *NEVER_BY_ITSELF}


@dataclass(frozen=True)
class Standing:
    """How a session of a task stands; one that is retried, from when on."""

    state: State
    again_at: dt.datetime | None = None


@dataclass(frozen=True)
class Start:
    """A session to start, and the how manieth attempt at it that is."""

    session: dt.date
    attempt: int


@dataclass(frozen=True)
class Decision:
    """What to start now, and why nothing else is."""

    starts: tuple[Start, ...]
    reasons: tuple[str, ...]


@dataclass
class TaskBoard:
    """The tasks at one moment.

    `runs_of` tells what ran of a task, `is_on` whether it is switched on, `held_because` what it
    waits for that is no task, if so, `idle_because` why it has nothing to do for a session, if so;
    each is asked only for what a decision hangs on.
    """

    tasks: Mapping[str, TaskConfig]
    zone: str
    now: dt.datetime
    runs_of: Callable[[str], TaskRuns]
    is_on: Callable[[str], bool]
    held_because: Callable[[str, dt.date], str | None]
    idle_because: Callable[[str, dt.date], str | None]
    _standings: dict[tuple[str, dt.date], Standing] = field(default_factory=dict)
    _owed: dict[str, list[dt.date]] = field(default_factory=dict)

    def decide(self, name: str) -> Decision:
        """Say which sessions of a task to start now, the oldest first."""
        places = self.tasks[name].maximum_running - self.runs_of(name).under_way
        starts: list[Start] = []
        reasons: list[str] = []
        for session in self._candidates(name):
            hindrance, holds_place = self._hindrance(name, session)
            if hindrance:
                reasons.append(f"{session} {hindrance}")
                places -= holds_place
            elif places > 0:
                starts.append(Start(session, self.attempts(name, session) + 1))
                places -= 1
            else:
                reasons.append(f"{session} waits for its turn")
                break
        return Decision(tuple(starts), tuple(reasons) or (self._outlook(name),))

    def standing(self, name: str, session: dt.date) -> Standing:
        """Say how a session of a task stands."""
        key = name, session
        if key not in self._standings:
            self._standings[key] = self._stand(name, session)
        return self._standings[key]

    def owed(self, name: str) -> list[dt.date]:
        """Sessions in grace since the task first ran, done or not; before it ever ran, the newest.

        The oldest comes first.
        """
        if name not in self._owed:
            task, first = self.tasks[name], self.runs_of(name).first
            grace = dt.timedelta(minutes=task.misfire_grace_minutes)
            due = due_sessions(task.cron, self.zone, self.now, grace)
            self._owed[name] = (
                due[-1:] if first is None else [session for session in due if session >= first]
            )
        return self._owed[name]

    def attempts(self, name: str, session: dt.date) -> int:
        """How many runs of a session there were, those deleted since included as far as known."""
        covering = self.runs_of(name).covering(session)
        return max([len(covering), *(run.attempt for run in covering)])

    def _candidates(self, name: str) -> list[dt.date]:
        """What is owed and has not succeeded; where sessions coalesce, the one that stands."""
        if self.tasks[name].coalesce:
            newest = self._newest(name)
            return [newest] if newest and not self._is_done(name, newest) else []
        return [session for session in self.owed(name) if not self._is_done(name, session)]

    def _is_done(self, name: str, session: dt.date) -> bool:
        runs = self.runs_of(name)
        if runs.has_succeeded(session):
            return True
        last = runs.last_success
        return self.tasks[name].coalesce and last is not None and last > session

    def _newest(self, name: str) -> dt.date | None:
        """The owed session that stands for all: the newest one that can run at all."""
        owed = self.owed(name)
        able = (session for session in reversed(owed) if not self._is_hopeless(name, session))
        return next(able, owed[-1] if owed else None)

    def _stand(self, name: str, session: dt.date) -> Standing:
        task = self.tasks[name]
        if self._is_done(name, session):
            return Standing(State.DONE)
        covering = self.runs_of(name).covering(session)
        if any(run.outcome is Outcome.UNDER_WAY for run in covering):
            return Standing(State.UNDER_WAY)
        if due_time(task.cron, session, self.zone) > self.now:
            return Standing(State.NOT_DUE)
        if session not in self.owed(name):
            return Standing(State.LET_GO)
        newest = self._newest(name) if task.coalesce else session
        if newest is not None and newest < session:
            return Standing(State.HOPELESS)
        if newest is not None and newest > session:
            standing = self.standing(name, newest)
            never = standing.state in NEVER_BY_ITSELF
            return standing if never else Standing(State.COALESCED)
        return self._stand_after(name, session, covering)

    def _stand_after(self, name: str, session: dt.date, covering: list[TaskRun]) -> Standing:
        """Judge by the failures since a session of the task last became due."""
        task = self.tasks[name]
        newest = newest_due_session(task.cron, self.zone, self.now)
        round_began = due_time(task.cron, newest, self.zone)
        failures = [run.asked_at for run in covering if run.asked_at >= round_began]
        if len(failures) > self._retries(name, session, round_began):
            return Standing(State.EXHAUSTED)
        if failures:
            delay = task.retry_delay_minutes * 2 ** (len(failures) - 1)
            again_at = max(failures) + dt.timedelta(minutes=delay)
            if again_at > self.now:
                return Standing(State.RETRYING, again_at)
        return Standing(State.HOPELESS if self._is_hopeless(name, session) else State.OPEN)

    def _retries(self, name: str, session: dt.date, round_began: dt.datetime) -> int:
        """How often a failure of this round is tried again.

        Once an older session has used its attempts up, those that are left over from earlier rounds
        get one each: a vendor that is gone for good must not keep the newest session waiting.
        """
        task = self.tasks[name]
        if task.coalesce or due_time(task.cron, session, self.zone) >= round_began:
            return task.retries
        older = (self.standing(name, other) for other in self.owed(name) if other < session)
        has_given_up = any(standing.state is State.EXHAUSTED for standing in older)
        return 0 if has_given_up else task.retries

    def _is_hopeless(self, name: str, session: dt.date) -> bool:
        """Tell whether something that the session depends on will not come by itself."""
        return any(self._never_comes(other, session) for other in self.tasks[name].depends_on)

    def _never_comes(self, name: str, session: dt.date) -> bool:
        state = self.standing(name, session).state
        if state in (State.DONE, State.UNDER_WAY):
            return False
        return state in NEVER_BY_ITSELF or not self.is_on(name)

    def _hindrance(self, name: str, session: dt.date) -> tuple[str, bool]:
        """Why a session does not start now (empty if it does), and whether later ones wait for it.

        One that is about to start keeps its place; one that depends on what is not there does not.
        """
        standing = self.standing(name, session)
        if standing.state is State.RETRYING:
            return f"has failed and is tried again at {self._clock(standing.again_at)}", True
        if standing.state in (State.UNDER_WAY, State.EXHAUSTED):
            return standing.state.value, False
        for other in self.tasks[name].depends_on:
            if self.standing(other, session).state is not State.DONE:
                return self._awaits(other, session), False
        if standing.state is not State.OPEN:
            return standing.state.value, False
        for other in self.tasks[name].waits_for:
            if not self._is_settled(other, session):
                return self._awaits(other, session), True
        return self.held_because(name, session) or self.idle_because(name, session) or "", False

    def _is_settled(self, name: str, session: dt.date) -> bool:
        """Tell whether nothing more is to be expected of a task for a session."""
        state = self.standing(name, session).state
        if state in SETTLED:
            return True
        if state is State.UNDER_WAY:
            return False
        if not self.is_on(name):
            return True
        is_free = state is State.OPEN and self._is_free(name, session)
        return is_free and self.idle_because(name, session) is not None

    def _is_free(self, name: str, session: dt.date) -> bool:
        task = self.tasks[name]
        return all(
            self.standing(other, session).state is State.DONE for other in task.depends_on
        ) and all(self._is_settled(other, session) for other in task.waits_for)

    def _awaits(self, name: str, session: dt.date) -> str:
        standing = self.standing(name, session)
        again = f", tried again at {self._clock(standing.again_at)}" if standing.again_at else ""
        will_come = standing.state is State.UNDER_WAY or self.is_on(name)
        off = "" if will_come else ", switched off"
        return f"awaits {name}, which {standing.state.value}{again}{off}"

    def _outlook(self, name: str) -> str:
        session, due = next_due(self.tasks[name].cron, self.zone, self.now)
        return f"nothing is owed; {session} is due at {self._clock(due)}"

    def _clock(self, moment: dt.datetime | None) -> str:
        return f"{moment.astimezone(ZoneInfo(self.zone)):%Y-%m-%d %H:%M}" if moment else "once"
