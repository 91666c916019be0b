"""How fast candles are read through the market-data API, against other ways to the same rows.

    python -m turbomode_assets_tests.benchmarks.market_data [--symbols N] [--sessions N]

Prints a table: best and median milliseconds, and how many times the API's time a rival takes.
Rivals read the same Delta table, opened beforehand and at a fixed version: `DuckDB delta` through
its own reader of Parquet files and the table's file list, `DuckDB arrow` as the API's `sql` does,
`pyarrow` as a data set, `polars` scanning the table's address. The API checks on every call that
the symbol exists and what the newest version is. All reads come from a warm page cache and give
the same rows in order of time.
"""

import argparse
import datetime as dt
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow.dataset as ds
from deltalake import DeltaTable

from turbomode_assets.contracts.tables import CANDLES, DIVIDENDS, SPLITS, SYMBOL_METADATA
from turbomode_assets.sessions import SessionSpan, offset_session, session_open, session_opens
from turbomode_assets.stores import MarketData
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets_tests.builders import fill_columns, make_rows, with_digests

LAST_SESSION = dt.date(2025, 6, 30)
ARRIVED = dt.datetime(2025, 7, 1, tzinfo=dt.UTC)
COLUMNS = [name for name in CANDLES.column_names if name != "payload_sha256"]
SAME = ["symbol", "session", "open", "high", "low", "close", "volume"]
"""What every way must agree on; types of the others differ (time zones, decimals)."""

Read = Callable[[], pl.DataFrame]


def generated_candles(symbols: list[str], sessions: list[dt.date], seed: int) -> pl.DataFrame:
    """Random daily candles of every symbol and session, prices in cents."""
    rng = np.random.default_rng(seed)
    days = pl.Series("session", sessions, dtype=pl.Date)
    rows = len(symbols) * len(days)
    session_number = np.tile(np.arange(len(days)), len(symbols))
    close = np.round(50 * np.exp(0.3 * rng.standard_normal(rows)), 2)
    spread = np.round(close * 0.02 * rng.random(rows), 2)
    frame = pl.DataFrame(
        {
            "symbol": pl.Series(symbols).gather(np.repeat(np.arange(len(symbols)), len(days))),
            "ts": session_opens(days).gather(session_number),
            "session": days.gather(session_number),
            "open": close,
            "high": close + spread,
            "low": close - spread,
            "close": close,
            "volume": np.round(1e6 * rng.random(rows)),
        }
    )
    return with_digests(fill_columns(CANDLES, frame, ingested_at=ARRIVED))


