"""What model memory keeps of backtests: trades and equity of the newest one, figures of each."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.memory import ModelMemory

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

TRADE_COLUMNS = (
    "trade_id",
    "symbol",
    "side",
    "quantity",
    "signal_session",
    "model_version",
    "entry_session",
    "entry_price",
    "exit_session",
    "exit_price",
    "exit_reason",
    "cost_usd",
    "profit_usd",
    "return",
)
EQUITY_COLUMNS = (
    "session",
    "equity",
    "cash",
    "gross_exposure",
    "net_exposure",
    "turnover",
    "drawdown",
)
_SIDES = {"long": "BUY", "short": "SELL"}


def record_backtest(
    memory: ModelMemory,
    trades: pl.DataFrame,
    equity: pl.DataFrame,
    figures: Mapping[str, object],
    *,
    as_of: dt.date,
    config_digest: str,
    store_versions: Mapping[str, int],
) -> bool:
    """Write a backtest as of a session in one transaction; the same input leaves the same rows.

    `trades` and `equity` are what `simulate` gives, the last equity being of `as_of`. They replace
    the tables `trades` and `backtest_equity`, unless those are of a later session: these tables
    stand for the newest backtest, whenever an older one is run again. `figures` always become the
    row of `as_of` in `backtest_figures`, as JSON; what is not finite is null there.

    Returns whether trades and equity were replaced.
    """
    told = json.dumps({name: _plain(value) for name, value in figures.items()}, sort_keys=True)
    with memory.transaction() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO backtest_figures VALUES (?, ?, ?, ?)",
            [as_of, told, config_digest, json.dumps(dict(store_versions), sort_keys=True)],
        )
        later = "SELECT session FROM backtest_equity WHERE session > ?"
        if connection.execute(later, [as_of]).fetchall():
            return False
        _replace(connection, "trades", _as_recorded(trades))
        _replace(connection, "backtest_equity", equity.select(EQUITY_COLUMNS))
    return True


def _as_recorded(trades: pl.DataFrame) -> pl.DataFrame:
    """Trades as the memory names them; the id of one is of its signal."""
    identity = pl.concat_str("signal_session", "symbol", "model_version", separator="/")
    side = pl.col("side").replace_strict(_SIDES, return_dtype=pl.String)
    return trades.with_columns(identity.alias("trade_id"), side.alias("side")).select(TRADE_COLUMNS)


def _replace(connection: Connection, table: str, rows: pl.DataFrame) -> None:
    connection.register("replacement", rows)
    connection.execute(f"DELETE FROM {table}")
    connection.execute(f"INSERT INTO {table} BY NAME FROM replacement")
    connection.unregister("replacement")


def _plain(value: object) -> object:
    """A value as JSON knows it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dt.date):
        return value.isoformat()
    return value


def outcomes_known(memory: ModelMemory, span: SessionSpan) -> pl.DataFrame:
    """Outcomes of a span's signals that were known by its end, sorted by their key."""
    return memory.query(
        "FROM signal_outcomes WHERE session >= ? AND known_session <= ?"
        " ORDER BY session, symbol, model_version",
        [span.first, span.last],
    )
