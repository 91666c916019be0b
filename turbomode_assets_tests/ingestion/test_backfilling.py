"""Fetching what is queued and nothing else; which window comes next, and what it costs."""

import dataclasses
import datetime as dt
import shutil

import polars as pl
import pytest

from turbomode_assets.contracts.errors import InputError, VendorError
from turbomode_assets.ingestion.auditing import AuditRun
from turbomode_assets.ingestion.backfill_plan import plan_of
from turbomode_assets.ingestion.backfilling import QueueSelection, budget_pressure, newest_window
from turbomode_assets.orchestration.resources.master_writer import store_batch
from turbomode_assets.rationing.protocol import Call
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores.operations import NewWork
from turbomode_assets.vendors import Candles, NoData, VendorFailure, build_vendors
from turbomode_assets_tests.builders import REPOSITORY, make_universe
from turbomode_assets_tests.ingestion.exchanges import Desk, Exchange, quality_with, two_symbols

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = (dt.date(2020, 3, day) for day in range(2, 7))
WEEK = SessionSpan(MONDAY, FRIDAY)
NOW = dt.datetime(2020, 3, 10, tzinfo=dt.UTC)
LATER = dt.datetime(2040, 1, 2, tzinfo=dt.UTC)
SPENT = VendorFailure("budget", "60 calls in 600 s are spent", True, LATER)
DOWN = VendorFailure("connectivity", "the line is dead", False)


class Market(Exchange):
    """Volumes that differ from day to day, so that no candle is stale."""

    def bars(self, request, close=None):
        told = super().bars(request, close).frame
        return Candles(told.with_columns(volume=100.0 + pl.col("ts").dt.day()))


@pytest.fixture
def exchange():
    return Market()


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    """Folder of a week of two symbols, stored and asked for once."""
    desk = Desk(tmp_path_factory.mktemp("week"), Market(), recheck_sessions=0)
    rows = {"span": None, "symbols": ["AAA", "BBB"], "caller": "test"}
    desk.writer.replace("symbol_metadata", two_symbols(), **rows)
    desk.run(WEEK)
    return desk.root


@pytest.fixture
def desk(week, tmp_path, exchange):
    shutil.copytree(week, tmp_path / "week")
    desk = Desk(tmp_path / "week", exchange, recheck_sessions=0)
    desk.time = NOW
    return desk


def queue_of(desk):
    return desk.tools().operations.queued()


def enqueue(desk, *stretches, reason="missing", timeframe="1d"):
    desk.tools().operations.enqueue(
        NewWork(symbol, timeframe, span, reason, 1.0) for symbol, span in stretches
    )


def one(session):
    return SessionSpan(session, session)


def empty(desk, symbol, *sessions):
    for session in sessions:
        put(desk, symbol, session, pl.DataFrame.clear)


def put(desk, symbol, session, change):
    read = desk.writer.read("candles", caller="test", symbols=[symbol], span=one(session))
    rows = change(read.rows.filter(pl.col("timeframe") == "1d"))
    scope = {"span": one(session), "symbols": [symbol], "timeframes": ["1d"]}
    desk.writer.replace("candles", rows, caller="test", **scope)


def spoil(desk, symbol, session):
    put(desk, symbol, session, lambda rows: rows.with_columns(payload_sha256=pl.lit("0")))


def work(desk, span=WEEK):
    """A run of queued work."""
    for batch in dataclasses.replace(desk.fetch(span), queued_only=QueueSelection()):
        store_batch(desk.writer, batch, "raw_candles")


def audit(desk, span=WEEK):
    desk.time += dt.timedelta(minutes=1)
    run = AuditRun(desk.tools("auditor"), span, lambda line: None, describe=dict)
    for batch in run:
        store_batch(desk.writer, batch, "audit")


def reasons_of(desk, symbol, session):
    rows = desk.writer.read("partition_status", caller="test", span=one(session)).rows
    return rows.filter(symbol=symbol, timeframe="1d")["reasons"].item()


