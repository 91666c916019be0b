"""One look, from a real market and a real run storage to a real receiver."""

import datetime as dt
import logging
import shutil
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorStatus

from turbomode_assets.alerts.alert_book import ended_alerts, open_alerts
from turbomode_assets.alerts.rounds import conditions_at, look
from turbomode_assets.contracts.errors import StoreError
from turbomode_assets.orchestration.run_sources import run_sources
from turbomode_assets.sessions import SessionSpan, offset_session, session_close
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.promotions import promote_by_hand, roll_back
from turbomode_assets_tests.alerts.receivers import TOKEN, http_receiver
from turbomode_assets_tests.builders import small_settings
from turbomode_assets_tests.market import AS_OF, NIGHT
from turbomode_assets_tests.modelling.test_retraining import (
    RIGHT,
    SINCE,
    WRONG,
    audit,
    backdate,
    configure,
    signal,
)
from turbomode_assets_tests.runs.run_storage import add, happened
from turbomode_assets_tests.runs.sensor_states import turn

NOW = session_close(AS_OF) + dt.timedelta(hours=2)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def receiver(monkeypatch):
    with http_receiver() as receiver:
        monkeypatch.setenv("TURBOMODE_ALERT_URLS", receiver.address)
        yield receiver


@pytest.fixture
def empty(tmp_path):
    return small_settings(tmp_path)


def known(instance):
    return run_sources(instance, ingests=True)


def memory_of(settings):
    return ModelMemory(settings.memory_path, settings.tenant_name)


def fail(instance, session=AS_OF, status=dg.DagsterRunStatus.FAILURE):
    tags = {"dagster/partition": str(session)}
    instance.add_run(dg.DagsterRun("scanner", status=status, tags=tags))


def names(found):
    return [each.fingerprint for each in found.conditions]


def test_an_empty_root_has_nothing_to_tell(empty, instance, receiver):
    seen = look(empty, known(instance), NOW)
    assert (seen.conditions, seen.told, receiver.came) == ((), (), [])
    assert not seen.is_critical


def test_a_failure_is_told_once_in_one_message_and_once_that_it_is_over(empty, instance, receiver):
    fail(instance)
    fail(instance, NIGHT)
    seen = look(empty, known(instance), NOW)
    assert len(seen.told) == 2
    ((title, body),) = receiver.messages
    assert title == "turbomode default: 2 warning [vendor=simulated]"
    assert body.splitlines()[0].startswith(f"WARNING: scanner of {AS_OF} failed. it left no reason")
    assert look(empty, known(instance), NOW + HOUR).told == ()
    fail(instance, NIGHT, dg.DagsterRunStatus.SUCCESS)
    look(empty, known(instance), NOW + 2 * HOUR)
    _, (title, body) = receiver.messages
    assert title == "turbomode default: 1 over [vendor=simulated]"
    assert body == f"OVER: scanner of {NIGHT} failed (since {NOW:%Y-%m-%d %H:%M} UTC)"


def test_what_no_receiver_took_is_told_at_the_next_look(empty, instance, receiver, caplog):
    fail(instance)
    receiver.status = 500
    seen = look(empty, known(instance), NOW)
    assert (seen.told, seen.unreached) == ((), ("receiver 1 (JSON)",))
    assert "alerts do not reach receiver 1 (JSON)" in caplog.text
    receiver.status = 200
    seen = look(empty, known(instance), NOW + HOUR)
    assert {news.condition.kind for news in seen.told} == {"run", "delivery"}
    assert "scanner of" in receiver.messages[-1][1]
    kinds = open_alerts(memory_of(empty))["kind"].to_list()
    assert kinds == ["run"]
    assert ended_alerts(memory_of(empty), limit=5)["kind"].to_list() == ["delivery"]


