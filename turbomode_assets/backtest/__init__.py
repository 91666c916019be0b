"""Trading simulated over stored predictions, with costs, slippage and limits.

A bar, a label and a prediction for each symbol and session go in; trades, the equity of every
session and what it comes to go out. One signal bought at 100, sold where its label says, at 106:

>>> import datetime as dt
>>> import polars as pl
>>> from turbomode_assets.backtest import simulate
>>> from turbomode_assets.config.backtest import BacktestConfig
>>> from turbomode_assets.config.training import TripleBarrierConfig
>>> days = [dt.date(2017, 11, day) for day in (6, 7, 8)]
>>> bars = pl.DataFrame({
...     "symbol": "AAA", "session": days,
...     "open": [99.0, 100.0, 103.0], "high": [100.0, 104.0, 107.0],
...     "low": [98.0, 99.0, 102.0], "close": [100.0, 103.0, 105.0],
... })
>>> predictions = pl.DataFrame({
...     "symbol": ["AAA"], "session": days[:1], "signal": ["BUY"], "p_sell": [0.1], "p_buy": [0.7],
... })
>>> labels = pl.DataFrame({
...     "symbol": ["AAA"], "decision_session": days[:1], "entry_session": days[1:2],
...     "exit_session": days[2:], "session": days[2:], "entry_price": [100.0],
...     "exit_price": [106.0], "exit_reason": ["profit_take"],
... })
>>> config = BacktestConfig(
...     initial_capital_usd=10_000, cost_bps=0, slippage_bps=0, position_limit=0.5,
...     maximum_gross_exposure=1, maximum_positions=2, sizing="equal",
... )
>>> rule = TripleBarrierConfig(
...     profit_take=2, stop_loss=2, horizon_sessions=14, volatility_window_sessions=20,
...     entry="next_open",
... )
>>> result = simulate(predictions, labels, bars, config, rule=rule)
>>> result.trades.select("quantity", "profit_usd", "return").row(0)
(50.0, 300.0, 0.06)
>>> result.equity["equity"].to_list()
[10000.0, 10150.0, 10300.0]
"""

from turbomode_assets.backtest.figures import (
    backtest_overfitting,
    equity_curve,
    survivorship_note,
)
from turbomode_assets.backtest.reproduction import (
    OutcomeComparison,
    compare_outcomes,
    require_live_signals,
)
from turbomode_assets.backtest.simulation import BacktestResult, simulate

__all__ = [
    "BacktestResult",
    "OutcomeComparison",
    "backtest_overfitting",
    "compare_outcomes",
    "equity_curve",
    "require_live_signals",
    "simulate",
    "survivorship_note",
]