def test_only_what_is_queued_and_wholly_inside_the_span_is_asked_for(desk, exchange):
    empty(desk, "AAA", MONDAY, TUESDAY, WEDNESDAY, THURSDAY)
    empty(desk, "BBB", MONDAY)
    enqueue(desk, ("AAA", one(TUESDAY)), ("AAA", SessionSpan(WEDNESDAY, FRIDAY)))
    work(desk, SessionSpan(MONDAY, THURSDAY))
    assert exchange.questions == [("AAA", "1d", "2020-03-03")]
    assert queue_of(desk)["first_session"].to_list() == [WEDNESDAY]
    assert queue_of(desk)["claimed_until"].null_count() == 1


def test_with_an_empty_queue_nobody_is_asked(desk, exchange):
    empty(desk, "AAA", TUESDAY)
    work(desk)
    assert exchange.asked == []


def test_work_that_another_worker_holds_is_left_to_it(desk, exchange):
    empty(desk, "AAA", TUESDAY)
    enqueue(desk, ("AAA", one(TUESDAY)))
    desk.tools().operations.claim("somebody", 10, 60)
    work(desk)
    assert exchange.asked == []
    assert queue_of(desk)["claimed_by"].to_list() == ["somebody"]


def test_what_was_filled_meanwhile_leaves_the_queue_without_a_call(desk, exchange):
    enqueue(desk, ("AAA", one(TUESDAY)))
    enqueue(desk, ("AAA", one(WEDNESDAY)), reason="ibkr: connectivity: the line is dead")
    desk.tools().operations.postpone(
        [("AAA", "1d", TUESDAY, TUESDAY)], "60 calls in 600 s are spent", NOW
    )
    work(desk)
    assert exchange.asked == []
    assert queue_of(desk).is_empty()


def test_a_damaged_candle_is_fetched_again_once_and_whole_again(desk, exchange):
    spoil(desk, "AAA", TUESDAY)
    audit(desk)
    assert queue_of(desk).select("symbol", "reason").rows() == [("AAA", "checksum_mismatch")]
    work(desk)
    assert exchange.questions == [("AAA", "1d", "2020-03-03")]
    audit(desk)
    assert reasons_of(desk, "AAA", TUESDAY) == ""
    assert queue_of(desk).is_empty()


def without_high(exchange):
    """Deliver a candle without its high: one that counts as absent."""

    def deliver(request):
        told = exchange.bars(request).frame
        return Candles(told.with_columns(high=pl.lit(None, dtype=pl.Float64)))

    return deliver


def test_a_fault_that_the_vendor_delivers_again_is_not_fetched_for_ever(desk, exchange):
    put(desk, "AAA", TUESDAY, lambda rows: rows.with_columns(high=pl.lit(None, dtype=pl.Float64)))
    exchange.script = without_high(exchange)
    for _ in range(3):
        audit(desk)
        work(desk)
    # Once as damaged, and once for what the vendor then delivered, which was another finding.
    assert exchange.questions == [("AAA", "1d", "2020-03-03")] * 2
    assert reasons_of(desk, "AAA", TUESDAY) == "missing_price,non_finite,rows_low"
    assert queue_of(desk).is_empty()


def test_a_damaged_candle_waits_for_the_budget_and_for_the_line(desk, exchange):
    spoil(desk, "AAA", TUESDAY)
    audit(desk)
    operations, key = desk.tools().operations, ("AAA", "1d", TUESDAY, TUESDAY)
    operations.fail([key], "the line is dead", retry_at=None, policy=quality_with().backfill)
    operations.postpone([key], "spent", NOW)
    assert queue_of(desk)["attempts"].to_list() == [1]
    release(desk)
    work(desk)
    assert exchange.questions == [("AAA", "1d", "2020-03-03")]
    assert queue_of(desk).is_empty()


def release(desk):
    """Make all queued work due at once, whatever it waited for, and keep what was said of it."""
    with desk.tools().operations.transaction() as connection:
        connection.exec_driver_sql("UPDATE backfill_queue SET not_before = NULL")


def test_a_spent_budget_postpones_and_no_attempt_is_counted(desk, exchange):
    empty(desk, "AAA", TUESDAY)
    enqueue(desk, ("AAA", one(TUESDAY)))
    exchange.script = lambda request: SPENT
    with pytest.raises(VendorError, match="after 2040-01-02"):
        work(desk)
    assert queue_of(desk).select("attempts", "not_before", "claimed_by").rows() == [
        (0, LATER, None)
    ]
    assert newest_window(desk.tools(), 21) is None