def test_a_receiver_that_takes_nothing_is_told_to_the_others(
    empty, instance, receiver, monkeypatch
):
    monkeypatch.setenv("TURBOMODE_ALERT_URLS", f"{receiver.address}\n  json://127.0.0.1:1/nobody ")
    fail(instance)
    seen = look(empty, known(instance), NOW)
    assert (len(seen.told), seen.unreached) == (1, ("receiver 2 (JSON)",))
    look(empty, known(instance), NOW + HOUR)
    assert "WARNING: Alerts do not reach receiver 2 (JSON)" in receiver.messages[-1][1]
    look(empty, known(instance), NOW + 2 * HOUR)
    assert len(receiver.messages) == 2


def test_without_a_receiver_it_is_written_down_and_said_that_nobody_is_told(
    empty, instance, monkeypatch
):
    monkeypatch.delenv("TURBOMODE_ALERT_URLS", raising=False)
    fail(instance)
    seen = look(empty, known(instance), NOW)
    assert seen.summary == (
        "1 conditions hold; 0 told; nobody is told: TURBOMODE_ALERT_URLS is not set"
    )
    assert open_alerts(memory_of(empty))["sent_at"].to_list() == [None]


def test_late_data_of_a_real_market_are_told(market, instance):
    later = session_close(NIGHT) + 12 * HOUR
    assert f"late:{NIGHT}" not in names(conditions_at(market, known(instance), NOW + HOUR))
    (told,) = (
        each
        for each in conditions_at(market, known(instance), later).conditions
        if each.fingerprint == f"late:{NIGHT}"
    )
    assert told.severity == "critical"
    assert told.detail.startswith("0.0% GREEN now; its deadline was")
    assert f"turbomode backfill --from {NIGHT} --to {NIGHT}" in told.remedy


def test_late_data_are_milder_while_the_sessions_up_to_them_are_caught_up(market, instance):
    later = session_close(NIGHT) + 12 * HOUR

    def severity():
        found = conditions_at(market, known(instance), later).conditions
        (late,) = (each for each in found if each.kind == "late")
        return late.severity, late.detail.endswith("are being caught up")

    run = add(instance, "ingestion", AS_OF, status=dg.DagsterRunStatus.STARTED)
    assert severity() == ("warning", True)
    happened(instance, run, dg.DagsterEventType.RUN_SUCCESS, later - HOUR / 2)
    assert severity() == ("warning", True)
    add(instance, "ingestion", NIGHT)  # has succeeded, and yet nothing came
    assert severity() == ("critical", False)


def test_a_stretch_of_late_sessions_is_one_alert_with_one_name_however_long_it_lasts(
    market, instance
):
    """After AS_OF nothing came; each session lacks data once its deadline of eight hours passed."""
    told = []
    for count in (2, 5, 8):
        last = offset_session(NIGHT, count - 1)
        found = conditions_at(market, known(instance), session_close(last) + 12 * HOUR)
        (one,) = (each for each in found.conditions if each.kind == "late")
        assert one.fingerprint == f"late:{NIGHT}"
        assert one.title == f"Data of {NIGHT} to {last} are late: {count} sessions"
        assert f"turbomode backfill --from {NIGHT} --to {last}" in one.remedy
        told.append(one)
    assert {each.severity for each in told} == {"critical"}


def test_stretches_with_a_good_session_between_are_told_apart_with_their_worst_share(
    market, instance
):
    sessions = SessionSpan(offset_session(AS_OF, -4), AS_OF).sessions
    for session, symbols in zip(sessions, (3, 1, 0, 0, 6), strict=True):
        names = [f"SIM{number:03d}" for number in range(1, symbols + 1)]
        if names:
            audit(market, SessionSpan(session, session), "RED", symbols=names)
    found = conditions_at(market, known(instance), session_close(AS_OF) + 12 * HOUR)
    earlier, newest = (each for each in found.conditions if each.kind == "late")
    assert earlier.title == f"Data of {sessions[0]} to {sessions[1]} are late: 2 sessions"
    assert f"the worst is {sessions[0]}" in earlier.detail
    assert newest.title == f"Data of {AS_OF} are late"


