"""Sectors as they were mapped on each session."""

import polars as pl


def with_sectors(bars: pl.DataFrame, mappings: pl.DataFrame) -> pl.DataFrame:
    """Add the column `sector`: the GICS mapping in force on the row's session, else null.

    `mappings` follows sector_mappings: a sector holds from valid_from to valid_to, both included;
    before a symbol's first mapping its first sector holds. `bars` needs symbol and session.
    """
    mappings = mappings.filter(pl.col("vocabulary") == "GICS")
    first = pl.col("valid_from") == pl.col("valid_from").min().over("symbol")
    since_ever = pl.when(first).then(pl.date(1900, 1, 1)).otherwise("valid_from")
    mappings = mappings.with_columns(valid_from=since_ever)
    dated = mappings.select("symbol", "valid_from", "valid_to", "sector").sort("valid_from")
    in_force = pl.col("valid_to").is_null() | (pl.col("session") <= pl.col("valid_to"))
    return (
        bars.sort("session")
        .join_asof(
            dated, left_on="session", right_on="valid_from", by="symbol", check_sortedness=False
        )
        .with_columns(sector=pl.when(in_force).then(pl.col("sector")))
        .drop("valid_from", "valid_to")
        .sort("symbol", "session")
    )