@pytest.mark.parametrize(("share", "fails"), [(0.5, False), (0.4, True)])
def test_a_tolerated_share_of_unanswered_questions_fails_no_run(desk, exchange, share, fails):
    desk.quality = quality_with(tolerated_unanswered_share=share)
    for symbol in ("AAA", "BBB"):
        empty(desk, symbol, TUESDAY)
        enqueue(desk, (symbol, one(TUESDAY)))
    exchange.script = lambda request: DOWN if request.symbol == "AAA" else None
    if fails:
        with pytest.raises(VendorError, match="AAA 1d 2020-03-03"):
            work(desk)
    else:
        work(desk)
    assert queue_of(desk).select("symbol", "attempts").rows() == [("AAA", 1)]
    assert desk.candles(symbols=["BBB"]).height == 5


def test_a_cell_of_which_the_vendor_has_nothing_leaves_the_queue_and_stays_out(desk, exchange):
    empty(desk, "AAA", TUESDAY)
    audit(desk)
    exchange.script = lambda request: NoData("halted")
    work(desk)
    audit(desk)
    assert reasons_of(desk, "AAA", TUESDAY) == "no_data"
    assert queue_of(desk).is_empty()


def test_an_interrupted_run_gives_its_claims_back_and_the_next_goes_on(desk, exchange):
    desk.config = desk.config.model_copy(
        update={"fetch": desk.config.fetch.model_copy(update={"rows_per_commit": 1})}
    )
    for symbol in ("AAA", "BBB"):
        empty(desk, symbol, TUESDAY)
        enqueue(desk, (symbol, one(TUESDAY)))

    def interrupted():
        for batch in dataclasses.replace(desk.fetch(WEEK), queued_only=QueueSelection()):
            assert queue_of(desk)["claimed_by"].to_list() == ["worker"] * 2
            store_batch(desk.writer, batch, "raw_candles")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert set(queue_of(desk)["claimed_by"]) == {None}
    work(desk)
    assert exchange.questions == [("AAA", "1d", "2020-03-03"), ("BBB", "1d", "2020-03-03")]
    assert queue_of(desk).is_empty()


def test_the_next_window_ends_with_the_newest_due_work(desk):
    tools = desk.tools()
    assert newest_window(tools, 3) is None
    enqueue(desk, ("AAA", one(TUESDAY)), ("BBB", one(MONDAY)))
    enqueue(desk, ("AAA", one(FRIDAY)), timeframe="1h")
    assert newest_window(tools, 2) == SessionSpan(MONDAY, TUESDAY)
    assert newest_window(tools, 1) == one(TUESDAY)
    assert newest_window(tools, 3, SessionSpan(MONDAY, FRIDAY)) == SessionSpan(MONDAY, TUESDAY)
    assert newest_window(tools, 3, one(WEDNESDAY)) is None
    enqueue(desk, ("AAA", WEEK))
    assert newest_window(tools, 2) == WEEK
    tools.operations.postpone([("AAA", "1d", MONDAY, FRIDAY)], "spent", LATER)
    assert newest_window(tools, 2) == SessionSpan(MONDAY, TUESDAY)


def test_pressure_is_what_is_used_of_the_calls_that_a_vendor_allows_in_all(desk):
    tools = desk.tools()
    assert budget_pressure(tools) == 0.0
    for number in range(6):
        with tools.budget.spend(Call("ibkr", identity=f"question {number}", group=f"{number}")):
            pass
    # 6 of 60 calls in ten minutes; the one identical call in 15 s is used up and no matter.
    assert budget_pressure(tools) == pytest.approx(0.1)
    tools.budget.cool_off("ibkr", "told to slow down")
    assert budget_pressure(tools) == 1.0


def test_vendors_without_a_budget_are_under_no_pressure(tmp_path):
    assert budget_pressure(Desk(tmp_path, Exchange("archive")).tools()) == 0.0


COIN = "BTC-USD"
MARCH = SessionSpan(MONDAY, dt.date(2020, 3, 31))


