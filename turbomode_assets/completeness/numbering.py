"""One number for each cell, so that millions of cells are joined by integers, not by names."""

from collections.abc import Iterable

import polars as pl

from turbomode_assets.completeness.expected import BAR_MINUTES

_TIMEFRAMES = {name: number for number, name in enumerate(BAR_MINUTES)}
_PER_DAY = 32
"""More than the timeframes there are."""
_PER_SYMBOL = 2**22
"""More than the days from 1970 to any session, _PER_DAY times."""


def vocabulary(frames: Iterable[pl.DataFrame]) -> pl.Enum:
    """Every symbol of the frames, numbered in order."""
    symbols = pl.concat([frame["symbol"].unique() for frame in frames])
    return pl.Enum(symbols.unique().sort())


def cell_number(symbols: pl.Enum) -> pl.Expr:
    """Give the number of each row's cell; it says symbol, session and timeframe."""
    symbol = pl.col("symbol").cast(symbols).to_physical().cast(pl.Int64)
    day = pl.col("session").to_physical().cast(pl.Int64)
    timeframe = pl.col("timeframe").replace_strict(_TIMEFRAMES, return_dtype=pl.Int64)
    return (symbol * _PER_SYMBOL + day * _PER_DAY + timeframe).alias("cell")
