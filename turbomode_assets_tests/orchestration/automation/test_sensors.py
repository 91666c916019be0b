"""The sensors, asked as the daemon asks them, over a small market and a real instance."""

import datetime as dt
import itertools

import dagster as dg
import polars as pl
import pytest

from turbomode_assets.config.scheduler import SensorConfig, SensorsConfig
from turbomode_assets.contracts.quality_log import LATE_ACTION
from turbomode_assets.orchestration.automation import sensors
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.resources.ingestion import IngestionResource
from turbomode_assets.orchestration.resources.stores import LakeResource, MasterReaderResource
from turbomode_assets.sessions import SessionSpan, last_closed_session, offset_session
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets.stores.operations import NewWork, utc_now
from turbomode_assets_tests.builders import make_log
from turbomode_assets_tests.market import AS_OF, HISTORY

OFTEN = SensorConfig(interval_seconds=60, enabled=True)
NOBODY, HOLE = "SIM003", offset_session(AS_OF, -30)


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


def ask(sensor, market, instance, cursor=None, **resources):
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, definitions=build(market), resources=resources
    )
    with context:
        return sensor(context)


def ask_completeness(market, instance, cursor=None):
    sensor = sensors.completeness_sensor(OFTEN)
    return ask(sensor, market, instance, cursor, ingestion=IngestionResource(settings=market))


def ask_revisions(market, instance, cursor):
    return ask(
        sensors.revisions_sensor(OFTEN),
        market,
        instance,
        cursor,
        master=MasterReaderResource(settings=market),
        lake_store=LakeResource(settings=market),
    )


def queue(market, *stretches):
    operations = IngestionResource(settings=market).open().operations
    operations.enqueue(
        NewWork(symbol, "1d", span, "missing", importance) for symbol, span, importance in stretches
    )


def span_of(request):
    ends = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    return SessionSpan(*(dt.date.fromisoformat(request.tags[end]) for end in ends))


def test_sensors_follow_their_configuration():
    off = SensorConfig(interval_seconds=300, enabled=False)
    config = SensorsConfig(completeness=OFTEN, freshness=off, revisions=off)
    built = sensors.build_sensors(config, ingests=True)
    assert [(each.name, each.minimum_interval_seconds) for each in built] == [
        ("completeness", 60),
        ("freshness", 300),
        ("revisions", 300),
    ]
    assert [each.default_status.value for each in built] == ["RUNNING", "STOPPED", "STOPPED"]


def test_the_newest_hole_becomes_a_run_of_its_window_and_the_key_counts_the_attempts(
    market, instance
):
    old, new = SessionSpan(HISTORY.first, HISTORY.first), SessionSpan(HOLE, HOLE)
    queue(market, ("SIM001", old, 9.0), (NOBODY, new, 1.0))
    (request,) = ask_completeness(market, instance).run_requests
    window = SessionSpan(offset_session(HOLE, -20), HOLE)
    assert (request.job_name, span_of(request)) == ("backfill", window)
    assert request.run_key == f"backfill:{window}:attempt-1"
    assert request.tags["turbomode/backfill"] == "queue"
    failed = dg.DagsterRun("backfill", status=dg.DagsterRunStatus.FAILURE, tags=request.tags)
    instance.add_run(failed)
    (again,) = ask_completeness(market, instance).run_requests
    assert again.run_key == f"backfill:{window}:attempt-2"
    running = dg.DagsterRun("backfill", status=dg.DagsterRunStatus.STARTED, tags=request.tags)
    instance.add_run(running)
    assert ask_completeness(market, instance).skip_message == f"{window} is being worked on"


def test_with_an_empty_queue_older_sessions_are_audited_backwards_once_after_each_close(
    market, instance
):
    swept, cursor = [], None
    while (result := ask_completeness(market, instance, cursor)) and not isinstance(
        result, dg.SkipReason
    ):
        (request,) = result.run_requests
        assert request.job_name == "sweep"
        swept.append(span_of(request))
        cursor = result.cursor
    assert swept[0].last == last_closed_session(utc_now())
    assert swept[-1].first == HISTORY.first
    assert all(
        later.first == offset_session(earlier.last, 1)
        for later, earlier in itertools.pairwise(swept)
    )
    assert "every session" in result.skip_message


def test_each_late_session_is_reported_by_itself_and_once(market, instance):
    sensor = sensors.freshness_sensor(OFTEN)
    resources = {"settings": market, "master": MasterReaderResource(settings=market)}
    first = ask(sensor, market, instance, None, **resources)
    newest = last_closed_session(utc_now())
    sessions = SessionSpan(newest, newest).trailing(4).sessions
    events = {event.partition: event for event in first.asset_events}
    assert list(events) == [str(session) for session in sessions]
    assert not any(event.passed for event in list(events.values())[:-1])
    assert {event.check_name for event in events.values()} == {"sessions_are_fresh"}
    again = ask(sensor, market, instance, first.cursor, **resources)
    assert again.asset_events == []


def late(kind, session, timeframe="1d"):
    row = {"symbol": NOBODY, "first_session": session, "session": session, "kind": kind}
    known_at = dt.datetime(2015, 12, 2, tzinfo=dt.UTC)
    return make_log(row, timeframe=timeframe, knowledge_ts=known_at)


@pytest.mark.parametrize(
    ("kind", "job"),
    [("late_candles", "rederive"), ("revision", "rederive"), (LATE_ACTION, "readjust")],
)
def test_news_of_a_session_derive_anew_what_they_reach_and_nothing_before(
    market, instance, kind, job
):
    version = MasterReader(market.master_root).version("data_quality_log")
    assert ask_revisions(market, instance, str(version)).run_requests == []
    MasterWriter(market.master_root).append("data_quality_log", late(kind, HOLE), caller="test")
    result = ask_revisions(market, instance, str(version))
    (request,) = result.run_requests
    assert (request.job_name, span_of(request)) == (job, SessionSpan(HOLE, AS_OF))
    assert ask_revisions(market, instance, result.cursor).run_requests == []


def test_news_far_apart_are_runs_of_their_own_and_intraday_news_none(market, instance, monkeypatch):
    monkeypatch.setattr(sensors, "REACH", 5)
    version = MasterReader(market.master_root).version("data_quality_log")
    writer = MasterWriter(market.master_root)
    near, far = offset_session(HOLE, 5), offset_session(HOLE, -20)
    news = [late("revision", session) for session in (HOLE, near, far)]
    news.append(late("revision", offset_session(HOLE, -60), "1h"))
    writer.append("data_quality_log", pl.concat(news), caller="test")
    requests = ask_revisions(market, instance, str(version)).run_requests
    assert [span_of(request) for request in requests] == [
        SessionSpan(far, offset_session(far, 5)),
        SessionSpan(HOLE, offset_session(near, 5)),
    ]
    assert len({request.run_key for request in requests}) == 2


def test_a_first_look_at_the_log_asks_for_nothing(market, instance):
    assert ask_revisions(market, instance, None).run_requests == []
