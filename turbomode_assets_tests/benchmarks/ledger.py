"""How fast the ledger of a whole daily store is judged, against DuckDB with the same rules.

    python -m turbomode_assets_tests.benchmarks.ledger [--small]

1,030 symbols over 5,040 sessions, one candle in 500 absent and as many spoilt. The rival computes
what SQL can say of the same cells (grid, counts, verdicts and reasons, without log, queue, listing
and halts) on as many threads, and both must agree on every verdict and reason. Peaks
are those of the process so far.
"""

import argparse
import datetime as dt
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import duckdb
import numpy as np
import polars as pl

from turbomode_assets.completeness import (
    corrupted,
    expected_grid,
    judge,
    measure_gate,
    plan_backfill,
)
from turbomode_assets.config.completeness import LedgerConfig
from turbomode_assets.contracts.payload import payload_digests
from turbomode_assets.contracts.tables import CANDLES, DATA_QUALITY_LOG
from turbomode_assets.sessions import SessionSpan, offset_session, session_opens
from turbomode_assets_tests.builders import fill_columns, make_universe

FIRST = dt.date(2004, 1, 5)
NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
RULES = LedgerConfig(
    due_hours=6, amber_rows_share=0.95, red_rows_share=0.5, halts=[], short_sessions=[]
)
QUEUE = pl.DataFrame(
    schema={
        "symbol": pl.String(),
        "timeframe": pl.String(),
        "first_session": pl.Date(),
        "last_session": pl.Date(),
        "attempts": pl.Int64(),
        "is_dead": pl.Boolean(),
    }
)
DIGESTED = 100_000
"""Candles whose digests are compared; each takes as long as the next."""

RIVAL = """
with grid as (select symbol, session from instruments cross join sessions),
observed as (
    select symbol, session, count(*) as actual_rows,
        count(*) filter (where inside) as bars,
        bool_or(inside and whole) as has_sound,
        bool_or(not whole) as non_finite,
        bool_or(whole and not (high >= greatest(open, low, close)
                               and low <= least(open, high, close))) as ohlc_violation,
        bool_or(inside and coalesce(volume, 0) = 0) as zero_volume,
        min(vendor) as delivered_by
    from (
        select *,
            cast(ts at time zone 'America/New_York' as date) = session as inside,
            coalesce(isfinite(open) and isfinite(high) and isfinite(low) and isfinite(close), false)
                as whole
        from candles
    ) group by symbol, session
),
found as (
    select symbol, session, coalesce(actual_rows, 0) as actual_rows, delivered_by,
        case when coalesce(bars, 0) > 1 then 'duplicate' end as duplicate,
        case when coalesce(bars, 0) = 0 then 'missing' end as missing,
        case when actual_rows > bars then 'no_session' end as no_session,
        case when non_finite then 'non_finite' end as non_finite,
        case when ohlc_violation then 'ohlc_violation' end as ohlc_violation,
        case when bars > 0 and not has_sound then 'rows_low' end as rows_low,
        case when zero_volume then 'zero_volume' end as zero_volume
    from grid left join observed using (symbol, session)
)
select symbol, session, 1 as expected_rows, actual_rows, delivered_by,
    case when missing is not null or rows_low is not null then 'RED'
         when coalesce(duplicate, no_session, non_finite, ohlc_violation, zero_volume) is not null
         then 'AMBER' else 'GREEN' end as verdict,
    concat_ws(',', duplicate, missing, no_session, non_finite, ohlc_violation, rows_low,
              zero_volume) as reasons
from found order by symbol, session
"""


def candles_of(grid: pl.DataFrame) -> pl.DataFrame:
    """A candle for almost every cell; some absent, some spoilt, in no order of sessions."""
    random = np.random.default_rng(5)
    close = random.lognormal(3, 0.5, grid.height)
    fate = pl.Series("fate", random.integers(0, 1000, grid.height))
    spoilt = pl.col("fate")
    frame = fill_columns(
        CANDLES,
        grid,
        ts=session_opens(grid["session"]),
        open=pl.Series(close),
        high=pl.Series(close * 1.01),
        low=pl.Series(close * 0.99),
        close=pl.Series(close),
        volume=pl.Series(close * 1e5),
        vendor="archive",
        ingested_at=NOW,
    )
    return (
        frame.with_columns(fate)
        .filter(spoilt >= 2)
        .with_columns(
            high=pl.when(spoilt == 2).then(0.5 * pl.col("low")).otherwise("high"),
            open=pl.when(spoilt != 3).then("open"),
        )
        .select(CANDLES.column_names)
    )


def rival(candles: pl.DataFrame, instruments: pl.DataFrame, span: SessionSpan) -> pl.DataFrame:
    """The same ledger by DuckDB."""
    with duckdb.connect(config={"threads": pl.thread_pool_size()}) as connection:
        connection.register("candles", candles.drop("payload_sha256"))
        connection.register("instruments", instruments)
        connection.register("sessions", pl.DataFrame({"session": span.sessions}))
        return connection.sql(RIVAL).pl()


Result = TypeVar("Result")


def timed(what: str, cells: int, work: Callable[[], Result]) -> tuple[Result, float]:
    """Run once to warm up and once for the clock; print a row and return the rate."""
    work()
    begun, worked = time.perf_counter(), time.process_time()
    result = work()
    worked, seconds = time.process_time() - worked, time.perf_counter() - begun
    rate = cells / seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what:<34}{cells:>12,}{seconds:>8.2f}{worked:>8.2f}{rate:>14,.0f}{peak:>10.1f}")
    return result, rate


def main(*, small: bool = False) -> None:
    """Measure and print."""
    symbols, sessions = (200, 1260) if small else (1030, 5040)
    span = SessionSpan(FIRST, offset_session(FIRST, sessions - 1))
    instruments = make_universe([f"S{number:04d}" for number in range(symbols)])
    candles = candles_of(expected_grid(instruments, span, ["1d"], RULES))
    cells = symbols * sessions

    def audit() -> pl.DataFrame:
        grid = expected_grid(instruments, span, ["1d"], RULES)
        news = DATA_QUALITY_LOG.empty()
        versions = {"now": NOW, "config": RULES, "store_version": 1, "checked_at": NOW}
        return judge(grid, candles, None, news, QUEUE, **versions)

    print(f"{'what':<34}{'cells':>12}{'s':>8}{'CPU s':>8}{'cells/s':>14}{'peak GiB':>10}")
    print(
        f"{'(candles in memory)':<34}{candles.height:>12,}{candles.estimated_size() / 2**30:>40.1f}"
    )
    ledger, ours = timed("grid and judge", cells, audit)
    liquidity = instruments.select("symbol", median_dollar_volume=pl.lit(1.0))
    timed("gate", cells, lambda: measure_gate(ledger, instruments, span, ["1d"], RULES))
    timed("plan", cells, lambda: plan_backfill(ledger, liquidity, window_sessions=21))
    few = candles.head(DIGESTED)
    few = few.with_columns(payload_sha256=payload_digests(few))
    timed("digests of candles", few.height, lambda: corrupted(few))
    theirs, rate = timed(
        "DuckDB, the same verdicts", cells, lambda: rival(candles, instruments, span)
    )
    said = ["symbol", "session", "actual_rows", "verdict", "reasons"]
    kinds = {"actual_rows": pl.Int64()}
    assert ledger.select(said).cast(kinds).equals(theirs.select(said).cast(kinds))
    print(f"grid and judge against DuckDB: {ours / rate:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a twentieth of the cells")
    main(small=parser.parse_args().small)
