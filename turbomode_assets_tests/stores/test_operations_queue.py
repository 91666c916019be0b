"""The backfill queue on either database: by hand, then against a plain model of it."""

import datetime as dt
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turbomode_assets.config.completeness import BackfillConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.operations import QUEUE_SCHEMA, NewWork, Operations
from turbomode_assets_tests.stores.operations_model import SPANS, QueueModel, actions, keys_of
from turbomode_assets_tests.stores.operations_workers import NOON, SimulatedClock

MONDAY, TUESDAY, FRIDAY = dt.date(2024, 1, 8), dt.date(2024, 1, 9), dt.date(2024, 1, 12)
WEEK, START = SessionSpan(MONDAY, FRIDAY), SessionSpan(MONDAY, TUESDAY)
KEY = ("AAPL", "1d", MONDAY, FRIDAY)
MINUTE = dt.timedelta(minutes=1)
POLICY = BackfillConfig(
    tolerated_unanswered_share=0,
    attempts=4,
    backoff_seconds=60,
    longest_backoff_seconds=150,
    window_sessions=21,
    sweep_sessions=252,
)


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def operations(operations_url, clock):
    return Operations(operations_url, clock=clock.now)


def work(symbol="AAPL", span=WEEK, reason="absent", importance=0.0, timeframe="1d"):
    return NewWork(symbol, timeframe, span, reason, importance)


def fail(operations, *keys, reason="timeout", retry_at=None):
    operations.fail(keys or [KEY], reason, retry_at=retry_at, policy=POLICY)


def only(operations, *names):
    """The named columns of the only work in the queue."""
    rows = operations.queued().select(names).rows()
    assert len(rows) == 1
    return rows[0]


def symbols(frame):
    return frame["symbol"].to_list()


def test_work_waits_in_the_queue_until_it_is_done(operations, clock):
    operations.enqueue([work("MSFT", importance=2.5, timeframe="1h")])
    clock.sleep(1)
    operations.enqueue([work()])
    fresh = {"attempts": 0, "not_before": None, "dead_at": None, "is_dead": False}
    free = {"claimed_by": None, "claimed_until": None}
    ends = {"first_session": MONDAY, "last_session": FRIDAY}
    told = {"reason": "absent", "importance": 2.5, "enqueued_at": NOON}
    later = {"reason": "absent", "importance": 0.0, "enqueued_at": NOON + dt.timedelta(seconds=1)}
    assert operations.queued().to_dicts() == [
        {"symbol": "MSFT", "timeframe": "1h"} | ends | told | fresh | free,
        {"symbol": "AAPL", "timeframe": "1d"} | ends | later | fresh | free,
    ]
    operations.dequeue([("MSFT", "1h", MONDAY, FRIDAY), ("GOOG", "1h", MONDAY, FRIDAY)])
    assert symbols(operations.queued()) == ["AAPL"]


def test_an_empty_queue_is_an_empty_frame(operations):
    operations.enqueue([])
    operations.dequeue([])
    operations.release_claims("ann", [])
    fail(operations)
    operations.revive()
    for frame in (
        operations.queued(),
        operations.due(5),
        operations.claim("ann", 5, 60),
    ):
        assert frame.is_empty()
        assert frame.schema == QUEUE_SCHEMA
    assert operations.renew_claims("ann", 60) == set()
    assert operations.queued_within([]) == []


def test_queueing_again_raises_the_importance_with_its_reason_and_nothing_else(operations, clock):
    operations.enqueue([work(importance=1), work(importance=3, reason="a hole"), work()])
    assert only(operations, "importance", "reason") == (3.0, "a hole")
    clock.sleep(5)
    operations.enqueue([work(reason="weaker", importance=2), work(reason="same", importance=3)])
    assert only(operations, "importance", "reason") == (3.0, "a hole")
    operations.enqueue([work(reason="stronger", importance=4)])
    assert only(operations, "importance", "reason", "attempts", "not_before", "enqueued_at") == (
        4.0,
        "stronger",
        0,
        None,
        NOON,
    )


def test_what_a_failure_said_stays_when_the_work_is_queued_again(operations):
    operations.enqueue([work()])
    fail(operations)
    operations.enqueue([work(importance=9, reason="a hole")])
    assert only(operations, "importance", "reason", "attempts", "not_before") == (
        9.0,
        "timeout",
        1,
        NOON + MINUTE,
    )


