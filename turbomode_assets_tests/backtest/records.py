"""What model memory holds of backtests, as tables to assert on."""

import datetime as dt
import json

import polars as pl

from turbomode_assets.stores import ModelMemory


def recorded_trades(memory: ModelMemory) -> pl.DataFrame:
    """Trades of the newest backtest, in the order of their signals."""
    return memory.query("FROM trades ORDER BY signal_session, symbol, model_version")


def recorded_equity(memory: ModelMemory) -> pl.DataFrame:
    """Equity of every session of the newest backtest."""
    return memory.query("FROM backtest_equity ORDER BY session")


def recorded_figures(memory: ModelMemory, as_of: dt.date | None = None) -> dict[str, object] | None:
    """Figures of the backtest as of a session (None: the newest), with `session`, where it ran."""
    rows = memory.query(
        "SELECT session, figures FROM backtest_figures WHERE session = coalesce(?::DATE, session)"
        " ORDER BY session DESC LIMIT 1",
        [as_of],
    )
    if rows.is_empty():
        return None
    session, figures = rows.row(0)
    return {"session": session, **json.loads(figures)}
