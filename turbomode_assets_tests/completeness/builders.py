"""Instruments, candles of every timeframe, and the ledger that an audit makes of them."""

import datetime as dt
from collections.abc import Sequence

import polars as pl

from turbomode_assets.completeness import expected_grid, judge
from turbomode_assets.config.completeness import LedgerConfig
from turbomode_assets.contracts.findings import FINDINGS
from turbomode_assets.contracts.tables import CANDLES, DATA_QUALITY_LOG
from turbomode_assets.contracts.timeframes import INTRADAY_MINUTES
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.sessions.listing import trading_hours
from turbomode_assets_tests.builders import fill_columns, make_log, make_universe, with_digests

RULES = LedgerConfig(
    due_hours=6, amber_rows_share=0.95, red_rows_share=0.5, halts=[], short_sessions=[]
)
STRICT = RULES.model_copy(update={"amber_rows_share": 1.0})
LONG_AFTER = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
QUEUE = pl.Schema(
    {
        "symbol": pl.String(),
        "timeframe": pl.String(),
        "first_session": pl.Date(),
        "last_session": pl.Date(),
        "reason": pl.String(),
        "attempts": pl.Int64(),
        "is_dead": pl.Boolean(),
    }
)


def instrument(
    symbol: str,
    *,
    first: dt.date | None = None,
    last: dt.date | None = None,
    calendar: str = "XNYS",
) -> pl.DataFrame:
    return make_universe([symbol]).with_columns(
        calendar=pl.lit(calendar),
        first_session=pl.lit(first, dtype=pl.Date),
        last_session=pl.lit(last, dtype=pl.Date),
    )


def full_candles(
    instruments: pl.DataFrame,
    span: SessionSpan,
    timeframes: Sequence[str],
    config: LedgerConfig = RULES,
) -> pl.DataFrame:
    """Every candle that is expected, and no other."""
    grid = expected_grid(instruments, span, timeframes, config)
    hours = trading_hours(pl.Series(span.sessions, dtype=pl.Date))
    minutes = {**INTRADAY_MINUTES, "1d": 1440}
    listed = instruments.select("symbol", "first_session")
    midnight = pl.col("first_session").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    begin = pl.max_horizontal("opens_at", midnight)
    frame = (
        grid.join(hours, on=["calendar", "session"], validate="m:1")
        .join(listed, on="symbol", validate="m:1")
        .filter(pl.col("expected_rows") > 0)
        .with_columns(
            opens_at=pl.when(pl.col("calendar") == "24/7").then(begin).otherwise("opens_at")
        )
        .with_columns(bar=pl.int_ranges("expected_rows"))
        .explode("bar")
        .with_columns(width=pl.col("timeframe").replace_strict(minutes, return_dtype=pl.Int64))
        .with_columns(ts=pl.col("opens_at") + pl.duration(minutes=pl.col("bar") * pl.col("width")))
    )
    prices = {"open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5}
    return with_digests(fill_columns(CANDLES, frame, **prices, vendor="archive"))


def noticed(kind: str, symbol: str, first: dt.date, last: dt.date, timeframe: str = "1d"):
    """A row of `data_quality_log`."""
    row = {
        "symbol": symbol,
        "timeframe": timeframe,
        "first_session": first,
        "session": last,
        "kind": kind,
    }
    return make_log(row)


def queued(symbol: str, first: dt.date, last: dt.date, *, attempts: int, is_dead: bool = False):
    row = {
        "symbol": symbol,
        "timeframe": "1d",
        "first_session": first,
        "last_session": last,
        "reason": "refused",
        "attempts": attempts,
        "is_dead": is_dead,
    }
    return pl.DataFrame([row], schema=QUEUE)


def finding(symbol: str, session: dt.date, reason: str, action: str) -> pl.DataFrame:
    row = {
        "symbol": symbol,
        "timeframe": "1d",
        "session": session,
        "reason": reason,
        "column": "close",
        "old_value": 1.0,
        "action": action,
    }
    return pl.DataFrame([row], schema=FINDINGS)


def ledger_of(
    candles: pl.DataFrame,
    instruments: pl.DataFrame,
    span: SessionSpan,
    timeframes: Sequence[str] = ("1d",),
    *,
    findings: pl.DataFrame | None = None,
    log: pl.DataFrame | None = None,
    queue: pl.DataFrame | None = None,
    now: dt.datetime = LONG_AFTER,
    config: LedgerConfig = RULES,
) -> pl.DataFrame:
    return judge(
        expected_grid(instruments, span, timeframes, config),
        candles,
        findings,
        DATA_QUALITY_LOG.empty() if log is None else log,
        QUEUE.to_frame() if queue is None else queue,
        now=now,
        config=config,
        store_version=7,
        checked_at=LONG_AFTER,
    )


def said(ledger: pl.DataFrame, *columns: str) -> list[tuple[object, ...]]:
    """What the ledger says of each cell, in its order."""
    return ledger.select(columns or ("session", "verdict", "reasons")).rows()