def test_the_pause_doubles_up_to_the_longest_and_the_last_attempt_leaves_a_dead_letter(
    operations, clock
):
    operations.enqueue([work()])
    pauses = []
    for attempt in range(1, 5):
        fail(operations, KEY, KEY)
        attempts, not_before = only(operations, "attempts", "not_before")
        assert attempts == attempt
        pauses.append((not_before - clock.now()).total_seconds())
        assert operations.queued()["is_dead"].to_list() == [attempt == 4]
        clock.sleep(200)
    assert pauses == [60, 120, 150, 150]
    assert only(operations, "dead_at", "reason") == (NOON + dt.timedelta(seconds=600), "timeout")
    assert operations.queued().filter("is_dead").equals(operations.queued())
    assert operations.due(5).is_empty()
    assert operations.claim("ann", 5, 60).is_empty()


def test_a_vendor_that_names_a_later_time_is_asked_then(operations):
    operations.enqueue([work()])
    fail(operations, retry_at=NOON + 30 * MINUTE)
    assert only(operations, "not_before") == (NOON + 30 * MINUTE,)
    fail(operations, retry_at=NOON + dt.timedelta(seconds=1))
    assert only(operations, "not_before") == (NOON + 2 * MINUTE,)


def test_failing_once_is_enough_where_one_attempt_is_allowed(operations):
    operations.enqueue([work()])
    strict = POLICY.model_copy(update={"attempts": 1})
    operations.fail([KEY], "gone", retry_at=None, policy=strict)
    assert symbols(operations.queued().filter("is_dead")) == ["AAPL"]


def test_a_dead_letter_that_fails_again_stays_dead_since_then(operations, clock):
    operations.enqueue([work()])
    for _ in range(4):
        fail(operations)
    clock.sleep(60)
    fail(operations, reason="still down")
    assert only(operations, "attempts", "dead_at", "reason") == (5, NOON, "still down")
    operations.enqueue([work(importance=7, reason="a hole")])
    operations.postpone([KEY], "budget spent", NOON)
    assert only(operations, "is_dead", "importance", "reason") == (True, 7.0, "still down")


def test_a_spent_budget_postpones_without_counting_an_attempt(operations, clock):
    operations.enqueue([work()])
    operations.postpone([KEY], "budget spent", NOON + MINUTE)
    assert only(operations, "attempts", "not_before", "reason") == (
        0,
        NOON + MINUTE,
        "budget spent",
    )
    operations.postpone([KEY], "budget spent", NOON)
    assert only(operations, "not_before") == (NOON + MINUTE,)
    clock.sleep(59.999999)
    assert operations.due(5).is_empty()
    clock.sleep(0.000001)
    assert symbols(operations.due(5)) == ["AAPL"]


def test_a_revived_dead_letter_is_fresh_work_and_live_work_is_left_alone(operations):
    operations.enqueue([work(name) for name in ("AAPL", "MSFT", "GOOG")])
    for _ in range(4):
        fail(operations, KEY, ("MSFT", *KEY[1:]))
    fail(operations, ("GOOG", *KEY[1:]))
    operations.revive([KEY, ("GOOG", *KEY[1:])])
    assert symbols(operations.due(5)) == ["AAPL"]
    assert symbols(operations.queued().filter("is_dead")) == ["MSFT"]
    operations.revive()
    told = operations.queued().sort("symbol").select("symbol", "attempts", "not_before", "reason")
    assert told.rows() == [
        ("AAPL", 0, None, "timeout"),
        ("GOOG", 1, NOON + MINUTE, "timeout"),
        ("MSFT", 0, None, "timeout"),
    ]


def test_the_newest_sessions_come_first_then_importance_then_key(operations):
    operations.enqueue(
        [
            work("BRKA", START),
            work("BRK-B", START),
            work("aapl", START),
            work("GOOG", START, importance=0.5),
            work("ZZZ", WEEK, importance=-1),
            work("AAPL", WEEK, timeframe="1m"),
            work("AAPL", WEEK),
        ]
    )
    order = ["AAPL", "AAPL", "ZZZ", "GOOG", "BRK-B", "BRKA", "aapl"]
    assert symbols(operations.queued()) == symbols(operations.due(99)) == order
    assert operations.queued()["timeframe"].to_list()[:2] == ["1d", "1m"]
    assert symbols(operations.due(3)) == order[:3]
    assert symbols(operations.claim("ann", 4, 60)) == order[:4]


