"""What a look at the candles found: rows that one room hands to another."""

import polars as pl

ACTIONS = ("repaired", "left_out", "flagged")
"""What curation does about it: changes the value, leaves the candle out of `bars`, or neither."""

FINDINGS = pl.Schema(
    {
        "symbol": pl.String(),
        "timeframe": pl.String(),
        "session": pl.Date(),
        "reason": pl.String(),
        "column": pl.String(),
        "old_value": pl.Float64(),
        "new_value": pl.Float64(),
        "action": pl.String(),
    }
)
"""One row for each value (`column`; `row` where it is the whole candle) that is not as it should
be: the reason code, the value as delivered, and the value in its place where there is one."""
