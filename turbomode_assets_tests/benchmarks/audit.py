"""How long an audit of a whole daily store takes, and one that only looks at what changed.

    python -m turbomode_assets_tests.benchmarks.audit [--symbols N] [--sessions N]

A real store of candles that wander by a per cent a day, written year by year. Timed is everything
from the pinned versions to the committed ledger, digests of the candles included. The audit of one
more night is compared with auditing everything again, which is what it saves.
"""

import argparse
import datetime as dt
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from turbomode_assets.contracts.tables import CANDLES
from turbomode_assets.ingestion.auditing import AuditRun
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.orchestration.resources.master_writer import store_batch
from turbomode_assets.sessions import SessionSpan, offset_session, session_opens
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets_tests.builders import fill_columns, make_universe, with_digests
from turbomode_assets_tests.ingestion.exchanges import Desk

LAST_SESSION = dt.date(2025, 6, 30)
ARRIVED = dt.datetime(2025, 7, 1, tzinfo=dt.UTC)


def wandering_candles(symbols: list[str], sessions: list[dt.date], seed: int) -> pl.DataFrame:
    """Daily candles of every symbol, by symbol and session; each symbol begins at 50 dollars."""
    steps = 0.01 * np.random.default_rng(seed).standard_normal((len(symbols), len(sessions)))
    steps[:, 0] = 0
    close = np.round(50 * np.exp(steps.cumsum(axis=1)), 2).ravel()
    days = pl.Series("session", sessions, dtype=pl.Date)
    number = np.tile(np.arange(len(sessions)), len(symbols))
    frame = pl.DataFrame(
        {
            "symbol": pl.Series(symbols).gather(np.repeat(np.arange(len(symbols)), len(sessions))),
            "ts": session_opens(days).gather(number),
            "session": days.gather(number),
            "open": close,
            "high": close + 0.25,
            "low": close - 0.25,
            "close": close,
            "volume": np.round(1e6 * (1 + np.random.default_rng(seed).random(close.size))),
        }
    )
    return with_digests(fill_columns(CANDLES, frame, vendor="ibkr", ingested_at=ARRIVED))


def write(writer: MasterWriter, symbols: list[str], sessions: list[dt.date]) -> None:
    """Store a year or a night of candles."""
    frame = wandering_candles(symbols, sessions, sessions[0].year)
    span = SessionSpan(sessions[0], sessions[-1])
    writer.replace(
        "candles", frame, span=span, symbols=symbols, timeframes=["1d"], caller="benchmark"
    )


def timed_audit(tools: IngestionTools, span: SessionSpan) -> float:
    """Audit and store; seconds."""
    started = time.perf_counter()
    for batch in AuditRun(tools, span, lambda line: None, describe=dict):
        store_batch(tools.master, batch, "audit")  # type: ignore[arg-type]  # a desk's is a writer
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--symbols", type=int, default=1030)
    parser.add_argument("--sessions", type=int, default=5040)
    given = parser.parse_args()
    symbols = [f"S{number:04d}" for number in range(given.symbols)]
    whole = SessionSpan(LAST_SESSION, LAST_SESSION).trailing(given.sessions - 1)
    night = offset_session(LAST_SESSION, 1)
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        desk.time = dt.datetime(2025, 7, 2, 12, tzinfo=dt.UTC)
        universe = make_universe(symbols, vendor="ibkr")
        desk.writer.replace(
            "symbol_metadata", universe, span=None, symbols=symbols, caller="benchmark"
        )
        for year in sorted({session.year for session in whole.sessions}):
            write(desk.writer, symbols, [day for day in whole.sessions if day.year == year])
        tools = desk.tools()
        everything = timed_audit(tools, whole)
        write(desk.writer, symbols, [night])
        one_more = timed_audit(tools, SessionSpan(night, night))
        again = timed_audit(tools, SessionSpan(whole.first, night))
    print(f"{given.symbols:,} symbols x {given.sessions:,} sessions")
    print(f"first audit of everything     {everything:8.1f} s")
    print(f"one more night                {one_more:8.2f} s   {again / one_more:6.1f}x less than")
    print(f"everything again              {again:8.1f} s")


if __name__ == "__main__":
    main()
