import datetime as dt
import threading

import polars as pl
import pytest

from turbomode_assets.contracts.errors import InputError, MissingDataError, VendorError
from turbomode_assets.contracts.table import check_table
from turbomode_assets.contracts.tables import CANDLES
from turbomode_assets.contracts.timeframes import TIMEFRAMES
from turbomode_assets.sessions import SessionSpan, offset_session, session_close
from turbomode_assets.vendors import NoData, VendorFailure
from turbomode_assets.vendors.questions import listed_cells, plan_questions
from turbomode_assets_tests.builders import make_universe
from turbomode_assets_tests.ingestion.exchanges import Desk, Exchange, quality_with, two_symbols

MONDAY, TUESDAY = dt.date(2020, 3, 2), dt.date(2020, 3, 3)
WEDNESDAY, THURSDAY, FRIDAY = (dt.date(2020, 3, day) for day in (4, 5, 6))
ONE, WEEK = SessionSpan(MONDAY, MONDAY), SessionSpan(MONDAY, FRIDAY)
DOWN = VendorFailure("connectivity", "the line is dead", False)
LATER = dt.datetime(2020, 3, 7, 12, tzinfo=dt.UTC)


def night(session):
    return SessionSpan(session, session)


def leases(desk):
    """Names of the leases of the week's daily questions."""
    cells = listed_cells(two_symbols(), WEEK, ["1d"])
    return [question.lease for question in plan_questions(cells, two_symbols(), desk.config.fetch)]


def refuse(symbol, failure):
    return lambda request: failure if request.symbol == symbol else None


def test_a_span_is_asked_once_for_each_symbol_and_stored(tmp_path):
    exchange = Exchange()
    desk = Desk(tmp_path, exchange)
    desk.run(WEEK)
    assert exchange.questions == [
        ("AAA", "1d", "2020-03-02...2020-03-06"),
        ("BBB", "1d", "2020-03-02...2020-03-06"),
    ]
    stored = desk.candles()
    assert stored.height == 10
    assert set(stored["vendor"]) == {"ibkr"}
    assert exchange.closed == 1


def test_a_second_run_over_a_full_store_asks_nobody(tmp_path):
    exchange = Exchange()
    desk = Desk(tmp_path, exchange)
    desk.run(WEEK)
    asked, version = len(exchange.asked), desk.writer.version("candles")
    desk.run(WEEK)
    assert len(exchange.asked) == asked
    assert desk.writer.version("candles") == version


def test_a_symbol_added_later_is_the_only_one_asked_for(tmp_path):
    exchange = Exchange()
    desk = Desk(tmp_path, exchange)
    desk.run(WEEK)
    before = desk.candles()
    exchange.asked.clear()
    desk.run(WEEK, make_universe(["AAA", "BBB", "CCC"], vendor="ibkr"))
    assert exchange.questions == [("CCC", "1d", "2020-03-02...2020-03-06")]
    assert desk.candles(symbols=["AAA", "BBB"]).equals(before)
    assert desk.candles(symbols=["CCC"]).height == 5


def test_what_was_answered_is_stored_although_another_symbol_failed(tmp_path):
    exchange = Exchange()
    exchange.script = refuse("AAA", DOWN)
    desk = Desk(tmp_path, exchange)
    with pytest.raises(VendorError, match=r"AAA 1d 2020-03-02\.\.\.2020-03-06 \(ibkr: connectiv"):
        desk.run(WEEK)
    assert set(desk.candles()["symbol"]) == {"BBB"}
    queued = desk.tools().operations.queued()
    assert queued.select("symbol", "timeframe", "first_session", "last_session").rows() == [
        ("AAA", "1d", MONDAY, FRIDAY)
    ]
    assert "the line is dead" in queued["reason"][0]
    exchange.script, exchange.asked = lambda request: None, []
    desk.run(WEEK)
    assert exchange.questions == [("AAA", "1d", "2020-03-02...2020-03-06")]
    assert desk.tools().operations.queued().is_empty()


def test_queued_work_is_done_when_a_wider_question_is_answered(tmp_path):
    exchange = Exchange()
    exchange.script = refuse("AAA", DOWN)
    desk = Desk(tmp_path, exchange)
    with pytest.raises(VendorError):
        desk.run(night(TUESDAY))
    exchange.script = lambda request: None
    desk.run(WEEK)
    assert desk.tools().operations.queued().is_empty()


def test_a_spent_budget_puts_the_question_back_with_the_time_to_ask_again(tmp_path):
    first, second = Exchange("ibkr"), Exchange("yahoo")
    spent = VendorFailure("budget", "60 calls in 600 s are spent", True, LATER)
    first.script = refuse("AAA", spent)
    desk = Desk(tmp_path, first, second)
    with pytest.raises(VendorError, match="after 2020-03-07 12:00 UTC"):
        desk.run(WEEK)
    assert second.asked == []
    assert desk.tools().operations.queued().select("symbol", "not_before").rows() == [
        ("AAA", LATER)
    ]


