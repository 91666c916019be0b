import datetime as dt
import functools

import exchange_calendars
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.completeness import expected_grid
from turbomode_assets.completeness.expected import GRID_SCHEMA
from turbomode_assets.config.completeness import HaltConfig, ShortSessionConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.timeframes import INTRADAY_MINUTES
from turbomode_assets.sessions import SessionSpan, sessions_between
from turbomode_assets_tests.completeness.builders import RULES, instrument

TUESDAY, HALF_DAY, FRIDAY = dt.date(2024, 7, 2), dt.date(2024, 7, 3), dt.date(2024, 7, 5)
MONDAY = dt.date(2024, 7, 8)
WEEK = SessionSpan(TUESDAY, MONDAY)
"""Two sessions, a holiday, one session, a weekend, one session."""
YEARS = SessionSpan(dt.date(2009, 1, 2), dt.date(2019, 12, 31))
DAYS = st.dates(dt.date(2008, 12, 1), dt.date(2020, 1, 31))


def expected(instruments, timeframe, span=WEEK, config=RULES):
    grid = expected_grid(instruments, span, [timeframe], config)
    return dict(grid.select("session", "expected_rows").iter_rows())


@pytest.mark.parametrize(
    ("timeframe", "full", "half"),
    [("1d", 1, 1), ("1h", 7, 4), ("1m", 390, 210), ("90m", 5, 3), ("4h", 2, 1), ("8h", 1, 1)],
)
def test_a_half_day_has_fewer_bars_counted_from_the_open(timeframe, full, half):
    stock = expected(instrument("A"), timeframe)
    assert stock == {TUESDAY: full, HALF_DAY: half, FRIDAY: full, MONDAY: full}


@pytest.mark.parametrize(("timeframe", "a_day"), [("1d", 1), ("1h", 24), ("1m", 1440), ("90m", 16)])
def test_around_the_clock_a_session_has_the_days_since_the_one_before(timeframe, a_day):
    coin = expected(instrument("C", calendar="24/7"), timeframe)
    assert coin == {
        TUESDAY: a_day,
        HALF_DAY: a_day,
        FRIDAY: 2 * a_day,
        MONDAY: 3 * a_day,
    }


def test_around_the_clock_listing_and_delisting_may_fall_on_a_weekend():
    saturday, sunday = dt.date(2024, 7, 6), dt.date(2024, 7, 7)
    listed = expected(instrument("C", calendar="24/7", first=sunday), "1h")
    delisted = expected(instrument("C", calendar="24/7", last=saturday), "1h")
    assert listed == {MONDAY: 48}
    assert delisted == {TUESDAY: 24, HALF_DAY: 24, FRIDAY: 48, MONDAY: 24}


def test_cells_are_due_hours_after_the_close_or_the_end_of_the_utc_day():
    both = pl.concat([instrument("A"), instrument("C", calendar="24/7")])
    due = expected_grid(both, SessionSpan(HALF_DAY, HALF_DAY), ["1d"], RULES)["due_at"].to_list()
    assert due == [
        dt.datetime(2024, 7, 3, 23, tzinfo=dt.UTC),
        dt.datetime(2024, 7, 4, 6, tzinfo=dt.UTC),
    ]


def test_nothing_is_expected_while_trading_is_halted():
    named = HaltConfig(symbols=["A"], first_session=HALF_DAY, last_session=FRIDAY, reason="x")
    closed = HaltConfig(symbols=None, first_session=MONDAY, last_session=MONDAY, reason="x")
    rules = RULES.model_copy(update={"halts": [named, closed]})
    two = pl.concat([instrument("A"), instrument("B"), instrument("C", calendar="24/7")])
    grid = expected_grid(two, WEEK, ["1d"], rules)
    rows = grid.group_by("symbol", maintain_order=True).agg("expected_rows")
    assert rows.rows() == [("A", [1, 0, 0, 0]), ("B", [1, 1, 1, 0]), ("C", [1, 1, 2, 3])]


def test_a_short_session_that_the_calendar_does_not_know_has_its_own_minutes():
    short = ShortSessionConfig(session=TUESDAY, minutes=100, reason="fire")
    rules = RULES.model_copy(update={"short_sessions": [short]})
    assert expected(instrument("A"), "1h", config=rules)[TUESDAY] == 2
    assert expected(instrument("A"), "1m", config=rules)[TUESDAY] == 100
    assert expected(instrument("C", calendar="24/7"), "1m", config=rules)[TUESDAY] == 1440


def test_the_grid_is_sorted_and_has_its_schema():
    two = pl.concat([instrument("B"), instrument("A")])
    grid = expected_grid(two, WEEK, ["1m", "1d"], RULES)
    assert grid.schema == GRID_SCHEMA
    assert grid.equals(grid.sort("symbol", "session", "timeframe"))


@pytest.mark.parametrize("timeframe", ["1wk", "1mo", "7m"])
def test_bars_longer_than_a_day_are_refused(timeframe):
    with pytest.raises(InputError, match=timeframe):
        expected_grid(instrument("A"), WEEK, [timeframe], RULES)


@functools.cache
def exchange() -> exchange_calendars.ExchangeCalendar:
    return exchange_calendars.get_calendar("XNYS", start="2008-01-01", end="2020-12-31")


@settings(max_examples=12)
@given(first=st.none() | DAYS, last=st.none() | DAYS, timeframe=st.sampled_from(["1d", "1h", "2h"]))
def test_what_is_expected_is_what_exchange_calendars_says_of_the_listed_time(
    first, last, timeframe
):
    calendar = exchange()
    begin = max(first or YEARS.first, YEARS.first)
    end = min(last or YEARS.last, YEARS.last)
    sessions = [] if end < begin else calendar.sessions_in_range(str(begin), str(end))
    bars = 24 * 60 if timeframe == "1d" else INTRADAY_MINUTES[timeframe]
    counts = {s.date(): -(-len(calendar.session_minutes(s)) // bars) for s in sessions[:10]}
    found = expected(instrument("A", first=first, last=last), timeframe, YEARS)
    assert list(found) == [session.date() for session in sessions]
    assert {session: found[session] for session in counts} == counts


@settings(max_examples=25)
@given(first=DAYS, last=DAYS, span=st.tuples(DAYS, DAYS).map(sorted))
def test_around_the_clock_every_listed_utc_day_is_expected_once(first, last, span):
    sessions = sessions_between(*span)
    if not sessions:
        return
    covered = SessionSpan(sessions[0], sessions[-1])
    found = expected(instrument("C", calendar="24/7", first=first, last=last), "1d", covered)
    begin, end = max(first, covered.first_day), min(last, covered.last)
    assert sum(found.values()) == max(0, (end - begin).days + 1)
