"""Real unadjusted prices with their splits and dividends, and signals on them made by chance."""

import datetime as dt
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from turbomode_assets.config.backtest import BacktestConfig
from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.curation.adjusting import adjust
from turbomode_assets.labels import triple_barrier
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets_tests.backtest.builders import Case
from turbomode_assets_tests.backtest.reference import (
    LONG,
    SHORT,
    Bar,
    Book,
    Delisting,
    Event,
    Rule,
    Signal,
    Terms,
    forward_adjusted,
)
from turbomode_assets_tests.builders import real_data_folder

SPAN = SessionSpan(dt.date(2014, 4, 21), dt.date(2015, 9, 30))
SYMBOLS = (
    *("AAPL", "AMZN", "BAC", "CAT", "CHK", "FCX", "GE", "INTC", "JPM", "KO", "MSFT", "MU"),
    *("NFLX", "O", "T", "WMT", "XOM"),
)
"""O lacks the sessions of 2015-03-09 to 2015-03-20: a hole in the file."""
SPLITS = {"AAPL": (dt.date(2014, 6, 9), 7.0), "NFLX": (dt.date(2015, 7, 15), 7.0)}
"""Those in the span. Prices of the file are in the new shares throughout."""
TOLD = Delisting(dt.date(2015, 6, 12), dt.date(2015, 6, 17))
UNTOLD = dt.date(2015, 8, 7)
ENDS = {"KO": TOLD.last, "GE": UNTOLD}
"""Here we end the real bars of two symbols: of one it becomes known, of the other never."""
GONE = {"KO": TOLD}
CLOSE_TO = 1e-9
"""Relative."""
PRICES = ("open", "high", "low", "close")
RULE = TripleBarrierConfig(
    profit_take=2.0,
    stop_loss=2.0,
    horizon_sessions=14,
    volatility_window_sessions=20,
    entry="next_open",
)
FIRST_SIGNALS = 25
"""Sessions from the first bar to the first signals: the first 20 have no volatility."""


@dataclass(frozen=True)
class RealMarket:
    """What the files say, and what an independent backtest makes of it."""

    unadjusted: pl.DataFrame
    """Rows of the files: symbol, session, prices and volume."""
    splits: pl.DataFrame
    dividends: pl.DataFrame
    predictions: pl.DataFrame

    @functools.cached_property
    def case(self) -> Case:
        """As the package reads it: its own adjustment, its own labels."""
        columns = ["symbol", "session", *PRICES, "volume"]
        bars = adjust(self.unadjusted.select(columns), self.splits, self.dividends)
        delistings = pl.DataFrame(
            {"symbol": symbol, "last_session": gone.last, "knowledge_session": gone.known}
            for symbol, gone in GONE.items()
        )
        span = SessionSpan(bars["session"].min(), bars["session"].max())
        labels = triple_barrier(bars, RULE, known_in=span, delistings=delistings)
        return Case(self.predictions, labels, bars, RULE)

    @functools.cached_property
    def dividends_with_closes(self) -> pl.DataFrame:
        """Dividends with the unadjusted close before each."""
        closes = self.unadjusted.select("symbol", "session", previous_close="close")
        return self.dividends.sort("ex_date").join_asof(
            closes.sort("session"),
            left_on="ex_date",
            right_on="session",
            by="symbol",
            allow_exact_matches=False,
            check_sortedness=False,
        )

    @functools.cached_property
    def events(self) -> dict[str, list[Event]]:
        """Splits and dividends of each symbol."""
        found: dict[str, list[Event]] = {symbol: [] for symbol in SYMBOLS}
        for symbol, day, ratio in self.splits.iter_rows():
            found[symbol].append(Event(day, ratio, 0.0))
        for symbol, day, amount in self.dividends.iter_rows():
            found[symbol].append(Event(day, 0.0, amount))
        return found

    @functools.cached_property
    def traded(self) -> dict[str, dict[dt.date, Bar]]:
        """Unadjusted prices of each symbol by session."""
        found: dict[str, dict[dt.date, Bar]] = {symbol: {} for symbol in SYMBOLS}
        for symbol, day, *prices in self.unadjusted.select("symbol", "session", *PRICES).rows():
            found[symbol][day] = Bar(*prices)
        return found

    @functools.cached_property
    def adjusted(self) -> dict[str, dict[dt.date, Bar]]:
        """Forward-adjusted prices of each symbol by session, computed apart from the package."""
        return {
            symbol: forward_adjusted(bars, self.events[symbol])
            for symbol, bars in self.traded.items()
        }


