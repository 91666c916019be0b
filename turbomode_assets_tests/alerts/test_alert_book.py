"""The alert book: what is told, how often, by whom, and what stays written."""

import datetime as dt
import multiprocessing
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.alerts.alert_book import (
    CLAIM,
    acknowledge,
    claim_event,
    compare,
    ended_alerts,
    mark_told,
    open_alerts,
    release,
)
from turbomode_assets.alerts.conditions import Condition
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.stores import ModelMemory

T0 = dt.datetime(2017, 11, 11, 7, 45, tzinfo=dt.UTC)
MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)
SILENT = Condition("silence:ingestion", "silence", "warning", "Nothing ran", "due at 3", "run it")
LATE = Condition("late:2017-11-10", "late", "critical", "Late", "0.0% GREEN", "backfill")
PROMOTED = Condition("decision:7", "decision", "info", "m was promoted", "by gate: r", "look")
RULES = {"repeat_after": 24 * HOUR, "over_after": 10 * MINUTE}


@pytest.fixture
def memory(tmp_path):
    return ModelMemory(tmp_path / "alpha" / "turbomode.duckdb", "alpha")


def look(memory, conditions, now, *, unjudged=(), delivered=True):
    """One look; tell what it says is news, and return that."""
    news = compare(memory, conditions, now, **RULES, unjudged=unjudged, claim=True)
    if delivered:
        mark_told(memory, news, now)
    else:
        release(memory, news)
    return [(each.happened, each.condition.fingerprint) for each in news]


def test_what_holds_is_told_once_the_worst_first_and_again_only_a_day_later(memory):
    both = [SILENT, LATE]
    assert look(memory, both, T0) == [("new", LATE.fingerprint), ("new", SILENT.fingerprint)]
    assert look(memory, both, T0 + MINUTE) == []
    assert look(memory, both, T0 + 24 * HOUR - MINUTE) == []
    assert look(memory, [SILENT], T0 + 24 * HOUR) == [("lasts", SILENT.fingerprint)]
    assert look(memory, [SILENT], T0 + 25 * HOUR) == [("over", LATE.fingerprint)]
    assert look(memory, [SILENT], T0 + 26 * HOUR) == []


def test_it_is_over_once_it_was_not_there_for_a_while_and_that_is_told_once(memory):
    look(memory, [SILENT], T0)
    assert look(memory, [], T0 + 9 * MINUTE) == []
    assert open_alerts(memory).height == 1
    assert look(memory, [], T0 + 10 * MINUTE) == [("over", SILENT.fingerprint)]
    assert look(memory, [], T0 + HOUR) == []
    assert open_alerts(memory).is_empty()


def test_what_flickers_is_one_alert(memory):
    look(memory, [SILENT], T0)
    for minute in range(1, 12):
        assert look(memory, [SILENT] * (minute % 2), T0 + minute * MINUTE) == []
    assert open_alerts(memory)["times"].to_list() == [7]


def test_what_comes_back_is_new_and_the_first_time_stays_in_the_archive(memory):
    look(memory, [SILENT], T0)
    look(memory, [], T0 + HOUR)
    assert look(memory, [SILENT], T0 + 2 * HOUR) == [("new", SILENT.fingerprint)]
    assert open_alerts(memory)["first_seen"].to_list() == [T0 + 2 * HOUR]
    archive = ended_alerts(memory, limit=5)
    assert archive.select("first_seen", "ended_at").rows() == [(T0, T0 + HOUR)]


def test_acknowledged_is_not_told_again_until_it_worsens(memory):
    look(memory, [SILENT], T0)
    acknowledge(memory, [SILENT.fingerprint], by="ada", now=T0 + MINUTE)
    assert look(memory, [SILENT], T0 + 50 * HOUR) == []
    assert open_alerts(memory)["acknowledged_by"].to_list() == ["ada"]
    worse = replace(SILENT, severity="critical")
    assert look(memory, [worse], T0 + 51 * HOUR) == [("worse", SILENT.fingerprint)]
    assert open_alerts(memory)["acknowledged_by"].to_list() == [None]
    assert look(memory, [SILENT], T0 + 52 * HOUR) == []
    assert look(memory, [], T0 + 53 * HOUR) == [("over", SILENT.fingerprint)]


def test_only_what_is_open_can_be_acknowledged_and_all_or_none(memory):
    look(memory, [SILENT], T0)
    with pytest.raises(InputError, match="no open alert is called late"):
        acknowledge(memory, [SILENT.fingerprint, LATE.fingerprint], by="ada", now=T0)
    assert open_alerts(memory)["acknowledged_by"].to_list() == [None]


def test_an_event_is_told_once_and_never_over(memory):
    assert look(memory, [PROMOTED], T0) == [("new", PROMOTED.fingerprint)]
    assert look(memory, [PROMOTED], T0 + 48 * HOUR) == []
    assert look(memory, [], T0 + 72 * HOUR) == []
    assert look(memory, [PROMOTED], T0 + 73 * HOUR) == []
    assert ended_alerts(memory, limit=5)["fingerprint"].to_list() == [PROMOTED.fingerprint]


