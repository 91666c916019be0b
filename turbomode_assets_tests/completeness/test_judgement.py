import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.completeness import judgement
from turbomode_assets.config.completeness import HaltConfig
from turbomode_assets.contracts.errors import ContractError, InputError
from turbomode_assets.contracts.table import check_table
from turbomode_assets.contracts.tables import CELL, PARTITION_STATUS
from turbomode_assets.sessions import SessionSpan, session_opens
from turbomode_assets_tests.builders import real_data_folder
from turbomode_assets_tests.completeness.builders import (
    RULES,
    STRICT,
    finding,
    full_candles,
    instrument,
    ledger_of,
    noticed,
    queued,
    said,
)

FRIDAY, MONDAY, TUESDAY = dt.date(2024, 6, 7), dt.date(2024, 6, 10), dt.date(2024, 6, 11)
SPAN = SessionSpan(FRIDAY, TUESDAY)
STOCK, COIN = instrument("A"), instrument("C", calendar="24/7")
BOTH = pl.concat([STOCK, COIN])
IS_MONDAY = pl.col("session") == MONDAY


def monday_of(candles, instruments=STOCK, **rest):
    """Verdict and reasons of Monday."""
    rows = ledger_of(candles, instruments, SPAN, **rest).filter(IS_MONDAY)
    return said(rows, "verdict", "reasons")[0]


def daily():
    return full_candles(STOCK, SPAN, ["1d"])


def on_monday(**values):
    """A stock's daily candles with other values on Monday."""
    changes = [pl.when(IS_MONDAY).then(v).otherwise(name).alias(name) for name, v in values.items()]
    return daily().with_columns(changes)


def test_complete_candles_are_green_and_fit_the_ledgers_contract():
    timeframes = ["1d", "1h", "1m"]
    ledger = ledger_of(full_candles(BOTH, SPAN, timeframes), BOTH, SPAN, timeframes)
    assert set(said(ledger, "verdict", "reasons", "delivered_by")) == {("GREEN", "", "archive")}
    assert ledger["expected_rows"].equals(ledger["actual_rows"].alias("expected_rows"))
    assert ledger.height == 2 * 3 * 3
    assert ledger.equals(check_table(ledger, PARTITION_STATUS))
    assert ledger["store_version"].unique().to_list() == [7]


def test_a_cell_without_candles_is_missing_once_it_is_due():
    close = dt.datetime(2024, 6, 10, 20, tzinfo=dt.UTC)
    candles = daily().filter(~IS_MONDAY)
    before = monday_of(candles, now=close + dt.timedelta(hours=5, minutes=59))
    after = monday_of(candles, now=close + dt.timedelta(hours=6))
    assert before == ("AMBER", "not_yet_due")
    assert after == ("RED", "missing")


@pytest.mark.parametrize(
    ("stored", "verdict"),
    [
        (390, ("GREEN", "")),
        (371, ("GREEN", "")),
        (370, ("AMBER", "rows_low")),
        (195, ("AMBER", "rows_low")),
        (194, ("RED", "rows_low")),
        (0, ("RED", "missing")),
    ],
)
def test_intraday_rows_are_compared_with_the_configured_shares(stored, verdict):
    minutes = full_candles(STOCK, SPAN, ["1m"])
    monday = minutes.filter(IS_MONDAY).head(stored)
    candles = pl.concat([monday, minutes.filter(~IS_MONDAY)])
    assert monday_of(candles, timeframes=["1m"]) == verdict


@pytest.mark.parametrize(
    ("days", "verdict"), [([1, 2], ("AMBER", "rows_low")), ([2], ("RED", "rows_low"))]
)
def test_a_day_missing_around_the_clock_is_never_green(days, verdict):
    weekend = dt.datetime(2024, 6, 8, tzinfo=dt.UTC)
    kept = [weekend + dt.timedelta(days=day) for day in days]
    candles = full_candles(COIN, SPAN, ["1d"]).filter(~IS_MONDAY | pl.col("ts").is_in(kept))
    assert monday_of(candles, COIN) == verdict