@functools.cache
def real_market() -> RealMarket:
    """A year and a half of seventeen stocks, two splits and 46 dividends in it."""
    folder = real_data_folder()
    unadjusted = _unadjusted(folder)
    splits = pl.DataFrame(
        {"symbol": symbol, "ex_date": day, "ratio": ratio}
        for symbol, (day, ratio) in SPLITS.items()
    )
    return RealMarket(unadjusted, splits, _dividends(folder), signals_by_chance(unadjusted))


def _unadjusted(folder: Path) -> pl.DataFrame:
    """Prices as they were traded: Apple's from its own file, Netflix's of before its split x 7."""
    stored = pl.read_parquet(folder / "daily_500.parquet").filter(
        pl.col("symbol").is_in([name for name in SYMBOLS if name != "AAPL"])
    )
    before = pl.lit(False)
    for symbol, (ex_date, _) in SPLITS.items():
        before |= (pl.col("symbol") == symbol) & (pl.col("date") < ex_date)
    ratio = pl.when(before).then(7.0).otherwise(1.0)
    scaled = stored.with_columns(pl.col(PRICES) * ratio, pl.col("volume") / ratio)
    apple = pl.read_parquet(folder / "wiki_raw_and_adjusted.parquet").select(scaled.columns)
    rows = pl.concat([scaled, apple.cast(scaled.schema)]).rename({"date": "session"})
    ended = pl.lit(False)
    for symbol, last in ENDS.items():
        ended |= (pl.col("symbol") == symbol) & (pl.col("session") > last)
    within = pl.col("session").is_between(SPAN.first, SPAN.last)
    # As curation would: two bars of O have a low above their open.
    bounds = (pl.max_horizontal(PRICES).alias("high"), pl.min_horizontal(PRICES).alias("low"))
    kept = rows.filter(within, ~ended).drop_nulls(PRICES).with_columns(*bounds)
    return kept.sort("symbol", "session")


def _dividends(folder: Path) -> pl.DataFrame:
    """Amounts as paid, with ex-dates after the first session."""
    derived, paid = (
        pl.read_csv(folder / name, try_parse_dates=True).select("symbol", "ex_date", "amount")
        for name in ("dividends_derived.csv", "dividends.csv")
    )
    others = derived.filter(pl.col("symbol") != "AAPL", pl.col("symbol").is_in(SYMBOLS))
    last = pl.col("symbol").replace_strict(ENDS, default=SPAN.last, return_dtype=pl.Date)
    return (
        pl.concat([others, paid.filter(symbol="AAPL")])
        .filter(pl.col("ex_date") > SPAN.first, pl.col("ex_date") <= last)
        .sort("symbol", "ex_date")
    )


def signals_by_chance(bars: pl.DataFrame, seed: int = 5) -> pl.DataFrame:
    """A prediction for every bar; of two decimals, so that signals of a session tie."""
    rng = np.random.default_rng(seed)
    first = offset_session(bars["session"].min(), FIRST_SIGNALS)
    asked = bars.filter(pl.col("session") >= first).select("symbol", "session")
    p_sell, p_hold = (rng.dirichlet((2, 2, 2), asked.height)[:, :2].T * 0.98).round(2)
    p_buy = (1 - p_sell - p_hold).round(2)
    side = np.where(p_buy > p_sell, "BUY", "SELL")
    return asked.with_columns(
        signal=pl.Series(np.where(np.maximum(p_buy, p_sell) > 0.45, side, "HOLD")),
        p_sell=pl.Series(p_sell),
        p_hold=pl.Series(p_hold),
        p_buy=pl.Series(p_buy),
        model_version=pl.lit("m1"),
    )