def test_where_nothing_was_ever_audited_lateness_has_no_beginning_and_one_name(market, instance):
    shutil.rmtree(f"{market.master_root}/partition_status")
    for session in (AS_OF, NIGHT):
        found = conditions_at(market, known(instance), session_close(session) + 12 * HOUR)
        (one,) = (each for each in found.conditions if each.kind == "late")
        assert one.fingerprint == "late:long_ago"
        assert one.title.endswith("are late: 5 sessions")


@pytest.mark.parametrize(
    ("p_label", "names_told"), [(WRONG, ["performance:log_loss"]), (RIGHT, [])]
)
def test_a_champion_that_does_worse_than_knowing_nothing_is_told(
    market, instance, p_label, names_told
):
    backdate(market, SINCE)
    signal(market, p_label=p_label)
    configure(market, underperformance__window_sessions=10)
    found = conditions_at(market, known(instance), NOW).conditions
    told = [each for each in found if each.kind == "performance"]
    assert [each.fingerprint for each in told] == names_told
    for each in told:
        assert each.severity == "warning"
        assert "of 10 decision sessions" in each.detail


def test_decisions_drift_and_hit_rate_are_told(market, instance):
    memory = memory_of(market)
    at = dt.datetime.now(dt.UTC)
    before = set(names(conditions_at(market, known(instance), at)))
    with memory.transaction() as connection:
        copy = "SELECT * REPLACE ('b' AS model_version) FROM"
        for table in ("model_metadata", "training_runs"):
            connection.execute(f"INSERT INTO {table} {copy} {table}")
        connection.execute(
            """
            INSERT INTO signal_outcomes
            SELECT DATE '2015-11-02', 'S' || i, 'm', 'champion', 'BUY', 0, 'stop',
                DATE '2015-11-03', DATE '2015-11-04', 1, 1, 0,
                CASE WHEN i < 70 THEN 'win' ELSE 'loss' END, DATE '2015-11-04'
            FROM range(200) AS r(i)
            """
        )
        connection.execute("DELETE FROM drift_verdicts")
        connection.execute(
            "INSERT INTO drift_verdicts"
            " VALUES (?, 'm', 179, 12, 0.067, 'alert', true, 'alert', NULL)",
            [AS_OF],
        )
    promote_by_hand(memory, "b", reason="better", by="ada", effective_session=NIGHT, at=at)
    roll_back(memory, reason="worse", by="bob", effective_session=NIGHT, at=at)
    told = {
        each.fingerprint: each for each in conditions_at(market, known(instance), at).conditions
    }
    assert set(told) - before == {
        "decision:2",
        "decision:3",
        "drift:m",
        "performance:hit_rate",
    }
    assert told["decision:2"].title == f"Model b was promoted by hand from {NIGHT} on"
    assert told["decision:2"].detail == "by ada: better"
    assert told["decision:3"].severity == "warning"
    assert told["performance:hit_rate"].title == (
        "Only 35.0% of the last 200 signals that won or lost have won"
    )
    assert "features and predictions" in told["drift:m"].title


def test_a_source_that_cannot_be_read_is_told_and_silences_no_other(market, instance, receiver):
    late = session_close(NIGHT) + 12 * HOUR
    look(market, known(instance), late)
    assert f"late:{NIGHT}" in receiver.messages[0][1]
    ledger = market.root / "master" / "partition_status" / "_delta_log"
    for file in ledger.iterdir():
        file.write_text("no JSON", encoding="utf-8")
    fail(instance)
    seen = look(market, known(instance), late + HOUR)
    told = {each.fingerprint: each for each in seen.conditions}
    assert told["unreadable:late"].severity == "critical"
    assert f"run:scanner:{AS_OF}" in told
    assert "OVER" not in receiver.messages[-1][1]
    assert f"late:{NIGHT}" in open_alerts(memory_of(market))["fingerprint"].to_list()