def test_a_failover_is_logged_with_its_reason_and_mixes_no_vendors(tmp_path):
    first, second = Exchange("ibkr"), Exchange("yahoo")
    first.script = refuse("AAA", DOWN)
    desk = Desk(tmp_path, first, second)
    desk.run(WEEK)
    by_symbol = desk.candles().group_by("symbol").agg(pl.col("vendor").unique()).sort("symbol")
    assert by_symbol.rows() == [("AAA", ["yahoo"]), ("BBB", ["ibkr"])]
    logged = desk.log("failover").select("symbol", "vendor", "other_vendor", "detail")
    assert logged.rows() == [("AAA", "yahoo", "ibkr", "connectivity: the line is dead")]


def test_a_session_is_asked_again_on_the_next_three_nights_and_then_no_more(tmp_path):
    exchange = Exchange()
    desk = Desk(tmp_path, exchange)
    days = [MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY]
    asked_on = {}
    for day in days:
        exchange.asked.clear()
        desk.run(night(day))
        asked_on[day] = {s for r in exchange.asked for s in r.span.sessions}
    assert asked_on[MONDAY] == {MONDAY}
    assert asked_on[THURSDAY] == {MONDAY, TUESDAY, WEDNESDAY, THURSDAY}
    assert asked_on[FRIDAY] == {TUESDAY, WEDNESDAY, THURSDAY, FRIDAY}


def test_a_revision_is_logged_with_both_values_and_stored(tmp_path):
    exchange = Exchange()
    desk = Desk(tmp_path, exchange)
    desk.run(ONE)

    def revised(request):
        told = exchange.bars(request)
        is_monday = pl.col("ts").dt.date() == MONDAY
        close = pl.when(is_monday).then(9.5).otherwise("close")
        low = pl.when(is_monday).then(9.5).otherwise("low")
        return type(told)(told.frame.with_columns(close=close, low=low))

    exchange.script = revised
    desk.run(night(TUESDAY))
    logged = desk.log("revision").filter(pl.col("symbol") == "AAA")
    assert logged.select("session", "column", "old_value", "new_value").sort("column").rows() == [
        (MONDAY, "close", 10.0, 9.5),
        (MONDAY, "low", 10.0, 9.5),
    ]
    assert desk.candles(symbols=["AAA"])["close"].to_list() == [9.5, 10.0]


def test_rows_that_are_told_again_keep_the_time_of_their_arrival(tmp_path):
    desk = Desk(tmp_path)
    desk.run(ONE)
    arrived = desk.candles()["ingested_at"].to_list()
    desk.run(night(TUESDAY))
    again = desk.candles().filter(pl.col("session") == MONDAY)
    assert again["ingested_at"].to_list() == arrived


def test_having_no_data_is_a_fact_that_is_asked_for_once(tmp_path):
    exchange = Exchange()
    exchange.script = refuse("AAA", NoData("halted"))
    desk = Desk(tmp_path, exchange, recheck_sessions=0)
    desk.run(WEEK)
    facts = desk.log("no_data").select("symbol", "first_session", "session", "detail", "vendor")
    assert facts.rows() == [("AAA", MONDAY, FRIDAY, "halted", "ibkr")]
    asked = len(exchange.asked)
    desk.run(WEEK)
    assert len(exchange.asked) == asked
    desk.run(SessionSpan(WEDNESDAY, THURSDAY))
    assert len(exchange.asked) == asked


def test_a_session_missing_from_an_answer_is_a_fact_of_its_own(tmp_path):
    exchange = Exchange()

    def without_wednesday(request):
        told = exchange.bars(request)
        return type(told)(told.frame.filter(pl.col("ts").dt.date() != WEDNESDAY))

    exchange.script = without_wednesday
    desk = Desk(tmp_path, exchange, recheck_sessions=0)
    desk.run(WEEK)
    assert set(desk.log("no_data")["session"]) == {WEDNESDAY}
    asked = len(exchange.asked)
    desk.run(WEEK)
    assert len(exchange.asked) == asked


def test_a_vendor_that_says_nothing_any_more_deletes_nothing(tmp_path):
    exchange = Exchange()
    desk = Desk(tmp_path, exchange)
    desk.run(SessionSpan(MONDAY, TUESDAY))
    exchange.script = refuse("AAA", NoData("gone"))
    desk.run(night(WEDNESDAY))
    assert set(desk.candles(symbols=["AAA"])["session"]) == {MONDAY, TUESDAY}


