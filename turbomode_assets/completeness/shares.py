"""How complete sessions and months are."""

import polars as pl

from turbomode_assets.contracts.columns import SESSION
from turbomode_assets.contracts.tables.master import VERDICTS
from turbomode_assets.contracts.timeframes import TIMEFRAMES


def verdict_counts(ledger: pl.DataFrame) -> pl.DataFrame:
    """Count expected cells: a row per timeframe and session, columns GREEN, AMBER, RED and cells.

    A cell that has candles and should have none is left out: its reason tells of it.
    """
    counted = (
        # Groups of numbers; millions of strings take five times as long.
        ledger.lazy()
        .filter(pl.col("expected_rows") > 0)
        .group_by(
            pl.col("timeframe").cast(pl.Enum(TIMEFRAMES)),
            SESSION,
            pl.col("verdict").cast(pl.Enum(VERDICTS)),
        )
        .len("n")
        .collect()
    )
    each = (pl.col("n").filter(pl.col("verdict") == verdict).sum() for verdict in VERDICTS)
    return (
        counted.group_by("timeframe", SESSION)
        .agg(
            *(n.cast(pl.Int64).alias(verdict) for n, verdict in zip(each, VERDICTS, strict=True)),
            pl.col("n").sum().cast(pl.Int64).alias("cells"),
        )
        .sort("timeframe", SESSION)
        .cast({"timeframe": pl.String()})
    )


def month_counts(counts: pl.DataFrame) -> pl.DataFrame:
    """Sum `verdict_counts` by timeframe and month, named by its first day."""
    return counts.group_by(
        "timeframe", month=pl.col(SESSION).dt.truncate("1mo"), maintain_order=True
    ).agg(pl.col(*VERDICTS, "cells").sum())


def green_shares(ledger: pl.DataFrame) -> pl.DataFrame:
    """Expected cells of each session of the ledger and the GREEN share of them, by session."""
    return (
        verdict_counts(ledger)
        .group_by(SESSION)
        .agg(pl.col("cells").sum(), green_share=pl.col("GREEN").sum() / pl.col("cells").sum())
        .sort(SESSION)
    )


def sessions_below(ledger: pl.DataFrame, floor: float) -> pl.DataFrame:
    """Return the sessions of which less than `floor` is GREEN, as `green_shares`, worst first."""
    return green_shares(ledger).filter(pl.col("green_share") < floor).sort("green_share", "session")
