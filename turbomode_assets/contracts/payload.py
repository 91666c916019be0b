"""The digest by which a candle is recognised when it is delivered again."""

import hashlib

import polars as pl

_PAYLOAD = (
    "vendor",
    "symbol",
    "timeframe",
    "ts",
    *("open", "high", "low", "close", "volume", "vwap", "trades"),
    *("adjustment", "adjusted_as_of"),
)


def payload_digests(candles: pl.DataFrame) -> pl.Series:
    """SHA-256 of each row's JSON: shortest exact floats, null where the vendor gave none."""
    payloads = candles.select(pl.struct(_PAYLOAD).struct.json_encode()).to_series()
    return pl.Series([hashlib.sha256(payload.encode()).hexdigest() for payload in payloads])
