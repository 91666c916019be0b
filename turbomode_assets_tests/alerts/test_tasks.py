"""What a real run storage says of the tasks: silence, pauses, sessions let go."""

import datetime as dt
import uuid

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorStatus, SensorInstigatorData

from turbomode_assets.alerts.tasks import (
    completed_night,
    let_go,
    paused_tasks,
    silent_nights,
)
from turbomode_assets.orchestration.automation.switches import switch
from turbomode_assets.orchestration.run_sources import run_sources
from turbomode_assets.runs.tasks import work_of_tasks
from turbomode_assets.sessions import is_session, offset_session, sessions_between
from turbomode_assets.sessions.timetable import due_time
from turbomode_assets_tests.runs.run_storage import add, happened, only, run_storage, shipped
from turbomode_assets_tests.runs.sensor_states import turn

TASKS = work_of_tasks(ingests=True)
FRIDAY, MONDAY = dt.date(2017, 11, 10), dt.date(2017, 11, 13)
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
STARTED, STARTING = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING
MINUTE, HOUR, DAY = (dt.timedelta(minutes=count) for count in (1, 60, 1440))
DUE = {
    "ingestion": dt.datetime(2017, 11, 11, 3, 45, tzinfo=dt.UTC),
    "scanner": dt.datetime(2017, 11, 11, 4, 30, tzinfo=dt.UTC),
}
"""22:45 and 23:30 of Friday in New York."""
PATIENCE = 240 * MINUTE
NOW = DUE["ingestion"]
CHECK = dg.AssetCheckKey(dg.AssetKey("audit"), "sessions_are_complete")
ANEW = {"parent_run_id": str(uuid.UUID(int=1)), "root_run_id": str(uuid.UUID(int=1))}


@pytest.fixture
def instance(tmp_path):
    with run_storage(tmp_path) as instance:
        yield instance


def known(instance):
    return run_sources(instance, ingests=True)


def daily_noons(first, last):
    return [first + 24 * HOUR * days for days in range((last - first).days)]


def silent(instance, now, *enabled):
    tasks = enabled or ("ingestion", "scanner")
    found = list(silent_nights(known(instance), shipped(*tasks), now))
    return [(each.fingerprint, each.severity) for each in found]


def switched_on(instance, name, at):
    """A sensor that was switched on at a moment, as the UI writes it down."""
    state = turn(instance, name, InstigatorStatus.RUNNING)
    began = SensorInstigatorData(last_sensor_start_timestamp=at.timestamp())
    instance.update_instigator_state(state.with_data(began))


