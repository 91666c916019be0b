"""A daemon over a run store in memory, with a clock of its own: for decisions over years."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from turbomode_assets.config.loader import load_scheduler_config
from turbomode_assets.config.scheduler import TaskConfig
from turbomode_assets.runs.due import Decision, TaskBoard, TaskRun, TaskRuns
from turbomode_assets.runs.records import Outcome
from turbomode_assets.sessions import NEW_YORK, SessionSpan
from turbomode_assets_tests.builders import REPOSITORY

SHIPPED: Mapping[str, TaskConfig] = load_scheduler_config(REPOSITORY / "configs").tasks.by_name()
MINUTE = dt.timedelta(minutes=1)
REMEMBERED = dt.timedelta(days=45)


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(NEW_YORK)).astimezone(dt.UTC)


def local(moment: dt.datetime) -> str:
    return f"{moment.astimezone(ZoneInfo(NEW_YORK)):%m-%d %H:%M}"


def tasks(**changes: Mapping[str, object]) -> dict[str, TaskConfig]:
    """The shipped tasks, some keys of some changed."""
    return {name: task.model_copy(update=changes.get(name, {})) for name, task in SHIPPED.items()}


@dataclass
class Started:
    """A run that the daemon started; it ends at `ends` as `outcome` says."""

    task: str
    run: TaskRun
    ends: dt.datetime
    outcome: Outcome

    @property
    def session(self) -> dt.date:
        return self.run.sessions.last


@dataclass
class Daemon:
    """Looks at every task at each step, and starts what is decided."""

    tasks: dict[str, TaskConfig]
    minutes: Callable[[str, dt.date, int], int] = lambda task, session, attempt: 5
    fails: Callable[[str, dt.date, int], bool] = lambda task, session, attempt: False
    idle: Callable[[str, dt.date], str | None] = lambda task, session: None
    held: Callable[[str, dt.date], str | None] = lambda task, session: None
    off: set[str] = field(default_factory=set)
    started: list[Started] = field(default_factory=list)
    _runs: dict[str, list[TaskRun]] = field(default_factory=dict)
    _known: dict[str, TaskRuns] = field(default_factory=dict)
    _first: dict[str, dt.date] = field(default_factory=dict)
    _under_way: list[Started] = field(default_factory=list)

    def record(self, task: str, run: TaskRun) -> None:
        """Store a run, as somebody else's would be."""
        self._runs.setdefault(task, []).append(run)
        first = run.sessions.first
        self._first[task] = min(first, self._first.get(task, first))
        self._known.pop(task, None)

    def succeeded(
        self, session: str | dt.date, *names: str, asked: str = "2000-01-01 00:00"
    ) -> None:
        """Store a success of one session of some tasks (of all, if none is named)."""
        when = session if isinstance(session, dt.date) else day(session)
        for name in names or self.tasks:
            self.record(name, TaskRun(SessionSpan(when, when), Outcome.SUCCEEDED, at(asked)))

    def ran(self, session: str, name: str, outcome: Outcome, *asked: str) -> None:
        """Store runs of one session that were asked for at these times."""
        span = SessionSpan(day(session), day(session))
        for number, moment in enumerate(asked, start=1):
            self.record(name, TaskRun(span, outcome, at(moment), number))

    def roster(self, now: dt.datetime) -> TaskBoard:
        return TaskBoard(
            self.tasks,
            NEW_YORK,
            now,
            runs_of=self.runs_of,
            is_on=lambda name: name not in self.off,
            held_because=self.held,
            idle_because=self.idle,
        )

    def runs_of(self, task: str) -> TaskRuns:
        if task not in self._known:
            runs = tuple(self._runs.get(task, ()))
            done = tuple(run.sessions for run in runs if run.outcome is Outcome.SUCCEEDED)
            self._known[task] = TaskRuns(runs, self._first.get(task), done)
        return self._known[task]

    def asked(self, task: str, now: str) -> Decision:
        return self.roster(at(now)).decide(task)

    def sessions(self, task: str, now: str) -> list[str]:
        """Sessions that a task would start now."""
        return [str(start.session) for start in self.asked(task, now).starts]

    def look(self, now: dt.datetime, names: Iterable[str] | None = None) -> list[Started]:
        """End what ends, and start what is due."""
        self.finish(now)
        begun = []
        for task in names or self.tasks:
            if task not in self.off:
                begun += [self._start(task, s, now) for s in self.roster(now).decide(task).starts]
        return begun

    def finish(self, now: dt.datetime) -> None:
        for started in [each for each in self._under_way if each.ends <= now]:
            self._under_way.remove(started)
            runs = self._runs[started.task]
            runs[runs.index(started.run)] = replace(started.run, outcome=started.outcome)
            self._forget(started.task, now)

    def _forget(self, task: str, now: dt.datetime) -> None:
        """Keep what can still matter; the first session ever stays known."""
        oldest = (now - REMEMBERED).date()
        self._runs[task] = [r for r in self._runs[task] if r.sessions.last > oldest]
        self._known.pop(task, None)

    def _start(self, task: str, start: object, now: dt.datetime) -> Started:
        session, attempt = start.session, start.attempt  # type: ignore[attr-defined]
        run = TaskRun(SessionSpan(session, session), Outcome.UNDER_WAY, now, attempt)
        outcome = Outcome.FAILED if self.fails(task, session, attempt) else Outcome.SUCCEEDED
        ends = now + self.minutes(task, session, attempt) * MINUTE
        started = Started(task, run, ends, outcome)
        self.record(task, run)
        self._under_way.append(started)
        self.started.append(started)
        return started


def clock(first: str, last: str) -> Iterator[dt.datetime]:
    """Moments from first to last: every 15 minutes by night, every hour by day, in New York."""
    now, end = at(first), at(last)
    while now <= end:
        yield now
        hour = now.astimezone(ZoneInfo(NEW_YORK)).hour
        now += (60 if 5 <= hour < 22 else 15) * MINUTE
