import datetime as dt

import pytest

from turbomode_assets.runs.due import State, TaskRun
from turbomode_assets.runs.records import Outcome
from turbomode_assets.sessions import SessionSpan
from turbomode_assets_tests.runs.nights import Daemon, at, day, tasks

RUNNING, DONE, FAILED = Outcome.UNDER_WAY, Outcome.SUCCEEDED, Outcome.FAILED
MON, TUE, WED, THU, FRI = (f"2017-11-{number}" for number in (13, 14, 15, 16, 17))
SAT = "2017-11-18"


def daemon(*done, **changes):
    """A daemon of the shipped tasks, some changed, after these sessions succeeded in all of them.

    Nothing is to be trained unless a test says so.
    """
    made = Daemon(tasks(**changes), idle=never_trains)
    for session in done or (MON,):
        made.succeeded(session)
    return made


def never_trains(task, session):
    return "needs no training" if task == "training" else None


def reasons(made, task, now):
    return made.asked(task, now).reasons


# --- time and dependencies ------------------------------------------------------------------------


def test_a_task_starts_at_its_minute_and_not_before():
    night = daemon()
    assert night.sessions("ingestion", f"{TUE} 22:44") == []
    assert reasons(night, "ingestion", f"{TUE} 22:44") == (
        f"nothing is owed; {TUE} is due at {TUE} 22:45",
    )
    assert night.sessions("ingestion", f"{TUE} 22:45") == [TUE]


def test_a_late_ingestion_delays_the_scanner_and_does_not_skip_it():
    night = daemon()
    night.ran(TUE, "ingestion", RUNNING, f"{TUE} 22:45")
    assert night.sessions("scanner", f"{TUE} 23:30") == []
    assert reasons(night, "scanner", f"{TUE} 23:30") == (
        f"{TUE} awaits ingestion, which is running",
    )
    assert night.sessions("scanner", f"{WED} 04:00") == []
    late = daemon()
    late.ran(TUE, "ingestion", DONE, f"{TUE} 22:45")
    assert late.sessions("scanner", f"{TUE} 23:29") == []
    assert late.sessions("scanner", f"{WED} 04:00") == [TUE]


def test_a_session_that_is_held_back_uses_up_no_attempt_and_keeps_no_later_one_waiting():
    night = daemon()
    night.held = lambda task, session: "waits" if str(session) == TUE else None
    assert night.sessions("ingestion", f"{TUE} 23:00") == []
    assert reasons(night, "ingestion", f"{TUE} 23:00") == (f"{TUE} waits",)
    assert reasons(night, "scanner", f"{TUE} 23:30") == (
        f"{TUE} awaits ingestion, which has not succeeded",
    )
    assert night.sessions("ingestion", f"{WED} 23:00") == [WED]
    night.held = lambda task, session: None
    (start,) = night.asked("ingestion", f"{WED} 23:00").starts
    assert (str(start.session), start.attempt) == (TUE, 1)


def test_what_waits_for_a_task_that_is_held_back_waits_too():
    night = daemon(scanner={"depends_on": (), "waits_for": ("ingestion",)})
    night.held = lambda task, session: "waits" if task == "ingestion" else None
    assert night.sessions("scanner", f"{TUE} 23:30") == []
    night.held = lambda task, session: None
    night.succeeded(TUE, "ingestion")
    assert night.sessions("scanner", f"{TUE} 23:30") == [TUE]


def test_after_midnight_the_session_is_that_of_the_evening_before():
    night = daemon(THU)
    night.succeeded(FRI, "ingestion", "scanner")
    assert night.sessions("backtest", f"{FRI} 23:59") == []
    assert night.sessions("backtest", f"{SAT} 00:00") == [FRI]
    assert night.sessions("drift_monitor", f"{SAT} 00:30") == []
    assert reasons(night, "drift_monitor", f"{SAT} 00:30") == (
        f"{FRI} awaits backtest, which has not succeeded",
    )
    night.succeeded(FRI, "backtest")
    assert night.sessions("drift_monitor", f"{SAT} 00:30") == [FRI]


