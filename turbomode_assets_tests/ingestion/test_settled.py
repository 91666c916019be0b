"""What failed and what was answered, as the backfill queue remembers it."""

import datetime as dt

import pytest

from turbomode_assets.contracts.errors import VendorError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.operations import NewWork
from turbomode_assets.vendors import VendorFailure
from turbomode_assets_tests.ingestion.exchanges import Desk, Exchange

MONDAY, TUESDAY, FRIDAY = dt.date(2020, 3, 2), dt.date(2020, 3, 3), dt.date(2020, 3, 6)
NEXT_FRIDAY = dt.date(2020, 3, 13)
WEEK, DAY = SessionSpan(MONDAY, FRIDAY), SessionSpan(TUESDAY, TUESDAY)
LATER = dt.datetime(2040, 1, 2, tzinfo=dt.UTC)
DOWN = VendorFailure("connectivity", "the line is dead", False)
SPENT = VendorFailure("budget", "60 calls in 600 s are spent", True, LATER)


@pytest.fixture
def exchange():
    return Exchange()


@pytest.fixture
def desk(tmp_path, exchange):
    return Desk(tmp_path, exchange)


def run_in_vain(desk, exchange, failure, span=WEEK):
    """Fetch the span while nobody answers about AAA."""
    exchange.script = lambda request: failure if request.symbol == "AAA" else None
    with pytest.raises(VendorError):
        desk.run(span)


def queued(desk, *names):
    return desk.tools().operations.queued().select(names).rows()


def test_a_question_that_failed_is_queued_with_one_attempt_and_a_pause(desk, exchange):
    run_in_vain(desk, exchange, DOWN)
    assert queued(desk, "symbol", "first_session", "last_session", "attempts", "importance") == [
        ("AAA", MONDAY, FRIDAY, 1, 0.0)
    ]
    [(reason, not_before, since)] = queued(desk, "reason", "not_before", "enqueued_at")
    assert reason == "ibkr: connectivity: the line is dead"
    assert not_before >= since + dt.timedelta(seconds=300)
    run_in_vain(desk, exchange, DOWN)
    assert queued(desk, "attempts") == [(2,)]


def test_a_spent_budget_is_no_attempt(desk, exchange):
    run_in_vain(desk, exchange, SPENT)
    run_in_vain(desk, exchange, SPENT)
    assert queued(desk, "attempts", "not_before", "reason") == [
        (0, LATER, "60 calls in 600 s are spent")
    ]


def test_a_budget_that_names_no_time_leaves_the_work_due(desk, exchange):
    run_in_vain(desk, exchange, VendorFailure("budget", "spent", True))
    assert queued(desk, "attempts", "not_before") == [(0, desk.time)]


def test_work_queued_inside_a_question_fails_and_is_done_with_it(desk, exchange):
    operations = desk.tools().operations
    operations.enqueue(
        [
            NewWork("AAA", "1d", DAY, "a hole", 5.0),
            NewWork("AAA", "1d", SessionSpan(TUESDAY, NEXT_FRIDAY), "a wider hole", 5.0),
            NewWork("AAA", "1h", DAY, "an hour", 5.0),
        ]
    )
    run_in_vain(desk, exchange, DOWN)
    told = queued(desk, "timeframe", "first_session", "last_session", "attempts", "importance")
    assert sorted(told) == [
        ("1d", TUESDAY, TUESDAY, 1, 5.0),
        ("1d", TUESDAY, NEXT_FRIDAY, 1, 5.0),
        ("1h", TUESDAY, TUESDAY, 0, 5.0),
    ]
    exchange.script = lambda request: None
    desk.run(WEEK)
    assert sorted(queued(desk, "timeframe", "last_session")) == [
        ("1d", NEXT_FRIDAY),
        ("1h", TUESDAY),
    ]


def test_a_question_that_fails_too_often_becomes_a_dead_letter_and_an_answer_still_ends_it(
    desk, exchange
):
    for _ in range(desk.tools().data_quality.backfill.attempts):
        run_in_vain(desk, exchange, DOWN)
    assert desk.tools().operations.queued().filter("is_dead")["symbol"].to_list() == ["AAA"]
    exchange.script = lambda request: None
    desk.run(WEEK)
    assert queued(desk, "symbol") == []
