"""How complete each session is."""

import polars as pl


def green_shares(ledger: pl.DataFrame) -> pl.DataFrame:
    """Expected cells of each session of the ledger and the GREEN share of them, by session."""
    expected = ledger.filter(pl.col("expected_rows") > 0)
    is_green = pl.col("verdict") == "GREEN"
    return (
        expected.group_by("session")
        .agg(cells=pl.len(), green_share=is_green.mean())
        .sort("session")
    )


def sessions_below(ledger: pl.DataFrame, floor: float) -> pl.DataFrame:
    """Return the sessions of which less than `floor` is GREEN, as `green_shares`, worst first."""
    return green_shares(ledger).filter(pl.col("green_share") < floor).sort("green_share", "session")