class TestSilence:
    def test_begins_so_long_after_the_night_was_due(self, instance):
        add(instance, "nightly", offset_session(FRIDAY, -1))
        first = DUE["ingestion"] + PATIENCE
        assert silent(instance, first - MINUTE) == []
        assert silent(instance, first) == [("silence:ingestion", "critical")]
        (told,) = silent_nights(known(instance), shipped("ingestion"), first)
        assert told.title == (
            "ingestion has not succeeded for 2017-11-10, and nothing of it is running"
        )
        assert "turbomode run ingestion --session 2017-11-10" in told.remedy

    def test_ends_when_the_session_succeeded_alone_in_a_range_or_by_hand(self, instance):
        now = DUE["scanner"] + PATIENCE
        add(instance, "ingestion", dt.date(2017, 11, 6), FRIDAY)
        assert silent(instance, now) == [("silence:scanner", "critical")]
        add(instance, "nightly", FRIDAY)
        assert silent(instance, now) == []

    @pytest.mark.parametrize(
        "run",
        [
            ("ingestion", FRIDAY, None, FAILURE),
            ("ingestion", offset_session(FRIDAY, -1), None, SUCCESS),
            ("ingestion", dt.date(2017, 11, 6), offset_session(FRIDAY, -1), SUCCESS),
            ("scanner", FRIDAY, None, SUCCESS),
            ("ingestion", None, None, SUCCESS),
        ],
    )
    def test_is_not_ended_by_what_is_not_that_nights_success(self, instance, run):
        add(instance, *run)
        now = DUE["ingestion"] + PATIENCE
        assert silent(instance, now) == [("silence:ingestion", "critical")]

    @pytest.mark.parametrize(
        "part",
        [
            only("raw_candles", "audit"),
            {"step_keys_to_execute": ["labels"], **ANEW},
            {"resolved_op_selection": {"labels"}, "op_selection": ["labels"]},
            {"asset_check_selection": frozenset({CHECK})},
        ],
        ids=["some assets", "a step anew", "an op", "a check"],
    )
    def test_is_not_ended_by_a_run_of_a_part_of_the_task(self, instance, part):
        now = DUE["ingestion"] + PATIENCE
        add(instance, "ingestion", FRIDAY, **part)
        assert silent(instance, now) == [("silence:ingestion", "critical")]
        assert completed_night(known(instance), shipped("ingestion"), now) is None
        add(instance, "ingestion", FRIDAY, status=STARTED, **part)
        assert silent(instance, now) == [("silence:ingestion", "warning")]
        add(instance, "ingestion", FRIDAY, **only(*TASKS["ingestion"].assets))
        assert silent(instance, now, "ingestion") == []

    @pytest.mark.parametrize(
        ("first", "last"),
        [(FRIDAY, dt.date(2017, 11, 1)), ("2017-11-31", FRIDAY), ("junk", "1871-01-02")],
        ids=["backwards", "no day", "junk"],
    )
    def test_is_judged_beside_runs_whose_tags_name_no_sessions(self, instance, first, last):
        add(instance, "ingestion", first, last)
        assert silent(instance, DUE["ingestion"] + PATIENCE) == [("silence:ingestion", "critical")]

    def test_counts_from_when_the_task_was_switched_on(self, instance):
        resumed = DUE["ingestion"] + 9 * HOUR
        switched_on(instance, "ingestion", resumed)
        switched_on(instance, "scanner", resumed - 30 * DAY)
        assert silent(instance, resumed, "training") == []
        assert silent(instance, resumed + PATIENCE - MINUTE, "training") == []
        after = resumed + PATIENCE
        assert silent(instance, after, "training") == [("silence:ingestion", "critical")]

    def test_counts_from_when_it_was_due_where_the_task_was_on_before(self, instance):
        switched_on(instance, "ingestion", DUE["ingestion"] - 30 * DAY)
        after = DUE["ingestion"] + PATIENCE
        assert silent(instance, after, "training") == [("silence:ingestion", "critical")]

    def test_a_task_resumed_by_the_command_is_given_its_time_once(self, instance):
        config, now = shipped(), dt.datetime.now(dt.UTC)
        switch(instance, config, "ingestion", on=False)
        switch(instance, config, "ingestion", on=True)
        (began,) = (state.sensor_instigator_data for state in instance.all_instigator_state())
        assert began.last_sensor_start_timestamp >= now.timestamp()
        assert list(silent_nights(known(instance), config, now + PATIENCE / 2)) == []
        switch(instance, config, "ingestion", on=True)
        (again,) = (state.sensor_instigator_data for state in instance.all_instigator_state())
        assert again == began

    @pytest.mark.parametrize("status", [STARTED, STARTING])
    def test_is_milder_while_something_runs(self, instance, status):
        add(instance, "ingestion", FRIDAY, status=status)
        now = DUE["ingestion"] + PATIENCE
        assert silent(instance, now) == [("silence:ingestion", "warning")]

    @pytest.mark.parametrize(
        ("session", "minutes", "part", "severity"),
        [
            (dt.date(2017, 11, 2), 60, {}, "warning"),
            (dt.date(2017, 11, 2), 61, {}, "critical"),
            (MONDAY, 5, {}, "critical"),
            (dt.date(2017, 11, 2), 5, only("raw_candles"), "critical"),
        ],
        ids=["lately", "long ago", "a later session", "a part"],
    )
    def test_is_milder_where_a_session_before_it_succeeded_lately(
        self, instance, session, minutes, part, severity
    ):
        now = DUE["ingestion"] + PATIENCE
        run = add(instance, "ingestion", session, status=STARTED, **part)
        happened(instance, run, dg.DagsterEventType.RUN_SUCCESS, now - minutes * MINUTE)
        assert silent(instance, now) == [("silence:ingestion", severity)]

    @pytest.mark.parametrize(("minutes", "severity"), [(119, "warning"), (121, "critical")])
    def test_is_milder_while_a_session_before_it_is_running_and_not_for_too_long(
        self, instance, minutes, severity
    ):
        now = DUE["ingestion"] + PATIENCE
        run = add(instance, "ingestion", dt.date(2017, 11, 2), status=STARTING)
        happened(instance, run, dg.DagsterEventType.RUN_START, now - minutes * MINUTE)
        (told,) = silent_nights(known(instance), shipped("ingestion"), now)
        assert told.severity == severity
        assert told.title.endswith("being caught up") == (severity == "warning")

    def test_of_the_scanner_is_told_only_once_there_is_something_to_scan(self, instance):
        now = DUE["scanner"] + PATIENCE
        assert silent(instance, now) == [("silence:ingestion", "critical")]
        add(instance, "ingestion", FRIDAY)
        assert silent(instance, now) == [("silence:scanner", "critical")]
        assert silent(instance, now, "ingestion") == []

    def test_lasts_through_the_weekend_and_monday_until_the_next_night_is_due(self, instance):
        until = due_time("45 22 * * 1-5", MONDAY, "America/New_York") + PATIENCE
        add(instance, "nightly", MONDAY)
        assert silent(instance, until - MINUTE, "ingestion") == [("silence:ingestion", "critical")]
        assert silent(instance, until, "ingestion") == []

    def test_is_nobodys_business_while_the_task_is_off(self, instance):
        config = shipped("training")
        assert list(silent_nights(known(instance), config, DUE["scanner"] + 9 * PATIENCE)) == []

    def test_alarms_in_two_years_after_the_nights_that_did_not_run_and_never_else(self, instance):
        """2016 and 2017: weekends, 18 holidays, half days, and four changes of the clock."""
        config = shipped("ingestion")
        missed = {dt.date(2016, 11, 4), dt.date(2017, 3, 10), dt.date(2017, 11, 22)}
        now, end = (dt.datetime(year, 1, 5, 12, tzinfo=dt.UTC) for year in (2016, 2018))
        nights = {
            due_time("45 22 * * 1-5", session, "America/New_York"): session
            for session in sessions_between(dt.date(2016, 1, 4), dt.date(2018, 1, 4))
        }
        alarmed, expected, newest = [], [], None
        closed = [day for day in daily_noons(now, end) if not is_session(day.date())]
        moments = {*closed, *nights, *(due + PATIENCE for due in nights)}
        moments |= {due + PATIENCE - MINUTE for due, night in nights.items() if night in missed}
        for moment in sorted(moments):
            if session := nights.get(moment):
                if session not in missed:
                    add(instance, "nightly", session)
                continue
            newest = nights.get(moment - PATIENCE, newest)
            if newest in missed:
                expected.append(moment)
            if newest and list(silent_nights(known(instance), config, moment)):
                alarmed.append(moment)
        assert alarmed == expected
        assert len(expected) > len(missed)


