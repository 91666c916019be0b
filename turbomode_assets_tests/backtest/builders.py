"""A market made by chance, its true labels, and predictions made by chance."""

import datetime as dt
import functools
from dataclasses import dataclass

import numpy as np
import polars as pl

from turbomode_assets.backtest import BacktestResult, simulate
from turbomode_assets.config.backtest import BacktestConfig
from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.labels import triple_barrier
from turbomode_assets.sessions import SessionSpan, offset_session

FIRST = dt.date(2015, 3, 2)
RULE = TripleBarrierConfig(
    profit_take=2.0,
    stop_loss=1.5,
    horizon_sessions=5,
    volatility_window_sessions=5,
    entry="next_open",
)
CONFIG = BacktestConfig(
    initial_capital_usd=100_000.0,
    cost_bps=5.0,
    slippage_bps=10.0,
    position_limit=0.2,
    maximum_gross_exposure=1.0,
    maximum_positions=8,
    sizing="probability",
)
FREE = CONFIG.model_copy(update={"cost_bps": 0.0, "slippage_bps": 0.0, "sizing": "equal"})


def session(number: int) -> dt.date:
    """The session `number` sessions after the first bar."""
    return offset_session(FIRST, number)


@dataclass(frozen=True)
class Case:
    """What a backtest is given, apart from its configuration."""

    predictions: pl.DataFrame
    labels: pl.DataFrame
    bars: pl.DataFrame
    rule: TripleBarrierConfig = RULE

    def run(self, config: BacktestConfig = CONFIG, **trials: float) -> BacktestResult:
        """Simulate it."""
        return simulate(self.predictions, self.labels, self.bars, config, rule=self.rule, **trials)


@functools.cache
def random_case(seed: int = 1, symbols: int = 12, sessions: int = 90, entry="next_open") -> Case:
    """Prices with gaps, missing bars, a delisting and a late listing; the labels are the true ones.

    One delisting is known four sessions late.
    """
    rng = np.random.default_rng(seed)
    rule = RULE.model_copy(update={"entry": entry})
    names = [f"S{number:02d}" for number in range(symbols)]
    days = SessionSpan(session(0), session(sessions - 1)).sessions
    shape = (symbols, sessions)
    close = 50 * np.exp(rng.normal(0, 0.02, shape).cumsum(axis=1))
    open_ = close * np.exp(rng.normal(0, 0.015, shape))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.01, shape)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.01, shape)))
    frame = pl.DataFrame(
        {
            "symbol": np.repeat(names, sessions),
            "session": days * symbols,
            "open": open_.ravel(),
            "high": high.ravel(),
            "low": low.ravel(),
            "close": close.ravel(),
        }
    )
    gone, late = session(sessions * 2 // 3), session(sessions // 3)
    kept = pl.Series(rng.random(frame.height) > 0.01)
    is_gone = (pl.col("symbol") == names[0]) & (pl.col("session") > gone)
    is_early = (pl.col("symbol") == names[1]) & (pl.col("session") < late)
    bars = frame.filter(kept, ~is_gone, ~is_early)
    delistings = pl.DataFrame(
        {
            "symbol": names[:1],
            "last_session": [gone],
            "knowledge_session": [offset_session(gone, 4)],
        }
    )
    labels = triple_barrier(
        bars, rule, known_in=SessionSpan(days[0], days[-1]), delistings=delistings
    )
    raw = rng.dirichlet((2, 2, 2), bars.height)
    side = np.where(raw[:, 2] > raw[:, 0], "BUY", "SELL")
    predictions = bars.select("symbol", "session").with_columns(
        signal=pl.Series(np.where(np.maximum(raw[:, 0], raw[:, 2]) > 0.5, side, "HOLD")),
        p_sell=pl.Series(raw[:, 0]),
        p_hold=pl.Series(raw[:, 1]),
        p_buy=pl.Series(raw[:, 2]),
        model_version=pl.lit("m1"),
    )
    return Case(predictions.filter(pl.col("session") >= session(8)), labels, bars, rule)


def cut(case: Case, last: dt.date) -> Case:
    """The case as it was known at the close of a session."""
    return Case(
        case.predictions.filter(pl.col("session") <= last),
        case.labels.filter(pl.col("session") <= last),
        case.bars.filter(pl.col("session") <= last),
        case.rule,
    )


def signals(*rows: tuple[str, int, str, float]) -> pl.DataFrame:
    """Predictions by hand: symbol, number of the session, signal, probability of its side."""
    return pl.DataFrame(
        [
            {
                "symbol": symbol,
                "session": session(number),
                "signal": signal,
                "p_sell": p if signal == "SELL" else (1 - p) / 2,
                "p_hold": (1 - p) / 2,
                "p_buy": p if signal == "BUY" else (1 - p) / 2,
                "model_version": "m1",
            }
            for symbol, number, signal, p in rows
        ]
    )


RUN_UP = (100.0, 102.0, 100.0, 102.0, 100.0, 102.0)
QUIET = (100.0, 100.5, 99.5, 100.0)


def by_hand(
    *predictions: tuple[str, int, str, float],
    later: dict[str, list[tuple[float, float, float, float] | None]],
    rule: TripleBarrierConfig = RULE,
) -> Case:
    """Six closes up to the decision in session 5, then bars by hand for each symbol."""
    rows = [
        {"symbol": symbol, "session": session(number), **dict(zip(PRICES, bar, strict=True))}
        for symbol, after in later.items()
        for number, bar in enumerate([*((close,) * 4 for close in RUN_UP), *after])
        if bar is not None
    ]
    bars = pl.DataFrame(rows)
    last = bars["session"].max()
    labels = triple_barrier(bars, rule, known_in=SessionSpan(session(0), last))
    return Case(signals(*predictions), labels, bars, rule)
