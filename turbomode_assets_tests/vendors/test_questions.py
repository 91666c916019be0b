import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.tables import CELL
from turbomode_assets.sessions import SessionSpan, sessions_between
from turbomode_assets.vendors.questions import (
    listed_cells,
    plan_questions,
    require_ended,
)
from turbomode_assets_tests.builders import make_universe
from turbomode_assets_tests.vendors.builders import FRIDAY, MONDAY, TUESDAY, WEEK, fetch_config

UNIVERSE = make_universe(["AAA", "BBB"])
MARCH = SessionSpan(dt.date(2015, 3, 2), dt.date(2015, 3, 31))


def test_a_symbol_has_cells_only_while_it_is_listed():
    universe = UNIVERSE.with_columns(
        first_session=pl.Series([None, MONDAY], dtype=pl.Date),
        last_session=pl.Series([FRIDAY, TUESDAY], dtype=pl.Date),
    )
    assert listed_cells(universe, WEEK, ["1d"]).rows() == [
        ("AAA", "1d", FRIDAY),
        ("BBB", "1d", MONDAY),
        ("BBB", "1d", TUESDAY),
    ]


def test_one_question_covers_what_is_open_of_a_block_from_end_to_end():
    cells = listed_cells(UNIVERSE, MARCH, ["1d"]).filter(
        (pl.col("symbol") == "BBB") & pl.col("session").is_in([MONDAY, dt.date(2015, 3, 12)])
    )
    (question,) = plan_questions(cells, UNIVERSE, fetch_config(timeframes=["1d"]))
    assert question.request.span == SessionSpan(MONDAY, dt.date(2015, 3, 12))
    assert question.about == "BBB 1d 2015-03-09...2015-03-12"


def test_workers_with_different_spans_divide_the_work_alike():
    fetch = fetch_config(timeframes=["1m"], sessions_per_question={"1m": 5})

    def leases(span):
        cells = listed_cells(UNIVERSE, span, ["1m"])
        return {question.lease for question in plan_questions(cells, UNIVERSE, fetch)}

    for day in MARCH.sessions:
        assert leases(SessionSpan(day, day)) <= leases(MARCH)


@settings(max_examples=40)
@given(
    st.sets(st.sampled_from(sessions_between(MARCH.first, MARCH.last)), min_size=1),
    st.integers(1, 30),
)
def test_questions_cover_every_open_cell_once(days, width):
    fetch = fetch_config(timeframes=["1d"], sessions_per_question={"1d": width})
    cells = listed_cells(UNIVERSE, MARCH, ["1d"]).filter(pl.col("session").is_in(days))
    asked = [
        (question.request.symbol, question.request.timeframe, session)
        for question in plan_questions(cells, UNIVERSE, fetch)
        for session in question.request.span.sessions
    ]
    assert len(asked) == len(set(asked))
    assert set(cells.select(CELL).iter_rows()) <= set(asked)


def test_a_session_is_ended_when_its_last_market_has_closed():
    coin = pl.concat([UNIVERSE, make_universe(["C"]).with_columns(calendar=pl.lit("24/7"))])
    day = SessionSpan(MONDAY, MONDAY)
    closed, midnight = (
        dt.datetime(2015, 3, 9, 20, tzinfo=dt.UTC),
        dt.datetime(2015, 3, 10, tzinfo=dt.UTC),
    )
    require_ended(day, UNIVERSE, closed)
    require_ended(day, coin, midnight)
    with pytest.raises(InputError, match="2015-03-09 has not ended"):
        require_ended(day, UNIVERSE, closed - dt.timedelta(seconds=1))
    with pytest.raises(InputError, match="after 2015-03-10 00:00 UTC"):
        require_ended(day, coin, midnight - dt.timedelta(seconds=1))