def write_market(root: Path, symbols: list[str], sessions: list[dt.date]) -> float:
    """Write the candles year by year, as a backfill does; seconds that the writes took."""
    writer = MasterWriter(str(root / "master"))
    seconds = 0.0
    for year in sorted({session.year for session in sessions}):
        days = [session for session in sessions if session.year == year]
        frame = generated_candles(symbols, days, year)
        begin = time.perf_counter()
        span = SessionSpan(days[0], days[-1])
        writer.replace("candles", frame, span=span, symbols=symbols, caller="benchmark")
        seconds += time.perf_counter() - begin
    metadata = make_rows(
        SYMBOL_METADATA, *({"symbol": symbol} for symbol in symbols), knowledge_ts=ARRIVED
    )
    middle = sessions[len(sessions) // 2]
    splits = make_rows(
        SPLITS,
        *({"symbol": symbol} for symbol in symbols),
        session=middle,
        ex_date=middle,
        ratio=2.0,
        knowledge_ts=session_open(middle),
    )
    for table, frame in (
        ("symbol_metadata", metadata),
        ("splits", splits),
        ("dividends", DIVIDENDS.empty()),
    ):
        writer.replace(table, frame, span=None, symbols=symbols, caller="benchmark")
    return seconds


def rivals(root: Path, symbol: str) -> dict[str, Read]:
    """Other ways to all candles of one symbol."""
    uri = str(root / "master" / "candles")
    table = DeltaTable(uri)
    listed, files = ", ".join(COLUMNS), table.file_uris()
    dataset = table.to_pyarrow_dataset()
    over_files, over_arrow = duckdb.connect(), duckdb.connect()
    over_arrow.register("candles", dataset)
    where = f"WHERE symbol = '{symbol}' AND timeframe = '1d' ORDER BY ts"
    chosen = (ds.field("symbol") == symbol) & (ds.field("timeframe") == "1d")
    wanted = (pl.col("symbol") == symbol) & (pl.col("timeframe") == "1d")
    from_files = f"SELECT {listed} FROM read_parquet(?, hive_partitioning = true) {where}"
    from_arrow = f"SELECT {listed} FROM candles {where}"
    return {
        "DuckDB delta": lambda: over_files.sql(from_files, params=[files]).pl(),
        "DuckDB arrow": lambda: over_arrow.sql(from_arrow).pl(),
        "pyarrow": lambda: pl.DataFrame(dataset.to_table(columns=COLUMNS, filter=chosen)).sort(
            "ts"
        ),
        "polars": lambda: pl.scan_delta(uri).filter(wanted).select(COLUMNS).collect().sort("ts"),
    }


def timed(read: Read, times: int) -> tuple[float, float]:
    """Best and median wall time of several calls in milliseconds, after two that warm up."""
    read()
    read()
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        read()
        taken.append(1e3 * (time.perf_counter() - begin))
    return min(taken), statistics.median(taken)


def report(what: str, who: str, times: tuple[float, float], chosen: float) -> None:
    """Print one line of the table."""
    best, median = times
    print(f"{what:<46}{who:<14}{best:>9.1f}{median:>11.1f}{median / chosen:>9.1f}", flush=True)


def main() -> None:
    """Write the market, read it in each way, and print the table."""
    parser = argparse.ArgumentParser(description="Speed of the market-data API")
    parser.add_argument("--symbols", type=int, default=1_030)
    parser.add_argument("--sessions", type=int, default=5_040)
    parser.add_argument("--times", type=int, default=25)
    parser.add_argument("--folder", type=Path, help="where to put the store meanwhile")
    asked = parser.parse_args()
    symbols = [f"S{number:04d}" for number in range(asked.symbols)]
    history = SessionSpan(offset_session(LAST_SESSION, 1 - asked.sessions), LAST_SESSION).sessions
    symbol = symbols[len(symbols) // 2]
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        root = Path(folder)
        seconds = write_market(root, symbols, history)
        size = sum(file.stat().st_size for file in root.rglob("*.parquet")) / 1e6
        print(
            f"{asked.symbols:,} symbols x {asked.sessions:,} sessions, {size:,.0f} MB, written"
            f" year by year in {seconds:.1f} s; {os.cpu_count()} cores,"
            f" load {os.getloadavg()[0]:.1f}"
        )
        print(f"{'what':<46}{'who':<14}{'best ms':>9}{'median ms':>11}{'x API':>9}")
        with MarketData(root) as market:
            mine = timed(lambda: market.get_candles(symbol), asked.times)
            whole = "one symbol, all sessions"
            report(whole, "API", mine, mine[1])
            for who, read in rivals(root, symbol).items():
                assert read().select(SAME).equals(market.get_candles(symbol).select(SAME)), who
                report(whole, who, timed(read, asked.times), mine[1])
            few, year = symbols[:: max(1, len(symbols) // 10)][:10], history[-252:]
            for what, read in {
                "one symbol, all sessions, adjusted": lambda: market.get_candles(
                    symbol, adjusted=True
                ),
                "one symbol, the last year": lambda: market.get_candles(symbol, start=year[0]),
                "ten symbols, all sessions": lambda: market.get_candles(few),
                "all symbols, the last session": lambda: market.get_candles(
                    symbols, start=year[-1]
                ),
                "latest candle of all symbols": lambda: market.get_latest_candle(symbols),
            }.items():
                times = timed(read, asked.times)
                report(what, "API", times, times[1])


if __name__ == "__main__":
    main()