def test_maintenance_takes_the_last_session_of_the_week_on_sunday():
    night = daemon("2017-11-10", FRI)
    night._runs["maintenance"].pop()
    night._known.clear()
    assert night.sessions("maintenance", "2017-11-19 01:59") == []
    assert night.sessions("maintenance", "2017-11-19 02:00") == [FRI]


# --- what is owed ---------------------------------------------------------------------------------


def test_before_it_ever_ran_a_task_owes_the_newest_session_only():
    assert Daemon(tasks()).sessions("ingestion", f"{WED} 23:00") == [WED]
    assert Daemon(tasks()).sessions("ingestion", f"{WED} 12:00") == [TUE]


def test_missed_sessions_are_caught_up_the_oldest_first():
    night = daemon()
    assert night.sessions("ingestion", f"{FRI} 12:00") == [TUE]
    night.succeeded(TUE, "ingestion")
    assert night.sessions("ingestion", f"{FRI} 12:00") == [WED]


def test_a_range_run_by_hand_covers_all_its_sessions_and_says_since_when_the_task_runs():
    night = Daemon(tasks())
    span = SessionSpan(day("2017-01-03"), day(WED))
    night.record("ingestion", TaskRun(span, DONE, at(f"{WED} 18:00")))
    assert night.sessions("ingestion", f"{FRI} 12:00") == [THU]
    assert night.roster(at(f"{FRI} 12:00")).owed("ingestion")[0] == day("2017-10-18")


def test_a_first_run_that_failed_is_owed_and_what_lies_before_it_is_not():
    night = Daemon(tasks())
    night.ran(WED, "ingestion", FAILED, f"{WED} 22:45")
    assert night.sessions("ingestion", f"{THU} 23:00") == [WED]
    assert night.roster(at(f"{THU} 23:00")).owed("ingestion") == [day(WED), day(THU)]


@pytest.mark.parametrize(("now", "started"), [("23:45", [TUE]), ("23:46", [])])
def test_past_its_grace_a_session_is_let_go(now, started):
    night = daemon(ingestion={"misfire_grace_minutes": 60})
    assert night.sessions("ingestion", f"{TUE} {now}") == started


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "again"),
    [
        (["22:45"], "22:55"),
        (["22:45", "22:55"], "23:15"),
        (["22:45", "22:55", "23:15"], "23:55"),
    ],
)
def test_a_failed_session_is_tried_again_after_delays_that_double(asked, again):
    night = daemon()
    night.ran(TUE, "ingestion", FAILED, *(f"{TUE} {time}" for time in asked))
    before = at(f"{TUE} {again}") - dt.timedelta(seconds=1)
    decision = night.roster(before).decide("ingestion")
    assert decision.starts == ()
    assert decision.reasons == (f"{TUE} has failed and is tried again at {TUE} {again}",)
    (start,) = night.asked("ingestion", f"{TUE} {again}").starts
    assert (str(start.session), start.attempt) == (TUE, len(asked) + 1)


ALL_FOUR = [f"{TUE} {time}" for time in ("22:45", "22:55", "23:15", "23:55")]


def test_a_night_that_failed_for_good_is_tried_again_the_next_night_before_that_nights_own():
    night = daemon()
    night.ran(TUE, "ingestion", FAILED, *ALL_FOUR)
    assert night.sessions("ingestion", f"{WED} 12:00") == []
    assert reasons(night, "ingestion", f"{WED} 12:00") == (f"{TUE} has failed for good",)
    (start,) = night.asked("ingestion", f"{WED} 22:45").starts
    assert (str(start.session), start.attempt) == (TUE, 5)
    night.ran(TUE, "ingestion", FAILED, f"{WED} 22:45")
    assert night.sessions("ingestion", f"{WED} 22:50") == []
    assert night.sessions("ingestion", f"{WED} 22:55") == [TUE]
    night.ran(TUE, "ingestion", FAILED, *(f"{WED} {time}" for time in ("22:55", "23:15", "23:55")))
    assert night.sessions("ingestion", f"{THU} 00:00") == [WED]