def test_a_candle_on_a_closed_day_does_not_stand_in_for_the_sessions_own():
    saturday = on_monday(ts=pl.lit(dt.datetime(2024, 6, 8, 13, 30, tzinfo=dt.UTC)))
    assert monday_of(saturday) == ("RED", "missing,no_session")
    beside = pl.concat([daily(), saturday.filter(IS_MONDAY)])
    assert monday_of(beside) == ("AMBER", "no_session")


def test_several_candles_of_one_day_are_duplicates():
    again = daily().filter(IS_MONDAY).with_columns(pl.col("ts") + dt.timedelta(hours=1))
    ledger = ledger_of(pl.concat([daily(), again]), STOCK, SPAN)
    row = ledger.filter(IS_MONDAY)
    assert said(row, "expected_rows", "actual_rows", "reasons") == [(1, 2, "duplicate")]


def test_an_intraday_candle_between_the_bars_is_off_the_grid():
    moved = pl.when(IS_MONDAY).then(pl.col("ts") + dt.timedelta(minutes=7)).otherwise("ts")
    hours = full_candles(STOCK, SPAN, ["1h"]).with_columns(moved)
    assert monday_of(hours, timeframes=["1h"]) == ("AMBER", "off_grid")


@pytest.mark.parametrize("values", [{"high": 10.2}, {"low": 10.2}, {"open": 12.0}])
def test_prices_outside_the_bounds_are_amber(values):
    assert monday_of(on_monday(**values)) == ("AMBER", "ohlc_violation")


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_candle_without_all_prices_counts_as_absent(value):
    assert monday_of(on_monday(open=value)) == ("RED", "non_finite,rows_low")


def test_one_minute_without_a_price_does_not_make_a_session_incomplete():
    minutes = full_candles(STOCK, SPAN, ["1m"])
    first = pl.col("ts") == pl.lit(dt.datetime(2024, 6, 10, 13, 30, tzinfo=dt.UTC))
    holed = minutes.with_columns(open=pl.when(~first).then("open"))
    assert monday_of(holed, timeframes=["1m"]) == ("AMBER", "non_finite")


@pytest.mark.parametrize("volume", [0.0, None])
def test_a_day_without_volume_is_amber_and_a_minute_without_is_not(volume):
    assert monday_of(on_monday(volume=volume)) == ("AMBER", "zero_volume")
    minutes = full_candles(STOCK, SPAN, ["1m"])
    half = pl.col("ts").dt.hour() < 16
    quiet = minutes.with_columns(volume=pl.when(half).then(volume).otherwise("volume"))
    assert monday_of(quiet, timeframes=["1m"]) == ("GREEN", "")


def test_what_a_vendor_said_there_is_none_of_is_amber_and_not_missing():
    log = noticed("no_data", "A", FRIDAY, MONDAY)
    ledger = ledger_of(daily().filter(~IS_MONDAY), STOCK, SPAN, log=log)
    assert said(ledger) == [
        (FRIDAY, "GREEN", ""),
        (MONDAY, "AMBER", "no_data"),
        (TUESDAY, "GREEN", ""),
    ]


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        ("revision", ("GREEN", "revised")),
        ("late_candles", ("GREEN", "late")),
        ("disagreement", ("AMBER", "disagreement")),
        ("failover", ("GREEN", "")),
    ],
)
def test_what_ingestion_noticed_is_told(kind, verdict):
    assert monday_of(daily(), log=noticed(kind, "A", MONDAY, MONDAY)) == verdict
    assert monday_of(daily(), log=noticed(kind, "B", MONDAY, MONDAY)) == ("GREEN", "")


@pytest.mark.parametrize(("attempts", "is_dead"), [(1, False), (0, True)])
def test_vendors_failed_where_candles_are_absent_and_an_attempt_was_made(attempts, is_dead):
    queue = queued("A", FRIDAY, MONDAY, attempts=attempts, is_dead=is_dead)
    ledger = ledger_of(daily().filter(~IS_MONDAY), STOCK, SPAN, queue=queue)
    assert said(ledger)[:2] == [(FRIDAY, "GREEN", ""), (MONDAY, "RED", "missing,vendor_failure")]