def test_of_what_could_not_be_judged_nothing_is_over(memory):
    look(memory, [SILENT, LATE], T0)
    told = look(memory, [], T0 + HOUR, unjudged={"silence"})
    assert told == [("over", LATE.fingerprint)]
    assert open_alerts(memory)["fingerprint"].to_list() == [SILENT.fingerprint]


def test_what_did_not_go_out_is_told_at_the_next_look(memory):
    assert look(memory, [SILENT], T0, delivered=False) == [("new", SILENT.fingerprint)]
    assert open_alerts(memory)["sent_at"].to_list() == [None]
    assert look(memory, [SILENT], T0 + MINUTE) == [("new", SILENT.fingerprint)]
    assert look(memory, [], T0 + HOUR, delivered=False) == [("over", SILENT.fingerprint)]
    assert look(memory, [], T0 + 2 * HOUR) == [("over", SILENT.fingerprint)]
    assert look(memory, [], T0 + 3 * HOUR) == []


def test_what_comes_back_before_it_was_declared_over_was_never_over(memory):
    look(memory, [SILENT], T0)
    assert look(memory, [], T0 + HOUR, delivered=False) == [("over", SILENT.fingerprint)]
    assert look(memory, [SILENT], T0 + 2 * HOUR) == []
    assert open_alerts(memory)["first_seen"].to_list() == [T0]


def test_what_nobody_was_told_of_ends_silently(memory):
    look(memory, [SILENT], T0, delivered=False)
    assert look(memory, [], T0 + HOUR) == []


def test_without_anybody_to_tell_it_is_written_down_and_told_once_there_is(memory):
    assert compare(memory, [SILENT], T0, **RULES, claim=False) == []
    assert open_alerts(memory)["fingerprint"].to_list() == [SILENT.fingerprint]
    assert look(memory, [SILENT], T0 + MINUTE) == [("new", SILENT.fingerprint)]


def test_news_belong_to_one_until_the_claim_lapses(memory):
    def claimed(now):
        news = compare(memory, [SILENT], now, **RULES, claim=True)
        return [each.happened for each in news]

    assert claimed(T0) == ["new"]
    assert claimed(T0 + CLAIM - MINUTE) == []
    assert claimed(T0 + CLAIM) == ["new"]


def test_two_conditions_of_one_name_are_one(memory):
    look(memory, [SILENT, replace(SILENT, detail="the later words")], T0)
    assert open_alerts(memory)["detail"].to_list() == ["the later words"]


def test_a_thing_that_happens_once_is_claimed_once_and_never_open(memory):
    night = Condition("night:2017-11-10", "night", "info", "complete", "d", "r")
    first = claim_event(memory, night, T0)
    assert claim_event(memory, night, T0 + MINUTE) is None
    release(memory, [first])
    again = claim_event(memory, night, T0 + 2 * MINUTE)
    mark_told(memory, [again], T0 + 2 * MINUTE)
    assert claim_event(memory, night, T0 + HOUR) is None
    assert open_alerts(memory).is_empty()
    assert look(memory, [], T0 + HOUR) == []


def claim_in_a_process(path, start, told):
    memory = ModelMemory(path, "alpha")
    start.wait()
    news = compare(memory, [SILENT, LATE], T0, **RULES, claim=True)
    told.put([each.condition.fingerprint for each in news])


def test_of_processes_that_look_at_once_only_one_tells(memory):
    context = multiprocessing.get_context("spawn")
    start, told = context.Event(), context.Queue()
    workers = [
        context.Process(target=claim_in_a_process, args=(memory.path, start, told))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    start.set()
    results = sorted(told.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    assert results == [[], [LATE.fingerprint, SILENT.fingerprint]]


LOOKS = st.lists(
    st.tuples(
        st.sampled_from([5 * MINUTE, HOUR, 25 * HOUR]),
        st.sampled_from([None, "warning", "critical"]),
        st.booleans(),
    ),
    min_size=3,
    max_size=7,
)


@settings(max_examples=8)
@given(looks=LOOKS)
def test_whatever_happens_what_was_told_last_is_how_things_stand(looks):
    with tempfile.TemporaryDirectory() as folder:
        memory = ModelMemory(Path(folder) / "turbomode.duckdb", "alpha")
        now, told, told_at = T0, [], T0
        for step, severity, delivered in looks:
            now += step
            conditions = [replace(SILENT, severity=severity)] if severity else []
            news = look(memory, conditions, now, delivered=delivered)
            if not delivered:
                continue
            for happened, _ in news:
                assert happened != "lasts" or now - told_at >= RULES["repeat_after"]
                told.append(happened)
                told_at = now
            if severity:
                assert told[-1] != "over"
        look(memory, [], now + HOUR)
        assert look(memory, [], now + 2 * HOUR) == []
        assert re.fullmatch("((new )((worse|lasts) )*(over )?)*", "".join(f"{x} " for x in told))
