"""Real prices: what the graph records of a backtest is what plain Python makes of the files."""

import datetime as dt

import polars as pl
import pytest

from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets_tests.backtest.builders import Case
from turbomode_assets_tests.backtest.real_market import (
    PRICES,
    RULE,
    SPAN,
    keep_book,
    real_market,
    reference_book,
    replaced,
    require_same,
)
from turbomode_assets_tests.backtest.records import (
    recorded_equity,
    recorded_figures,
    recorded_trades,
)
from turbomode_assets_tests.backtest.reference import Bar
from turbomode_assets_tests.backtest.stored import (
    lake_of,
    memory_of,
    promote,
    remember,
    settings_at,
    store_market,
    store_predictions,
)
from turbomode_assets_tests.builders import real_data_folder, run_assets
from turbomode_assets_tests.market import DERIVED, INGESTION
from turbomode_assets_tests.orchestration.assets.test_real_nights import (
    LAST,
    SHORT_HISTORY,
    settings_of,
)

pytestmark = pytest.mark.real_data
FIRST = dt.date(2015, 6, 1)
"""From here on there are a delisting, a halt, a split, 17 dividends and a crash."""
TERMS = {"trading__maximum_positions": 6, "trading__position_limit": 0.2}


def test_stored_signals_are_traded_as_plain_python_trades_the_files(tmp_path):
    whole, settings = real_market(), settings_at(tmp_path, **TERMS)
    market = replaced(whole, predictions=whole.predictions.filter(pl.col("session") >= FIRST))
    nights = SessionSpan(FIRST, SPAN.last)
    stored = Case(market.predictions, whole.case.labels, market.unadjusted, RULE)
    store_market(settings, stored, splits=market.splits, dividends=market.dividends_with_closes)
    assert settings.training().triple_barrier == RULE
    promote(settings, "m1", offset_session(FIRST, -1), RULE)
    remember(settings, store_predictions(settings, market.predictions))
    run_assets(settings, ["labels", "outcomes"], nights)
    run_assets(settings, ["backtest"], SessionSpan(SPAN.last, SPAN.last))

    memory, book = memory_of(settings), reference_book(market, settings.backtest().trading)
    told = recorded_trades(memory)
    assert told.height > 90
    require_same(book, told, recorded_equity(memory))
    figures = recorded_figures(memory)
    closed = told.filter(pl.col("exit_session").is_not_null()).height
    assert (figures["outcomes_compared"], figures["outcomes_differing"]) == (closed, 0)


@pytest.mark.slow
def test_a_trained_champion_s_nights_are_traded_as_plain_python_trades_the_file(tmp_path):
    nights = SessionSpan(offset_session(LAST, -80), LAST)
    eve = offset_session(nights.first, -1)
    history = SessionSpan(offset_session(eve, -SHORT_HISTORY), eve)
    archive = tmp_path / "archive"
    archive.mkdir()
    prices = pl.read_parquet(real_data_folder() / "daily.parquet").filter(
        pl.col("date") >= history.first
    )
    prices.write_parquet(archive / "daily.parquet")
    settings = settings_of(tmp_path / "nights", archive)
    run_assets(settings, INGESTION + DERIVED, SessionSpan(history.first, nights.last))
    run_assets(settings, ["ensemble"], SessionSpan(eve, eve))
    run_assets(settings, ["signals", "outcomes"], nights)
    run_assets(settings, ["backtest"], SessionSpan(LAST, LAST))

    bars: dict[str, dict[dt.date, Bar]] = {}
    for symbol, day, *quoted in prices.select("symbol", "date", *PRICES).iter_rows():
        bars.setdefault(symbol, {})[day] = Bar(*quoted)
    said = lake_of(settings).read("predictions", caller="test").rows
    config = settings.backtest().trading
    book = keep_book(said, bars, SessionSpan(history.first, LAST), config, gone={})
    memory = memory_of(settings)
    told = recorded_trades(memory)
    require_same(book, told, recorded_equity(memory))
    assert told.height > 50
