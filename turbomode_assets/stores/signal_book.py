"""What model memory keeps of every night: signals, the prices behind them, sectors, drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.memory import ModelMemory

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection


def record_signals(
    memory: ModelMemory, predictions: pl.DataFrame, closes: pl.DataFrame, sectors: pl.DataFrame
) -> None:
    """Write the signals of some sessions in one transaction; the same input leaves the same rows.

    `predictions` follows the PREDICTIONS contract, `closes` has session, symbol, close, vendor,
    `sectors` has symbol, session, sector. `active_signals` holds the newest session ever signalled.
    """
    sessions = predictions.get_column("session").unique().to_list()
    with memory.transaction() as connection:
        connection.register("predictions", predictions)
        connection.register("closes", closes.select("session", "symbol", "close", "vendor"))
        connection.register("stats", sector_statistics(predictions, sectors))
        connection.execute(
            "DELETE FROM signal_history WHERE (session, model_version) IN"
            " (SELECT DISTINCT session, model_version FROM predictions)"
        )
        connection.execute("INSERT INTO signal_history BY NAME FROM predictions")
        for table, source in (("price_data", "closes"), ("sector_stats", "stats")):
            connection.execute(f"DELETE FROM {table} WHERE session IN ?", [sessions])
            connection.execute(f"INSERT INTO {table} BY NAME FROM {source}")
        _refresh_active_signals(connection)
        for view in ("predictions", "closes", "stats"):
            connection.unregister(view)


def _refresh_active_signals(connection: Connection) -> None:
    connection.execute("DELETE FROM active_signals")
    connection.execute(
        """
        INSERT INTO active_signals BY NAME
        SELECT history.* FROM signal_history AS history
        JOIN model_metadata USING (model_version)
        WHERE session = (SELECT max(session) FROM signal_history)
        QUALIFY row_number() OVER (
            PARTITION BY symbol ORDER BY as_of_session DESC, trained_at DESC
        ) = 1
        """
    )


def sector_statistics(predictions: pl.DataFrame, sectors: pl.DataFrame) -> pl.DataFrame:
    """Signals and mean probabilities per session and sector."""
    return (
        predictions.join(sectors, on=["symbol", "session"], how="left", validate="1:1")
        .with_columns(pl.col("sector").fill_null("unknown"))
        .group_by("session", "sector")
        .agg(
            symbols=pl.len().cast(pl.Int32),
            buys=(pl.col("signal") == "BUY").sum().cast(pl.Int32),
            sells=(pl.col("signal") == "SELL").sum().cast(pl.Int32),
            mean_p_buy=pl.col("p_buy").mean(),
            mean_p_sell=pl.col("p_sell").mean(),
        )
        .sort("session", "sector")
    )


def record_drift(memory: ModelMemory, drift: pl.DataFrame, span: SessionSpan) -> None:
    """Make the drift rows of a span exactly `drift` (the columns of drift_monitoring)."""
    with memory.transaction() as connection:
        connection.execute(
            "DELETE FROM drift_monitoring WHERE session BETWEEN ? AND ?", [span.first, span.last]
        )
        connection.register("drift", drift)
        connection.execute("INSERT INTO drift_monitoring BY NAME FROM drift")
        connection.unregister("drift")


def active_signals(memory: ModelMemory) -> pl.DataFrame:
    """Tonight's signals, strongest first."""
    return memory.query(
        "SELECT * FROM active_signals ORDER BY signal <> 'HOLD' DESC,"
        " greatest(p_buy, p_sell) DESC, symbol"
    )