def test_work_that_nobody_tried_yet_is_no_failure():
    queue = queued("A", MONDAY, MONDAY, attempts=0)
    assert monday_of(daily().filter(~IS_MONDAY), queue=queue) == ("RED", "missing")


@pytest.mark.parametrize(
    ("action", "verdict"), [("repaired", "AMBER"), ("flagged", "AMBER"), ("left_out", "RED")]
)
def test_findings_of_curation_keep_their_codes(action, verdict):
    found = pl.concat([finding("A", MONDAY, code, action) for code in ("zz", "high_widened", "zz")])
    candles = on_monday(volume=0.0)
    assert monday_of(candles, findings=found) == (verdict, "high_widened,zero_volume,zz")


def test_a_finding_with_an_unknown_action_is_refused():
    with pytest.raises(ContractError, match="ignored"):
        monday_of(daily(), findings=finding("A", MONDAY, "zz", "ignored"))


def test_a_halted_session_is_green_without_candles_and_amber_with_one():
    halt = HaltConfig(symbols=["A"], first_session=MONDAY, last_session=MONDAY, reason="x")
    rules = RULES.model_copy(update={"halts": [halt]})
    assert monday_of(daily().filter(~IS_MONDAY), config=rules) == ("GREEN", "halted")
    assert monday_of(daily(), config=rules) == ("AMBER", "halted,no_session")


def test_a_candle_outside_the_listed_time_has_a_row_of_its_own():
    listed = instrument("A", first=MONDAY)
    ledger = ledger_of(daily(), listed, SPAN)
    assert said(ledger, "session", "expected_rows", "actual_rows", "verdict", "reasons") == [
        (FRIDAY, 0, 1, "AMBER", "no_session"),
        (MONDAY, 1, 1, "GREEN", ""),
        (TUESDAY, 1, 1, "GREEN", ""),
    ]


def test_more_days_than_the_listed_ones_are_too_many_rows():
    candles = full_candles(COIN, SPAN, ["1d"])
    since_sunday = instrument("C", calendar="24/7", first=dt.date(2024, 6, 9))
    assert monday_of(candles, since_sunday) == ("AMBER", "rows_high")


def test_vendors_of_one_cell_are_joined():
    hours = full_candles(STOCK, SPAN, ["1h"])
    late = pl.col("ts").dt.hour() > 16
    mixed = hours.with_columns(
        vendor=pl.when(IS_MONDAY & late).then(pl.lit("ib")).otherwise("vendor")
    )
    ledger = ledger_of(mixed, STOCK, SPAN, ["1h"])
    assert ledger["delivered_by"].to_list() == ["archive", "archive+ib", "archive"]


def test_weekly_candles_are_refused():
    with pytest.raises(InputError, match="1wk"):
        ledger_of(daily().with_columns(timeframe=pl.lit("1wk")), STOCK, SPAN)


TIMEFRAMES = ["1d", "1h"]
FULL = full_candles(BOTH, SPAN, TIMEFRAMES).with_row_index("number")


@settings(max_examples=15)
@given(number=st.integers(0, FULL.height - 1))
def test_deleting_any_candle_makes_exactly_its_cell_not_green(number):
    gone = FULL.filter(pl.col("number") == number)
    ledger = ledger_of(
        FULL.filter(pl.col("number") != number), BOTH, SPAN, TIMEFRAMES, config=STRICT
    )
    assert (
        ledger.filter(pl.col("verdict") != "GREEN").select(CELL).rows() == gone.select(CELL).rows()
    )


