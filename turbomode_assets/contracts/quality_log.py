"""Completing rows of `data_quality_log`, and the digest by which an event is recognised again."""

import hashlib

import polars as pl

from turbomode_assets.contracts.tables import DATA_QUALITY_LOG

NO_DATA = "no_data"
FAILOVER = "failover"
DISAGREEMENT = "disagreement"
REVISION = "revision"
LATE_CANDLES = "late_candles"
LATE_ACTION = "late_action"


def log_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Complete rows of `data_quality_log`; the same thing noticed again gets the same `event`.

    Columns that `frame` lacks are null.
    """
    absent = [name for name in DATA_QUALITY_LOG.column_names if name not in frame.columns]
    frame = frame.with_columns(
        pl.lit(None, dtype=DATA_QUALITY_LOG.schema[name]).alias(name)
        for name in absent
        if name != "event"
    )
    said = [name for name in DATA_QUALITY_LOG.column_names if name not in ("event", "knowledge_ts")]
    texts = frame.select(pl.struct(said).struct.json_encode()).to_series()
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    return frame.with_columns(event=pl.Series(digests, dtype=pl.String)).select(
        pl.col(name).cast(dtype) for name, dtype in DATA_QUALITY_LOG.schema.items()
    )
