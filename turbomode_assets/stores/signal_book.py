"""What model memory keeps of every night: signals, the prices behind them, sectors, drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.memory import ModelMemory

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection


def record_signals(
    memory: ModelMemory,
    sent: pl.DataFrame,
    closes: pl.DataFrame,
    sectors: pl.DataFrame,
    *,
    said: pl.DataFrame | None = None,
) -> None:
    """Write the signals of some sessions in one transaction; the same input leaves the same rows.

    `sent` follows the PREDICTIONS contract and is what goes out; `said` is what every model said,
    sent or not, with its `role` (None: the champion alone, and all of it was sent). `closes` has
    session, symbol, close, vendor, `sectors` has symbol, session, sector. All that was said enters
    `signal_history`; `active_signals` holds what was sent last for the newest session ever.
    """
    sessions = sent.get_column("session").unique().to_list()
    if said is None:
        said = sent.with_columns(role=pl.lit("champion"))
    key = ["symbol", "session", "model_version"]
    views = {
        "said": said,
        "closes": closes.select("session", "symbol", "close", "vendor"),
        "stats": sector_statistics(sent, sectors),
        "newest": sent.filter(pl.col("session") == pl.col("session").max()).join(
            said.select(*key, "role"), on=key, how="left", validate="1:1"
        ),
    }
    with memory.transaction() as connection:
        for name, rows in views.items():
            connection.register(name, rows)
        connection.execute(
            "DELETE FROM signal_history WHERE (session, model_version) IN"
            " (SELECT DISTINCT session, model_version FROM said)"
        )
        connection.execute("INSERT INTO signal_history BY NAME FROM said")
        for table, source in (("price_data", "closes"), ("sector_stats", "stats")):
            connection.execute(f"DELETE FROM {table} WHERE session IN ?", [sessions])
            connection.execute(f"INSERT INTO {table} BY NAME FROM {source}")
        _refresh_active_signals(connection)
        for name in views:
            connection.unregister(name)


def _refresh_active_signals(connection: Connection) -> None:
    """Take the newest session's signals for active, unless a later session was signalled before."""
    connection.execute(
        "DELETE FROM active_signals WHERE session <= (SELECT max(session) FROM newest)"
    )
    connection.execute(
        "INSERT INTO active_signals BY NAME"
        " SELECT * FROM newest WHERE NOT EXISTS (FROM active_signals)"
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