def test_old_failures_keep_the_newest_session_waiting_for_one_attempt_each():
    night = daemon(MON)
    for session in (TUE, WED, THU):
        night.ran(session, "ingestion", FAILED, f"{session} 22:45")
    for time in ("22:45", "22:55", "23:15", "23:55"):
        assert night.sessions("ingestion", f"{FRI} {time}") == [TUE]
        night.ran(TUE, "ingestion", FAILED, f"{FRI} {time}")
    for minute, session in ((56, WED), (57, THU)):
        assert night.sessions("ingestion", f"{FRI} 23:{minute}") == [session]
        night.ran(session, "ingestion", FAILED, f"{FRI} 23:{minute}")
    assert night.sessions("ingestion", f"{FRI} 23:58") == [FRI]
    night.ran(FRI, "ingestion", FAILED, f"{FRI} 23:58")
    assert night.sessions("ingestion", f"{SAT} 00:08") == [FRI]


def test_the_number_of_an_attempt_goes_on_where_earlier_runs_were_deleted():
    night = daemon()
    span = SessionSpan(day(TUE), day(TUE))
    night.record("ingestion", TaskRun(span, FAILED, at(f"{TUE} 23:00"), attempt=7))
    (start,) = night.asked("ingestion", f"{TUE} 23:10").starts
    assert start.attempt == 8


def test_what_cannot_run_for_lack_of_its_dependency_does_not_hold_up_later_sessions():
    night = daemon()
    night.ran(TUE, "ingestion", FAILED, *ALL_FOUR)
    night.succeeded(WED, "ingestion")
    decision = night.asked("scanner", f"{WED} 23:30")
    assert [str(start.session) for start in decision.starts] == [WED]
    assert decision.reasons == (f"{TUE} awaits ingestion, which has not succeeded",)


def test_a_night_without_any_data_does_not_keep_the_weekly_maintenance_waiting():
    night = daemon(THU)
    night.ran(FRI, "ingestion", FAILED, *(f"{FRI} {t}" for t in ("22:45", "22:55", "23:15")))
    assert night.sessions("maintenance", "2017-11-19 02:00") == []
    night.ran(FRI, "ingestion", FAILED, f"{FRI} 23:55")
    roster = night.roster(at("2017-11-19 02:00"))
    assert roster.standing("ingestion", day(FRI)).state is State.EXHAUSTED
    assert roster.standing("scanner", day(FRI)).state is State.HOPELESS
    assert roster.standing("drift_monitor", day(FRI)).state is State.HOPELESS
    assert night.sessions("maintenance", "2017-11-19 02:00") == [FRI]


# --- one after the other --------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [[f"{TUE} 22:45"], [f"{TUE} 22:45"] * 2])
def test_a_session_that_runs_is_not_started_again_and_holds_up_later_ones(asked):
    night = daemon()
    night.ran(TUE, "ingestion", RUNNING, *asked)
    assert night.sessions("ingestion", f"{THU} 12:00") == []
    assert reasons(night, "ingestion", f"{THU} 12:00") == (
        f"{TUE} is running",
        f"{WED} waits for its turn",
    )


def test_a_run_of_other_sessions_holds_up_too():
    night = daemon()
    night.record(
        "ingestion",
        TaskRun(SessionSpan(day("2010-01-04"), day("2010-12-31")), RUNNING, at(f"{TUE} 12:00")),
    )
    assert night.sessions("ingestion", f"{TUE} 22:45") == []


def test_where_two_may_run_at_once_two_do_and_one_that_is_retried_keeps_its_place():
    night = daemon(ingestion={"maximum_running": 2})
    assert night.sessions("ingestion", f"{FRI} 12:00") == [TUE, WED]
    night.ran(TUE, "ingestion", RUNNING, f"{FRI} 12:00")
    assert night.sessions("ingestion", f"{FRI} 12:01") == [WED]
    retried = daemon(ingestion={"maximum_running": 2})
    retried.ran(TUE, "ingestion", FAILED, f"{FRI} 12:00")
    assert retried.sessions("ingestion", f"{FRI} 12:01") == [WED]


# --- coalescing -----------------------------------------------------------------------------------