def test_claimed_work_is_nobody_elses_until_it_is_given_back_or_the_claim_ends(operations, clock):
    operations.enqueue([work("AAPL"), work("MSFT"), work("GOOG")])
    taken = operations.claim("ann", 2, 60)
    assert taken.select("symbol", "claimed_by", "claimed_until").rows() == [
        ("AAPL", "ann", NOON + MINUTE),
        ("GOOG", "ann", NOON + MINUTE),
    ]
    assert taken.equals(operations.queued().head(2))
    assert symbols(operations.due(5)) == ["MSFT"]
    assert operations.claim("ann", 1, 60)["symbol"].to_list() == ["MSFT"]
    operations.release_claims("bob")
    operations.release_claims("ann", [KEY])
    assert symbols(operations.claim("bob", 5, 60)) == ["AAPL"]
    clock.sleep(50)
    renewed = {(name, *KEY[1:]) for name in ("GOOG", "MSFT")}
    assert operations.renew_claims("ann", 60) == renewed
    clock.sleep(10)
    assert symbols(operations.claim("eve", 5, 60)) == ["AAPL"]
    assert operations.renew_claims("bob", 60) == set()
    operations.release_claims("ann")
    assert symbols(operations.due(5)) == ["GOOG", "MSFT"]


def test_a_claim_that_ran_out_but_was_taken_by_nobody_can_be_renewed(operations, clock):
    operations.enqueue([work()])
    operations.claim("ann", 1, 60)
    clock.sleep(600)
    assert operations.renew_claims("ann", 60) == {KEY}
    assert operations.due(1).is_empty()


def test_work_that_failed_stays_with_its_holder_and_is_due_after_both(operations, clock):
    operations.enqueue([work()])
    operations.claim("ann", 1, 600)
    fail(operations)
    clock.sleep(60)
    assert operations.due(1).is_empty()
    operations.release_claims("ann")
    assert symbols(operations.due(1)) == ["AAPL"]


def test_work_is_selected_by_whole_spans_symbols_and_timeframes(operations):
    operations.enqueue(
        [work("AAPL"), work("AAPL", START), work("MSFT", START), work("MSFT", timeframe="1h")]
    )
    assert operations.due(9, span=START).height == 2
    assert operations.due(9, span=SessionSpan(TUESDAY, FRIDAY)).is_empty()
    assert operations.due(9, symbols=["AAPL"])["last_session"].to_list() == [FRIDAY, TUESDAY]
    assert operations.due(9, symbols=[]).is_empty()
    assert symbols(operations.claim("ann", 9, 60, timeframes=["1h"])) == ["MSFT"]
    assert symbols(operations.claim("ann", 9, 60, span=START, symbols=["AAPL", "X"])) == ["AAPL"]
    assert operations.due(9).height == 2


def test_work_within_a_stretch_is_found_and_what_reaches_out_of_it_is_not(operations):
    operations.enqueue([work("AAPL"), work("AAPL", START), work("MSFT"), work(timeframe="1h")])
    assert operations.queued_within([("AAPL", "1d", START)]) == [("AAPL", "1d", MONDAY, TUESDAY)]
    two = [("AAPL", "1d", SessionSpan(TUESDAY, FRIDAY)), ("AAPL", "1h", WEEK)]
    assert operations.queued_within(two) == [("AAPL", "1h", MONDAY, FRIDAY)]
    many = [(f"S{n}", "1d", WEEK) for n in range(12_000)]
    assert operations.queued_within([*many, ("MSFT", "1d", WEEK)]) == [
        ("MSFT", "1d", MONDAY, FRIDAY)
    ]


@pytest.mark.parametrize("importance", [math.nan, math.inf])
def test_an_importance_that_cannot_be_compared_is_refused(importance):
    with pytest.raises(InputError, match="an importance of"):
        work(importance=importance)


def test_a_claim_of_nothing_or_for_no_time_is_refused(operations):
    with pytest.raises(InputError, match="at most 0 items"):
        operations.claim("ann", 0, 60)
    with pytest.raises(InputError, match="0 seconds"):
        operations.claim("ann", 1, 0)
    with pytest.raises(InputError, match="at most -1 items"):
        operations.due(-1)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(actions, min_size=10, max_size=25))
def test_the_queue_does_what_a_plain_list_of_work_does(operations_url, taken):
    """Whatever is done to it, in whatever order, by three workers, while time passes."""
    clock = SimulatedClock()
    operations = Operations(operations_url, clock=clock.now)
    model = QueueModel(operations, clock, POLICY.model_copy(update={"attempts": 2}))
    operations.dequeue(keys_of(operations.queued()))
    model.enqueue([work(span=span) for span in SPANS])
    for action in taken:
        getattr(model, action[0])(*action[1:])
    model.compare()
