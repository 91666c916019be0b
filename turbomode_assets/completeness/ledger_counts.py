"""What the ledger adds up to: its grid, its reasons, and how old the newest good data is."""

import datetime as dt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import SESSION, SYMBOL
from turbomode_assets.contracts.tables.master import VERDICTS
from turbomode_assets.sessions import (
    require_session,
    session_index,
    session_indices,
    sessions_between,
)

UNEXPLAINED = "unexplained"
"""Stands for the reason of a cell that is not GREEN and names none."""

AGE_BUCKETS = (("0", 0), ("1", 1), ("2", 2), ("3-5", 3), ("6-20", 6), ("21+", 21))
"""Name and fewest sessions behind; `NEVER` stands beside them."""
NEVER = "never"

_AGE_SCHEMA = {
    SYMBOL: pl.String(),
    "timeframe": pl.String(),
    "last_green": pl.Date(),
    "sessions_behind": pl.Int64(),
}


def vendors_of(ledger: pl.DataFrame) -> list[str]:
    """Return the vendors that delivered a ledger's candles."""
    # Runs first: neighbours mostly have one vendor, and millions of strings hash slowly.
    runs = ledger["delivered_by"].rle().struct.field("value")
    return runs.drop_nulls().unique().sort().to_list()


def ledger_grid(
    rows: pl.DataFrame,
) -> tuple[NDArray[np.uint8], list[str], list[dt.date]]:
    """Spread one timeframe's rows as codes [symbol, session], with both axes.

    A code is 0 where there is no cell, else 1 + the place of its verdict in `VERDICTS`. No session
    between the first and the last is left out.
    """
    # The ledger is sorted by symbol: its runs are far fewer than its rows.
    runs = rows[SYMBOL].rle().struct.unnest()
    symbols = runs["value"].unique().sort()
    row = runs["value"].cast(pl.Enum(symbols)).to_physical().to_numpy()
    days = rows[SESSION].to_physical().to_numpy()
    first, last = rows[SESSION].min(), rows[SESSION].max()
    assert isinstance(first, dt.date)
    assert isinstance(last, dt.date)
    sessions = sessions_between(first, last)
    columns = np.zeros(days.max() - days.min() + 1, dtype=np.int32)
    columns[[(session - first).days for session in sessions]] = np.arange(len(sessions))
    codes = np.zeros((len(symbols), len(sessions)), dtype=np.uint8)
    verdicts = rows["verdict"].cast(pl.Enum(VERDICTS)).to_physical().to_numpy()
    codes[np.repeat(row, runs["len"].to_numpy()), columns[days - days.min()]] = verdicts + 1
    return codes, symbols.to_list(), sessions


def reason_counts(ledger: pl.DataFrame) -> pl.DataFrame:
    """Count cells by reason and verdict: columns reason, verdict, cells, share; most cells first.

    A cell with several reasons counts under each, so shares (of all cells) may add up to more than
    the share that is not GREEN. GREEN cells without a reason are not listed; others without one
    are `UNEXPLAINED`.
    """
    combinations = ledger.group_by("reasons", "verdict").len("cells")
    listed = (
        combinations.filter((pl.col("reasons") != "") | (pl.col("verdict") != "GREEN"))
        .with_columns(reason=pl.col("reasons").replace("", UNEXPLAINED).str.split(","))
        .explode("reason")
        .with_columns(pl.col("reason").str.strip_chars())
    )
    return (
        listed.group_by("reason", "verdict")
        .agg(pl.col("cells").cast(pl.Int64).sum())
        .with_columns(share=pl.col("cells") / ledger.height)
        .sort(["cells", "reason", "verdict"], descending=[True, False, False])
    )


def age_of_data(ledger: pl.DataFrame, as_of: dt.date) -> pl.DataFrame:
    """Measure each symbol and timeframe: its last GREEN session, and how far behind `as_of` it is.

    Behind are its expected cells after its last GREEN one, and the sessions from the end of its
    timeframe's ledger to `as_of` unless nothing is expected of it any more (no cell at that end: it
    was delisted). Without any GREEN cell `last_green` is null and every expected cell is behind.

    Raises:
        InputError: `as_of` is not a session.
    """
    require_session(as_of, where="age of data")
    known = ledger.filter(pl.col(SESSION) <= as_of)
    if known.is_empty():
        return pl.DataFrame(schema=_AGE_SCHEMA)
    key = [SYMBOL, "timeframe"]
    green = pl.col(SESSION).filter(pl.col("verdict") == "GREEN").max()
    summed = known.group_by(key).agg(last_green=green, last=pl.col(SESSION).max())
    after = (
        known.filter((pl.col("verdict") != "GREEN") & (pl.col("expected_rows") > 0))
        .join(summed, on=key, how="left", validate="m:1")
        .filter(pl.col("last_green").is_null() | (pl.col(SESSION) > pl.col("last_green")))
        .group_by(key)
        .agg(after=pl.len().cast(pl.Int64))
    )
    end = pl.col("last").max().over("timeframe")
    joined = summed.join(after, on=key, how="left", validate="1:1").with_columns(
        end=end, still=pl.col("last") == end
    )
    unknown = session_index(as_of) - session_indices(joined["end"]).cast(pl.Int64)
    behind = pl.col("after").fill_null(0) + pl.when("still").then(unknown).otherwise(0)
    return (
        joined.with_columns(sessions_behind=behind).select(*_AGE_SCHEMA).sort("timeframe", SYMBOL)
    )


def age_buckets(ages: pl.DataFrame) -> pl.DataFrame:
    """Count symbols by timeframe and bucket: of `AGE_BUCKETS`, or `NEVER`; none has no row."""
    named = ages.with_columns(bucket=pl.lit(NEVER))
    for name, fewest in AGE_BUCKETS:
        reached = pl.col("last_green").is_not_null() & (pl.col("sessions_behind") >= fewest)
        named = named.with_columns(
            bucket=pl.when(reached).then(pl.lit(name)).otherwise(pl.col("bucket"))
        )
    order = pl.col("bucket").cast(pl.Enum([*(name for name, _ in AGE_BUCKETS), NEVER]))
    return (
        named.group_by("timeframe", "bucket")
        .agg(symbols=pl.len().cast(pl.Int64))
        .sort("timeframe", order)
    )