def test_a_book_that_cannot_be_opened_is_told_too(empty, instance, receiver):
    ModelMemory(empty.memory_path, "somebody else").query("SELECT 1")
    with pytest.raises(StoreError):
        look(empty, known(instance), NOW)
    ((title, body),) = receiver.messages
    assert title == "turbomode default: alerts cannot be judged"
    assert body.startswith("CRITICAL: model memory belongs to tenant 'somebody else'")
    with pytest.raises(StoreError):
        look(empty, known(instance), NOW, complain=False)
    assert len(receiver.messages) == 1


def test_a_failure_whose_words_hold_an_address_is_told_without_it(
    empty, instance, receiver, caplog
):
    caplog.set_level(logging.DEBUG)

    @dg.op
    def leak():
        raise ValueError(f"cannot reach {receiver.address} nor /{TOKEN}/x")

    job = dg.GraphDefinition(name="leaking", node_defs=[leak]).to_job()
    job.execute_in_process(instance=instance, raise_on_error=False)
    caplog.clear()
    seen = look(empty, known(instance), dt.datetime.now(dt.UTC))
    assert "cannot reach ***" in receiver.messages[0][1]
    assert TOKEN not in receiver.messages[0][1] + repr(seen) + seen.summary + caplog.text
    assert TOKEN.encode() not in empty.memory_path.read_bytes()


def test_the_heartbeat_goes_out_once_on_each_day_that_all_is_well(
    empty, instance, receiver, monkeypatch
):
    monkeypatch.setenv("TURBOMODE_HEARTBEAT_URL", f"{receiver.url}/{TOKEN}")
    assert look(empty, known(instance), NOW).heartbeat is None
    turn(instance, "ingestion", InstigatorStatus.RUNNING)
    assert look(empty, known(instance), NOW).heartbeat is None
    add(instance, "ingestion", offset_session(AS_OF, -1), AS_OF)
    receiver.status = 500
    said = look(empty, known(instance), NOW).heartbeat
    assert said == f"the heartbeat for {AS_OF} did not go out: it answered 500"
    receiver.status = 200
    assert look(empty, known(instance), NOW).heartbeat == f"heartbeat sent for {AS_OF}"
    assert look(empty, known(instance), NOW).heartbeat is None
    assert [path for path, text in receiver.came if not text] == [f"/{TOKEN}"] * 2
    assert "night" not in open_alerts(memory_of(empty))["kind"].to_list()


def test_the_heartbeat_beats_on_holidays_and_stops_while_a_night_is_missing(
    empty, instance, receiver, monkeypatch
):
    """Thanksgiving of 2015 was a Thursday; Wednesday and Friday were sessions."""
    monkeypatch.setenv("TURBOMODE_HEARTBEAT_URL", receiver.url)
    turn(instance, "ingestion", InstigatorStatus.RUNNING)
    wednesday, friday = dt.date(2015, 11, 25), dt.date(2015, 11, 27)
    noon = dt.datetime(2015, 11, 26, 12, tzinfo=ZoneInfo("America/New_York")).astimezone(dt.UTC)

    def said(days=0.0):
        return look(empty, known(instance), noon + days * 24 * HOUR).heartbeat

    add(instance, "ingestion", wednesday)
    assert said() == "heartbeat sent for 2015-11-26"
    assert said(0.49) is None
    assert said(0.51) == "heartbeat sent for 2015-11-27"
    assert said(2) is None
    add(instance, "ingestion", friday)
    assert said(2) == "heartbeat sent for 2015-11-28"
    assert said(3) == "heartbeat sent for 2015-11-29"


def test_the_heartbeat_waits_while_something_critical_holds(empty, instance, receiver, monkeypatch):
    monkeypatch.setenv("TURBOMODE_HEARTBEAT_URL", receiver.url)
    turn(instance, "ingestion", InstigatorStatus.RUNNING)
    add(instance, "ingestion", offset_session(AS_OF, -1), AS_OF)
    for _ in range(3):
        fail(instance)
    seen = look(empty, known(instance), NOW)
    assert (seen.is_critical, seen.heartbeat) == (True, None)
    fail(instance, status=dg.DagsterRunStatus.SUCCESS)
    assert look(empty, known(instance), NOW).heartbeat == f"heartbeat sent for {AS_OF}"