@pytest.fixture
def real(tmp_path):
    """The real vendors, whom nobody asks, over an empty store of a share and a coin."""
    desk = Desk(tmp_path, timeframes=["1d", "1h", "1m"])
    desk.time = dt.datetime(2020, 4, 2, tzinfo=dt.UTC)
    calendar = pl.when(pl.col("symbol") == COIN).then(pl.lit("24/7")).otherwise("calendar")
    known = make_universe(["AAPL", COIN], vendor="ibkr").with_columns(calendar=calendar)
    symbols = known["symbol"].to_list()
    desk.writer.replace("symbol_metadata", known, span=None, symbols=symbols, caller="test")
    desk.vendors = build_vendors(
        desk.config,
        data_root=tmp_path,
        configs=REPOSITORY / "configs",
        budget=desk.tools().budget,
        now=lambda: desk.time,
    )
    return desk


@pytest.mark.parametrize(
    ("symbol", "timeframe", "ibkr", "yahoo"),
    [
        # The newest 21 of the 22 sessions are one window, 2 March is another.
        ("AAPL", "1d", 2, 2),
        ("COIN", "1d", 2, 2),
        # A question of hours begins on 17 March: two in the newer window, one in the older.
        ("AAPL", "1h", 3, 3),
        # One request a day. Questions of minutes begin on 4, 11, 18 and 25 March, each within
        # Yahoo's eight days; it has nothing of 2 March, which lies more than 30 days back.
        ("AAPL", "1m", 22, 5),
        # Around the clock: from Saturday 29 February to 31 March.
        ("COIN", "1m", 32, 5),
    ],
)
def test_a_plan_counts_the_calls_that_each_vendor_would_take(real, symbol, timeframe, ibkr, yahoo):
    plan = plan_of(real.tools(), MARCH, [COIN if symbol == "COIN" else symbol], [timeframe])
    assert plan.cells == len(MARCH.sessions) == 22
    assert plan.calls == {"ibkr": ibkr, "yahoo": yahoo}


def test_near_holes_are_counted_as_the_one_question_that_they_become(desk):
    empty(desk, "AAA", MONDAY, WEDNESDAY, FRIDAY)
    plan = plan_of(desk.tools(), WEEK)
    assert (len(plan.work), plan.cells) == (3, 3)
    assert plan.calls == {"ibkr": 1}
    desk.quality = quality_with(window_sessions=2)
    assert plan_of(desk.tools(), WEEK).calls == {"ibkr": 3}


def test_a_plan_has_what_is_missing_or_damaged_and_is_fetched_as_it_says(desk, exchange):
    empty(desk, "AAA", TUESDAY, WEDNESDAY)
    spoil(desk, "BBB", FRIDAY)
    audit(desk)
    desk.tools().operations.dequeue(
        queue_of(desk).select("symbol", "timeframe", "first_session", "last_session").rows()
    )
    plan = plan_of(desk.tools(), WEEK)
    assert [(each.symbol, str(each.span), each.reason) for each in plan.work] == [
        ("BBB", "2020-03-06", "checksum_mismatch"),
        ("AAA", "2020-03-03...2020-03-04", "missing"),
    ]
    assert plan.by_year.rows() == [(2020, "1d", 2, 2, 3)]
    desk.tools().operations.enqueue(plan.work)
    work(desk)
    assert len(exchange.asked) == plan.calls["ibkr"] == 2
    audit(desk)
    assert plan_of(desk.tools(), WEEK).is_empty


@pytest.mark.parametrize(
    ("symbols", "timeframes", "complaint"),
    [(["ZZZ"], None, "no such symbols: ZZZ"), (None, ["5m"], "not fetched: 5m")],
)
def test_a_plan_of_what_is_not_fetched_is_refused(desk, symbols, timeframes, complaint):
    with pytest.raises(InputError, match=complaint):
        plan_of(desk.tools(), WEEK, symbols, timeframes)


def test_a_plan_skips_what_a_vendor_said_is_not_there(desk, exchange):
    beyond = one(offset_session(FRIDAY, 1))
    exchange.script = lambda request: NoData("halted") if request.symbol == "AAA" else None
    desk.run(beyond)
    assert plan_of(desk.tools(), beyond).is_empty