def replaced(market: RealMarket, **frames: pl.DataFrame) -> RealMarket:
    """The market with other frames."""
    names = ("unadjusted", "splits", "dividends", "predictions")
    return RealMarket(**{name: frames.get(name, getattr(market, name)) for name in names})


def signals_of(predictions: pl.DataFrame) -> list[Signal]:
    """What is not HOLD."""
    sides = {"BUY": (LONG, "p_buy"), "SELL": (SHORT, "p_sell")}
    return [
        Signal(row["symbol"], row["session"], side, row[probability])
        for row in predictions.filter(pl.col("signal") != "HOLD").to_dicts()
        for side, probability in [sides[row["signal"]]]
    ]


def reference_book(market: RealMarket, config: BacktestConfig) -> Book:
    """The market's signals traded in plain Python."""
    return keep_book(market.predictions, market.adjusted, SPAN, config, gone=GONE)


def keep_book(
    predictions: pl.DataFrame,
    bars: Mapping[str, Mapping[dt.date, Bar]],
    span: SessionSpan,
    config: BacktestConfig,
    *,
    gone: Mapping[str, Delisting],
) -> Book:
    """Predictions traded in plain Python by RULE; `span` is that of the bars."""
    assert config.sizing == "equal"
    terms = Terms(
        capital=config.initial_capital_usd,
        cost=config.cost_bps / 1e4,
        slippage=config.slippage_bps / 1e4,
        limit=config.position_limit,
        gross=config.maximum_gross_exposure,
        positions=config.maximum_positions,
    )
    rule = Rule(
        RULE.profit_take, RULE.stop_loss, RULE.horizon_sessions, RULE.volatility_window_sessions
    )
    signals, first = signals_of(predictions), predictions["session"].min()
    return Book(signals, first, bars, span.sessions, rule, terms, gone).keep()


def require_same(book: Book, trades: pl.DataFrame, equity: pl.DataFrame) -> None:
    """Hold what the package traded against the reference, to 1e-9 of each number."""
    ordered = sorted(book.trades, key=lambda each: (each.signal.session, each.signal.symbol))
    assert len(ordered) == trades.height
    for ours, row in zip(ordered, trades.to_dicts(), strict=True):
        end = ours.ending
        expected = {
            "symbol": ours.signal.symbol,
            "signal_session": ours.signal.session,
            "entry_session": ours.entry_session,
            "exit_session": end and end.session,
            "exit_reason": end.reason if end else "open",
        }
        assert {name: row[name] for name in expected} == expected
        assert row["side"] in (("long", "BUY") if ours.signal.side > 0 else ("short", "SELL"))
        for name, value in {
            "quantity": ours.quantity,
            "entry_price": ours.entry_price,
            "exit_price": ours.exit_price,
            "cost_usd": ours.cost,
        }.items():
            assert row[name] == (value and pytest.approx(value, rel=CLOSE_TO)), name
        assert row["profit_usd"] == pytest.approx(ours.profit, rel=CLOSE_TO, abs=1e-6)
        assert row["return"] == pytest.approx(ours.made, rel=CLOSE_TO, abs=1e-12)
    assert equity["session"].to_list() == [day.session for day in book.days]
    for name, values in {
        "equity": [day.equity for day in book.days],
        "cash": [day.cash for day in book.days],
        "turnover": [day.turnover for day in book.days],
        "gross_exposure": [sum(map(abs, day.positions.values())) for day in book.days],
        "net_exposure": [sum(day.positions.values()) for day in book.days],
    }.items():
        assert equity[name].to_list() == pytest.approx(values, rel=CLOSE_TO, abs=1e-4), name