class TestCompletedNight:
    def test_is_the_last_closed_session_once_all_that_is_on_succeeded(self, instance):
        config, now = shipped("ingestion", "scanner"), DUE["scanner"]
        assert completed_night(known(instance), config, now) is None
        add(instance, "ingestion", FRIDAY)
        assert completed_night(known(instance), config, now) is None
        assert completed_night(known(instance), shipped("ingestion"), now) == FRIDAY
        add(instance, "scanner", FRIDAY)
        assert completed_night(known(instance), config, now) == FRIDAY

    def test_is_none_where_no_night_is_awaited(self, instance):
        add(instance, "nightly", FRIDAY)
        assert completed_night(known(instance), shipped(), DUE["scanner"]) is None


class TestPauses:
    def test_a_task_that_the_configuration_turns_on_and_somebody_off_is_paused(self, instance):
        config = shipped("ingestion", "scanner")
        assert list(paused_tasks(known(instance), config, NOW)) == []
        turn(instance, "ingestion", InstigatorStatus.RUNNING)
        turn(instance, "scanner", InstigatorStatus.STOPPED)
        turn(instance, "training", InstigatorStatus.STOPPED)
        (told,) = paused_tasks(known(instance), config, NOW)
        assert (told.fingerprint, told.severity) == ("paused:scanner", "warning")
        assert "turbomode resume scanner" in told.remedy

    def test_a_paused_task_is_not_silent_and_one_turned_on_by_hand_is(self, instance):
        now = DUE["scanner"] + PATIENCE
        turn(instance, "ingestion", InstigatorStatus.STOPPED)
        assert silent(instance, now, "ingestion") == []
        turn(instance, "scanner", InstigatorStatus.RUNNING)
        assert silent(instance, now, "ingestion") == [("silence:scanner", "critical")]

    def test_a_pause_of_what_the_configuration_leaves_off_is_told_once_it_lasts_a_week(
        self, instance
    ):
        """Friday's night was the last; a week after Monday's was due nothing had been done."""
        config, monday = shipped(), due_time("45 22 * * 1-5", MONDAY, "America/New_York")
        add(instance, "nightly", FRIDAY)
        for name in TASKS:
            turn(instance, name, InstigatorStatus.STOPPED)
        told_at = monday + 7 * DAY
        assert list(paused_tasks(known(instance), config, told_at - MINUTE)) == []
        (told,) = paused_tasks(known(instance), config, told_at)
        assert (told.fingerprint, told.severity) == ("paused:ingestion", "warning")
        assert told.detail == (
            "it was turned off by hand, and nothing from 2017-11-13 on was done; what is not done "
            "30 days after it was due is let go"
        )
        assert "turbomode alerts ack paused:ingestion" in told.remedy
        add(instance, "ingestion", MONDAY, MONDAY)
        (told,) = paused_tasks(known(instance), config, told_at + HOUR)
        assert told.fingerprint == "paused:scanner"
        add(instance, "scanner", offset_session(MONDAY, 1))
        assert list(paused_tasks(known(instance), config, told_at + HOUR)) == []

    @pytest.mark.parametrize("state", ["never ran", "never switched", "on"])
    def test_what_was_never_in_use_or_is_on_is_not_paused(self, instance, state):
        if state != "never ran":
            add(instance, "nightly", FRIDAY)
        if state != "never switched":
            status = InstigatorStatus.RUNNING if state == "on" else InstigatorStatus.STOPPED
            for name in TASKS:
                turn(instance, name, status)
        assert list(paused_tasks(known(instance), shipped(), NOW + 30 * DAY)) == []