def test_of_missed_sessions_that_coalesce_only_the_newest_runs_and_settles_the_others():
    night = daemon(backtest={"coalesce": True})
    night.succeeded(TUE, "scanner")
    night.succeeded(WED, "scanner")
    night.succeeded(THU, "scanner")
    assert night.sessions("backtest", f"{FRI} 00:00") == [THU]
    roster = night.roster(at(f"{FRI} 00:00"))
    assert roster.standing("backtest", day(TUE)).state is State.COALESCED
    night.succeeded(THU, "backtest")
    assert night.sessions("backtest", f"{FRI} 00:01") == []
    assert night.roster(at(f"{FRI} 00:01")).standing("backtest", day(TUE)).state is State.DONE


def test_the_newest_that_can_run_at_all_stands_for_those_that_coalesce():
    night = daemon(backtest={"coalesce": True})
    night.succeeded(TUE, "scanner")
    night.ran(WED, "ingestion", FAILED, *(f"{WED} {t}" for t in ("22:45", "22:55", "23:15")))
    assert night.sessions("backtest", f"{THU} 00:00") == []
    night.ran(WED, "ingestion", FAILED, f"{WED} 23:55")
    assert night.sessions("backtest", f"{THU} 00:00") == [TUE]


# --- waiting without needing ----------------------------------------------------------------------


def scanner_with_training(now=f"{TUE} 23:30", **changes):
    night = daemon(**changes)
    night.succeeded(TUE, "ingestion")
    night.idle = lambda task, session: None
    return night, at(now)


def test_the_scanner_waits_for_a_training_that_is_to_come_or_runs():
    night, now = scanner_with_training()
    assert night.roster(now).decide("scanner").reasons == (
        f"{TUE} awaits training, which has not succeeded",
    )
    night.ran(TUE, "training", RUNNING, f"{TUE} 23:00")
    assert night.roster(now).decide("scanner").reasons == (
        f"{TUE} awaits training, which is running",
    )


@pytest.mark.parametrize("how", ["succeeded", "later one succeeded", "failed", "off", "idle"])
def test_the_scanner_waits_for_no_training_that_is_over_or_will_not_come(how):
    night, now = scanner_with_training()
    if how == "succeeded":
        night.succeeded(TUE, "training")
    elif how == "later one succeeded":
        night.succeeded(WED, "training")
    elif how == "failed":
        night.ran(TUE, "training", FAILED, f"{TUE} 23:00", f"{TUE} 23:10")
    elif how == "off":
        night.off = {"training"}
    else:
        night.idle = never_trains
    assert [str(start.session) for start in night.roster(now).decide("scanner").starts] == [TUE]


def test_a_training_that_is_retried_is_waited_for():
    night, now = scanner_with_training()
    night.ran(TUE, "training", FAILED, f"{TUE} 23:25")
    assert night.roster(now).decide("scanner").reasons == (
        f"{TUE} awaits training, which has failed, tried again at {TUE} 23:35",
    )


def test_a_training_that_comes_later_in_the_evening_is_waited_for():
    night, now = scanner_with_training(training={"cron": "45 23 * * 1-5"})
    assert night.roster(now).decide("scanner").reasons == (
        f"{TUE} awaits training, which is not due yet",
    )


def test_a_session_caught_up_does_not_wait_for_the_training_of_a_later_one():
    night, now = scanner_with_training(f"{THU} 01:00")
    assert [str(start.session) for start in night.roster(now).decide("scanner").starts] == [TUE]
    assert night.roster(now).decide("training").reasons == (
        f"{WED} awaits ingestion, which has not succeeded",
    )


def test_whether_a_training_is_needed_is_asked_only_when_it_is_otherwise_free_to_start():
    asked = []
    night = daemon()
    night.idle = lambda task, session: asked.append((task, session)) or "needs no training"
    night.asked("training", f"{TUE} 22:59")
    night.asked("training", f"{TUE} 23:00")
    night.ran(TUE, "ingestion", RUNNING, f"{TUE} 22:45")
    night.asked("training", f"{TUE} 23:00")
    night.asked("scanner", f"{TUE} 23:30")
    assert asked == []
    night.succeeded(TUE, "ingestion")
    assert reasons(night, "training", f"{TUE} 23:30") == (f"{TUE} needs no training",)
    assert asked == [("training", day(TUE))]
