"""Every task over years of nights: holidays, half days, clock changes, outages and failures."""

import datetime as dt
import itertools
from collections import Counter, defaultdict
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from turbomode_assets.runs.due import State
from turbomode_assets.runs.records import Outcome
from turbomode_assets.sessions import (
    NEW_YORK,
    offset_session,
    session_index,
    sessions_between,
)
from turbomode_assets.sessions.timetable import due_time
from turbomode_assets_tests.runs.nights import MINUTE, SHIPPED, Daemon, at, clock, day

EVERY_SESSION = ("ingestion", "scanner", "backtest", "drift_monitor")
CADENCE = 21
STEP = 60 * MINUTE


def trains_by_cadence(task, session):
    return None if task != "training" or session_index(session) % CADENCE == 0 else "no cause"


def usual_minutes(task, session, attempt):
    """Ingestion takes 5 to 75 minutes, so that on some nights the scanner has to wait."""
    return {"ingestion": 5 + session_index(session) * 7 % 71, "training": 90}.get(task, 3)


def begun(daemon):
    """Runs by task, in the order in which they were started."""
    found = defaultdict(list)
    for started in daemon.started:
        found[started.task].append(started)
    return found


@pytest.mark.parametrize(
    ("first", "last"),
    [("2016-01-04", "2017-12-29"), ("2012-10-01", "2012-11-30"), ("2001-09-04", "2001-10-05")],
    ids=["two years", "hurricane", "september 2001"],
)
def test_every_task_runs_once_for_every_session_in_order_and_on_time(first, last):
    daemon = Daemon(dict(SHIPPED), minutes=usual_minutes, idle=trains_by_cadence)
    daemon.succeeded(offset_session(day(first), -1))
    for now in clock(f"{first} 12:00", f"{sessions_after(last, 1)} 12:00"):
        daemon.look(now)
    runs, sessions = begun(daemon), sessions_between(day(first), day(last))
    for task in EVERY_SESSION:
        assert [run.session for run in runs[task]] == sessions, task
    due_for_training = [each for each in sessions if trains_by_cadence("training", each) is None]
    assert [run.session for run in runs["training"]] == due_for_training
    assert_once_a_week(runs["maintenance"], sessions)
    for task, started in ((name, some) for name, some in runs.items() if some):
        cron = SHIPPED[task].cron
        late = [run.run.asked_at - due_time(cron, run.session, NEW_YORK) for run in started]
        assert min(late) >= dt.timedelta(0), task
        assert max(late) <= 150 * MINUTE, task
    assert_dependencies_came_first(daemon)


def sessions_after(session, count):
    return offset_session(day(session), count)


def assert_once_a_week(maintenance, sessions):
    weeks = {session.isocalendar()[:2] for session in sessions}
    assert sorted(run.session.isocalendar()[:2] for run in maintenance) == sorted(weeks)
    local = [run.run.asked_at.astimezone(ZoneInfo(NEW_YORK)) for run in maintenance]
    assert {moment.weekday() for moment in local} == {6}
    # 02:00 does not exist on the Sunday in spring: it is 03:00 then.
    assert Counter(f"{moment:%H:%M}" for moment in local).keys() <= {"02:00", "03:00"}
    assert sum(moment.hour == 3 for moment in local) == len(
        {moment.year for moment in local if moment.month == 3}
    )


def assert_dependencies_came_first(daemon):
    ended = {(run.task, run.session): run.ends for run in daemon.started}
    for run in daemon.started:
        task = SHIPPED[run.task]
        for other in task.depends_on:
            assert ended[other, run.session] <= run.run.asked_at
        for other in task.waits_for:
            assert ended.get((other, run.session), run.run.asked_at) <= run.run.asked_at


# --- outages and failures -------------------------------------------------------------------------

FIRST, LAST = "2017-10-23", "2017-11-10"
LENGTH_HOURS = 19 * 24
outages = st.lists(st.tuples(st.integers(0, LENGTH_HOURS), st.integers(1, 90)), max_size=4)


def assert_never_two_at_once(daemon):
    for task, started in begun(daemon).items():
        for earlier, later in itertools.pairwise(started):
            assert earlier.ends <= later.run.asked_at, (task, earlier, later)


def assert_no_more_attempts_than_allowed(daemon):
    """In each round, which a later session's becoming due begins."""
    for task, started in begun(daemon).items():
        limit = 1 + SHIPPED[task].retries
        for session, runs in by_session(started).items():
            rounds = {due_time(SHIPPED[task].cron, later, NEW_YORK) for later in following(session)}
            counted = Counter(
                max(moment for moment in rounds if moment <= run.run.asked_at) for run in runs
            )
            assert max(counted.values()) <= limit, (task, session)


def by_session(started):
    found = defaultdict(list)
    for run in started:
        found[run.session].append(run)
    return found


def following(session):
    return sessions_between(session, day("2017-11-24"))


# Shrinking weeks of nights takes longer than reading them.
@settings(max_examples=8, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    outages,
    st.randoms(use_true_random=False),
    st.sampled_from([0.0, 0.2, 0.6]),
)
def test_after_outages_and_failures_everything_owed_has_succeeded_once_it_is_quiet(
    down, chance, share
):
    begin = at(f"{FIRST} 12:00")
    quiet = at("2017-11-10 22:00")
    fates = {}

    def fails(task, session, attempt):
        fate = fates.setdefault((task, session, attempt), chance.random() < share)
        return fate and clock_now < quiet

    def minutes(task, session, attempt):
        return chance.choice([1, 20, 70, SHIPPED[task].timeout_minutes])

    daemon = Daemon(dict(SHIPPED), minutes=minutes, fails=fails, idle=trains_by_cadence)
    daemon.succeeded(offset_session(day(FIRST), -1))
    is_down = [(begin + hour * STEP, begin + (hour + length) * STEP) for hour, length in down]
    for clock_now in clock(f"{FIRST} 12:00", "2017-11-16 21:00"):
        asleep = clock_now < quiet and any(a <= clock_now < b for a, b in is_down)
        daemon.finish(clock_now) if asleep else daemon.look(clock_now)
    assert_never_two_at_once(daemon)
    assert_no_more_attempts_than_allowed(daemon)
    roster = daemon.roster(clock_now)
    for task in SHIPPED:
        states = {session: roster.standing(task, session).state for session in roster.owed(task)}
        assert set(states) >= set(sessions_between(day(FIRST), day(LAST))) or task == "maintenance"
        if task != "training":
            assert set(states.values()) == {State.DONE}, (task, states)
    for task in ("ingestion", "scanner", "drift_monitor"):
        done = [run.session for run in begun(daemon)[task] if run.outcome is Outcome.SUCCEEDED]
        assert len(done) == len(set(done)), task
