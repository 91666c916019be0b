"""The calendar of each candle's symbol, and the candle's day there."""

import polars as pl

from turbomode_assets.contracts.errors import MissingDataError, first_few
from turbomode_assets.sessions import NEW_YORK

ROUND_THE_CLOCK = "24/7"


def with_day(candles: pl.DataFrame, instruments: pl.DataFrame) -> pl.DataFrame:
    """Add each candle's calendar and its day there: New York's, or UTC's around the clock.

    Sorted by symbol and ts.

    Raises:
        MissingDataError: a candle's symbol is not among the instruments.
    """
    calendars = instruments.select("symbol", "calendar")
    joined = candles.join(calendars, on="symbol", how="left", validate="m:1")
    strangers = joined.filter(pl.col("calendar").is_null())["symbol"].unique().sort()
    if len(strangers):
        raise MissingDataError(
            f"candles of symbols that are no instruments: {first_few(strangers)}",
            where="curation, table symbol_metadata",
            fix="materialize symbol_metadata from the vendor that delivered these candles",
        )
    utc_day = pl.col("ts").dt.date()
    new_york_day = pl.col("ts").dt.convert_time_zone(NEW_YORK).dt.date()
    is_utc = pl.col("calendar") == ROUND_THE_CLOCK
    return joined.with_columns(day=pl.when(is_utc).then(utc_day).otherwise(new_york_day)).sort(
        "symbol", "ts"
    )
