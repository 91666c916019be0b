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