def test_another_vendor_with_another_price_is_a_disagreement(tmp_path):
    first, second = Exchange("ibkr", close=10.2), Exchange("yahoo", close=10.0)
    first.script = lambda request: DOWN
    desk = Desk(tmp_path, first, second)
    desk.run(ONE)
    first.script = lambda request: None
    desk.run(night(TUESDAY))
    logged = desk.log("disagreement").filter(
        (pl.col("symbol") == "AAA") & (pl.col("column") == "close")
    )
    told = logged.select("session", "vendor", "new_value", "other_vendor", "old_value")
    assert told.rows() == [(MONDAY, "ibkr", 10.2, "yahoo", 10.0)]
    assert set(desk.candles()["vendor"]) == {"ibkr"}


def test_a_session_that_has_not_ended_is_refused_before_anybody_is_asked(tmp_path):
    exchange = Exchange()
    desk = Desk(tmp_path, exchange)
    desk.time = session_close(MONDAY) - dt.timedelta(minutes=1)
    with pytest.raises(InputError, match="session 2020-03-02 has not ended"):
        list(desk.fetch(ONE))
    assert exchange.asked == []


def test_a_span_in_which_nobody_has_a_candle_is_refused(tmp_path):
    exchange = Exchange()
    exchange.script = lambda request: NoData("the market began later")
    with pytest.raises(MissingDataError, match="no candle of any of 2 symbols"):
        Desk(tmp_path, exchange).run(WEEK)


def test_all_seventeen_timeframes_follow_from_the_three_that_are_fetched(tmp_path):
    desk = Desk(tmp_path, timeframes=["1m", "1h", "1d"])
    month = SessionSpan(MONDAY, dt.date(2020, 3, 31))
    desk.run(month)
    stored = desk.writer.read("candles", caller="test").rows
    assert check_table(stored, CANDLES).equals(stored)
    assert set(stored["timeframe"]) == set(TIMEFRAMES)
    one = stored.filter((pl.col("symbol") == "AAA") & (pl.col("session") == MONDAY))
    counts = dict(one.group_by("timeframe").len().iter_rows())
    minutes = {"1m": 390, "2m": 195, "3m": 130, "5m": 78, "10m": 39, "15m": 26, "20m": 20}
    hours = {"30m": 13, "90m": 5, "1h": 7, "2h": 4, "3h": 3, "4h": 2, "8h": 1, "1d": 1}
    assert counts == minutes | hours
    weeks = desk.candles("1wk", ["AAA"])
    assert weeks["session"].to_list()[0] == FRIDAY
    assert weeks["volume"].to_list()[0] == 500.0
    assert desk.candles("1mo", ["AAA"]).select("session", "volume").rows() == [(month.last, 2200.0)]


def test_nights_leave_the_rows_that_a_range_leaves(tmp_path):
    weeks = SessionSpan(MONDAY, dt.date(2020, 3, 13))
    timeframes = {"timeframes": ["1h", "1d"]}
    whole, nightly = Desk(tmp_path / "whole", **timeframes), Desk(tmp_path / "nights", **timeframes)
    whole.run(weeks)
    for session in weeks.sessions:
        nightly.run(night(session))
    stamps = ["ingested_at"]
    rows = [
        desk.writer.read("candles", caller="test").rows.drop(stamps) for desk in (whole, nightly)
    ]
    assert rows[0].equals(rows[1])


def test_a_week_of_which_a_day_is_missing_has_no_bar_until_it_is_fetched(tmp_path):
    exchange = Exchange()
    exchange.script = lambda request: (
        DOWN if request.symbol == "AAA" and TUESDAY in request.span.sessions else None
    )
    desk = Desk(tmp_path, exchange, sessions_per_question={"1d": 1})
    with pytest.raises(VendorError, match="AAA 1d 2020-03-03"):
        desk.run(WEEK)
    assert desk.candles("1wk")["symbol"].to_list() == ["BBB"]
    exchange.script = lambda request: None
    desk.run(night(TUESDAY))
    assert desk.candles("1wk", ["AAA"])["volume"].to_list() == [500.0]


def test_a_tolerated_share_of_unanswered_questions_fails_no_run_and_stays_queued(tmp_path):
    exchange = Exchange()
    exchange.script = lambda request: (
        DOWN if request.symbol == "AAA" and TUESDAY in request.span.sessions else None
    )
    desk = Desk(tmp_path, exchange, sessions_per_question={"1d": 1})
    desk.quality = quality_with(tolerated_unanswered_share=0.1)
    desk.run(WEEK)
    queued = desk.tools().operations.queued().row(0, named=True)
    assert (queued["symbol"], queued["first_session"], queued["attempts"]) == ("AAA", TUESDAY, 1)
    desk.quality = quality_with(tolerated_unanswered_share=0.099)
    with pytest.raises(VendorError, match="AAA 1d 2020-03-03"):
        desk.run(WEEK)