def spoilt(numbers, seed):
    """Candles without some, with others moved, emptied or doubled, in some order."""
    kind = pl.col("number") % 5
    chosen = pl.col("number").is_in(numbers)
    kept = FULL.filter(~(chosen & (kind == 0)))
    changed = kept.with_columns(
        close=pl.when(~(chosen & (kind == 1))).then("close"),
        volume=pl.when(chosen & (kind == 2)).then(0.0).otherwise("volume"),
        ts=pl.col("ts")
        + pl.when(chosen & (kind == 3)).then(dt.timedelta(minutes=11)).otherwise(dt.timedelta(0)),
    )
    doubled = changed.filter(chosen & (kind == 4)).with_columns(
        pl.col("ts") + dt.timedelta(minutes=5)
    )
    return pl.concat([changed, doubled]).drop("number").sample(fraction=1, shuffle=True, seed=seed)


LOG = pl.concat(
    [noticed("no_data", "A", FRIDAY, TUESDAY), noticed("revision", "C", MONDAY, MONDAY, "1h")]
)
FOUND = pl.concat([finding("A", MONDAY, "stale", "flagged"), finding("C", FRIDAY, "x", "left_out")])
FAILED = queued("C", MONDAY, TUESDAY, attempts=2)
NUMBERS = st.lists(st.integers(0, FULL.height - 1), max_size=60)
NOW = dt.datetime(2024, 6, 11, 3, tzinfo=dt.UTC)


def audit(candles, span, *, order=1):
    return ledger_of(
        candles.filter(pl.col("session").is_between(span.first, span.last)),
        BOTH[::order],
        span,
        TIMEFRAMES,
        findings=FOUND[::order],
        log=LOG[::order],
        queue=FAILED,
        now=NOW,
    )


@settings(max_examples=8)
@given(numbers=NUMBERS, seed=st.integers(0, 9))
def test_a_span_is_judged_as_its_sessions_one_by_one(numbers, seed):
    candles = spoilt(numbers, seed)
    single = [audit(candles, SessionSpan(session, session)) for session in SPAN.sessions]
    order = PARTITION_STATUS.sort_by
    assert audit(candles, SPAN).sort(order).equals(pl.concat(single).sort(order))


@settings(max_examples=8)
@given(numbers=NUMBERS, seed=st.integers(0, 9))
def test_the_order_of_rows_changes_nothing(numbers, seed):
    straight = audit(spoilt(numbers, 0), SPAN)
    assert straight.equals(audit(spoilt(numbers, seed), SPAN, order=-1))


def test_blocks_of_symbols_are_judged_as_the_whole(monkeypatch):
    candles = spoilt(list(range(0, FULL.height, 3)), 1)
    whole = audit(candles, SPAN)
    monkeypatch.setattr(judgement, "ROWS_AT_ONCE", 20)
    assert audit(candles, SPAN).equals(whole)


@pytest.mark.real_data
def test_the_known_defects_of_real_candles_are_found_and_no_others():
    """The counts are those of the data's own description."""
    days = pl.read_parquet(real_data_folder() / "daily_500.parquet").rename({"date": "session"})
    listed = days.group_by("symbol").agg(
        first_session=pl.col("session").min(), last_session=pl.col("session").max()
    )
    candles = days.with_columns(
        pl.col("volume").cast(pl.Float64),
        ts=session_opens(days["session"]),
        timeframe=pl.lit("1d"),
        vendor=pl.lit("archive"),
    )
    span = SessionSpan(dt.date(2013, 2, 8), dt.date(2018, 2, 7))
    ledger = ledger_of(candles, listed.with_columns(calendar=pl.lit("XNYS")), span)
    counts = dict(
        ledger.select(pl.col("reasons").str.split(","))
        .explode("reasons")
        .group_by("reasons")
        .len()
        .iter_rows()
    )
    incomplete, outside = 11, 12
    assert ledger.filter(pl.col("reasons") == "").height == ledger.filter(verdict="GREEN").height
    assert counts.pop("") > 619_000
    assert counts == {
        "missing": 51,
        "non_finite": incomplete,
        "rows_low": incomplete,
        "ohlc_violation": outside,
        "zero_volume": 4,
    }
    holes = ledger.filter(reasons="missing").group_by("symbol").len().filter(pl.col("len") > 10)
    assert sorted(holes.rows()) == [("DHR", 16), ("O", 16)]