class TestLetGo:
    """Ingestion ran up to Friday 2017-11-10, and has 30 days of grace."""

    TUESDAY = dt.date(2017, 11, 14)
    LOST = due_time("45 22 * * 1-5", TUESDAY, "America/New_York") + 30 * DAY + MINUTE
    """When Monday's and Tuesday's sessions can no longer be caught up."""

    def told(self, instance, now, *enabled):
        return list(let_go(known(instance), shipped(*(enabled or ("ingestion",))), now))

    def test_sessions_out_of_grace_are_told_with_their_count_and_the_remedy(self, instance):
        add(instance, "nightly", FRIDAY)
        assert self.told(instance, self.LOST - DAY - 2 * MINUTE) == []
        (one,) = self.told(instance, self.LOST - DAY)
        assert one.title == "ingestion has let go 2017-11-13"
        (told,) = self.told(instance, self.LOST)
        assert (told.fingerprint, told.severity) == ("let_go:ingestion", "warning")
        assert told.title == "ingestion has let go 2 sessions, 2017-11-13 to 2017-11-14"
        assert told.remedy == (
            "turbomode run ingestion --session 2017-11-13, and so on; "
            "or job ingestion in the UI for 2017-11-13...2017-11-14"
        )

    def test_is_over_once_they_were_done_by_hand_or_a_week_after_the_last(self, instance):
        add(instance, "nightly", FRIDAY)
        add(instance, "nightly", dt.date(2017, 11, 15), dt.date(2017, 12, 29))
        assert len(self.told(instance, self.LOST + 7 * DAY - 2 * MINUTE)) == 1
        assert self.told(instance, self.LOST + 7 * DAY) == []
        add(instance, "ingestion", MONDAY, **only("raw_candles"))
        assert "2 sessions" in self.told(instance, self.LOST)[0].title
        add(instance, "ingestion", MONDAY)
        assert self.told(instance, self.LOST)[0].title.endswith("has let go 2017-11-14")
        add(instance, "ingestion", MONDAY, self.TUESDAY)
        assert self.told(instance, self.LOST) == []

    def test_a_long_pause_is_told_as_a_whole(self, instance):
        """From Monday 2017-11-13 to Friday 2018-01-26 there are 55 weekdays, 4 of them holidays."""
        add(instance, "nightly", dt.date(2017, 10, 2))
        add(instance, "nightly", FRIDAY)
        last = dt.date(2018, 1, 26)
        now = due_time("45 22 * * 1-5", last, "America/New_York") + 30 * DAY + MINUTE
        (told,) = self.told(instance, now)
        assert told.title == "ingestion has let go 51 sessions, 2017-11-13 to 2018-01-26"

    def test_only_the_task_that_the_others_depend_on_is_told(self, instance):
        add(instance, "nightly", FRIDAY)
        everything = tuple(TASKS)
        (told,) = self.told(instance, self.LOST, *everything)
        assert told.fingerprint == "let_go:ingestion"
        add(instance, "ingestion", MONDAY, self.TUESDAY)
        (told,) = self.told(instance, self.LOST + HOUR, *everything)
        assert told.fingerprint == "let_go:scanner"

    def test_what_is_off_or_never_ran_lets_nothing_go(self, instance):
        assert self.told(instance, self.LOST) == []
        add(instance, "nightly", self.TUESDAY)
        assert self.told(instance, self.LOST) == []
        add(instance, "nightly", FRIDAY)
        assert self.told(instance, self.LOST, "backtest") == []