def test_a_span_that_begins_in_the_middle_of_a_week_makes_no_bar_of_it(tmp_path):
    desk = Desk(tmp_path)
    desk.run(SessionSpan(WEDNESDAY, dt.date(2020, 3, 13)))
    assert desk.candles("1wk", ["AAA"])["session"].to_list() == [dt.date(2020, 3, 13)]
    desk.run(SessionSpan(MONDAY, TUESDAY))
    assert desk.candles("1wk", ["AAA"])["session"].to_list() == [FRIDAY, dt.date(2020, 3, 13)]


def test_a_symbol_listed_in_the_middle_of_a_week_has_a_bar_of_it(tmp_path):
    universe = two_symbols().with_columns(first_session=pl.lit(WEDNESDAY))
    desk = Desk(tmp_path)
    desk.run(WEEK, universe)
    assert desk.candles("1wk", ["AAA"])["volume"].to_list() == [300.0]


def test_two_workers_on_overlapping_work_ask_each_question_once(tmp_path):
    exchange = Exchange()
    desk = Desk(tmp_path, exchange, sessions_per_question={"1d": 1}, recheck_sessions=0)
    desk.time = session_close(FRIDAY) + dt.timedelta(days=1)
    universe = make_universe([f"S{n:02d}" for n in range(8)], vendor="ibkr")
    pause, failures = threading.Event(), []

    def work(owner, span):
        try:
            desk.run(span, universe, owner=owner, sleep=lambda seconds: pause.wait(0.02))
        except BaseException as error:
            failures.append(error)

    spans = {"one": WEEK, "two": SessionSpan(offset_session(MONDAY, -2), THURSDAY)}
    workers = [threading.Thread(target=work, args=each) for each in spans.items()]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    cells = [(r.symbol, session) for r in exchange.asked for session in r.span.sessions]
    assert len(cells) == len(set(cells)) == 8 * 7
    assert desk.candles().height == 8 * 7


def test_what_a_dead_worker_held_is_taken_over_when_its_lease_runs_out(tmp_path):
    exchange = Exchange()
    desk = Desk(tmp_path, exchange)
    desk.time = session_close(FRIDAY) + dt.timedelta(days=1)
    desk.tools().operations.lease_many(leases(desk), "dead", seconds=0.3)
    pause = threading.Event()
    desk.run(WEEK, owner="heir", sleep=lambda seconds: pause.wait(0.05))
    assert len(exchange.asked) == 2
    assert desk.candles().height == 10


def test_a_worker_keeps_its_leases_however_long_an_answer_takes(tmp_path):
    exchange, taken = Exchange(), []
    desk = Desk(tmp_path, exchange, lease_seconds=0.2)
    rival = desk.tools().operations

    def slow(request):
        threading.Event().wait(0.5)
        taken.append(rival.try_lease(leases(desk)[0], "rival", 0.2))

    exchange.script = slow
    desk.run(WEEK)
    assert taken == [False, False]
    assert rival.try_lease(leases(desk)[0], "rival", 0.2)


def test_a_vendor_that_costs_nothing_is_asked_without_leases_every_time(tmp_path):
    exchange = Exchange("archive")
    desk = Desk(tmp_path, exchange)
    desk.run(WEEK)
    desk.tools().operations.lease_many(leases(desk), "dead", seconds=3600)
    desk.run(WEEK)
    assert len(exchange.asked) == 4


def test_progress_says_what_is_done_and_what_remains(tmp_path):
    desk = Desk(tmp_path)
    desk.run(WEEK)
    assert desk.said[0] == "2 questions to ask; no budgets"
    assert desk.said[-1].startswith("2 of 2 questions (BBB 1d 2020-03-02...2020-03-06)")


def test_the_summary_counts_answers_by_vendor(tmp_path):
    first, second = Exchange("ibkr"), Exchange("yahoo")
    first.script = lambda request: DOWN if request.symbol == "AAA" else NoData("halted")
    desk = Desk(tmp_path, first, second)
    desk.time = session_close(FRIDAY) + dt.timedelta(days=1)
    fetch = desk.fetch(WEEK, two_symbols())
    for batch in fetch:
        desk.writer.append("data_quality_log", batch.noticed, caller="test")
        if batch.symbols:
            desk.writer.replace(
                "candles",
                batch.rows,
                span=batch.span,
                symbols=batch.symbols,
                timeframes=batch.timeframes,
                caller="test",
            )
    summary = fetch.metadata()
    assert summary["answers"] == {"yahoo: data": 1, "ibkr: no data": 1}
    assert (summary["questions"], summary["failovers"]) == (2, 1)
