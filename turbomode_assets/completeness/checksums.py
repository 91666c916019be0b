"""Candles that are no longer what was delivered, told by the digest stored with them."""

import polars as pl

from turbomode_assets.completeness.reasons import CHECKSUM_MISMATCH
from turbomode_assets.contracts.findings import FINDINGS
from turbomode_assets.contracts.payload import payload_digests
from turbomode_assets.contracts.tables import CANDLES


def corrupted(candles: pl.DataFrame) -> pl.DataFrame:
    """FINDINGS about the candles (whole rows of CANDLES) whose `payload_sha256` does not fit them.

    Every row is written out and digested: some microseconds each.
    """
    strays = candles.filter(payload_digests(candles) != candles["payload_sha256"])
    return (
        strays.sort(CANDLES.sort_by)
        .select(
            "symbol",
            "timeframe",
            "session",
            reason=pl.lit(CHECKSUM_MISMATCH),
            column=pl.lit("row"),
            old_value=pl.col("close"),
            new_value=pl.lit(None, dtype=pl.Float64),
            action=pl.lit("flagged"),
        )
        .match_to_schema(FINDINGS)
    )
