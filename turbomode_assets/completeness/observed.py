"""What is there: for each cell, how many candles and bars are stored and what is wrong with them.

Only the candles are looked at, each cell by itself: no neighbouring session, no other symbol.
"""

import polars as pl

from turbomode_assets.completeness.expected import BAR_MINUTES, DAILY
from turbomode_assets.completeness.numbering import cell_number
from turbomode_assets.completeness.reasons import (
    DUPLICATE,
    NO_SESSION,
    NON_FINITE,
    OFF_GRID,
    OHLC_VIOLATION,
    ZERO_VOLUME,
)
from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.tables import CELL
from turbomode_assets.sessions.listing import ROUND_THE_CLOCK, trading_hours

DEFECTS = (DUPLICATE, OFF_GRID, OHLC_VIOLATION, NON_FINITE, ZERO_VOLUME, NO_SESSION)
"""Reason codes that candles show by themselves: boolean columns of `observe`."""

_READ = [*CELL, "ts", *PRICES, "volume", "vendor"]
_SLOTS = 2**14
"""More than the bars of any session: ten days around the clock have 14,400 minutes."""


def observe(candles: pl.DataFrame, calendars: pl.DataFrame, symbols: pl.Enum) -> pl.DataFrame:
    """One row for each cell that has candles, in no order.

    `actual_rows` counts the candles, `bars` the distinct bars that they fill while the market
    trades, `sound_bars` those of them with all prices; a boolean column for each of DEFECTS;
    `delivered_by` joins vendors' names with "+"; `cell` is the number among these symbols.
    `calendars` gives the calendar of each symbol; others are taken to trade on XNYS.
    """
    rows = _placed(candles, calendars, symbols)
    alone = pl.col("cell").is_unique()
    found = pl.concat([_single(rows.filter(alone)), _joined(rows.filter(~alone))])
    inside, idle = pl.col("inside"), pl.col("idle_bars")
    any_day, all_bars = idle > 0, (idle == inside) & (inside > 0)
    return found.with_columns(
        duplicate=inside > pl.col("bars"),
        no_session=pl.col("actual_rows") > inside,
        zero_volume=pl.when(pl.col("timeframe") == DAILY).then(any_day).otherwise(all_bars),
    ).select("cell", *CELL, "actual_rows", "bars", "sound_bars", *DEFECTS, "delivered_by")


def _placed(candles: pl.DataFrame, calendars: pl.DataFrame, symbols: pl.Enum) -> pl.DataFrame:
    """Number each candle's cell and bar, and say what the candle shows by itself."""
    around_the_clock = calendars.filter(calendar=ROUND_THE_CLOCK)["symbol"]
    day = pl.col("session").to_physical().cast(pl.Int64)
    hours = trading_hours(candles["session"].unique()).select(
        "opens_at",
        "closes_at",
        "days_from",
        "days_until",
        place=day * 2 + (pl.col("calendar") == ROUND_THE_CLOCK),
    )
    is_inside = (
        pl.when(pl.col("timeframe") == DAILY)
        .then(pl.col("ts").is_between("days_from", "days_until", closed="left"))
        .otherwise(pl.col("ts").is_between("opens_at", "closes_at", closed="left"))
    )
    return (
        candles.lazy()
        .select(_READ)
        .with_columns(
            cell_number(symbols), is_utc=pl.col("symbol").is_in(around_the_clock.implode())
        )
        .with_columns(place=day * 2 + pl.col("is_utc"))
        .join(hours.lazy(), on="place", validate="m:1")
        .with_columns(is_inside=is_inside)
        .select("cell", *CELL, "vendor", "is_inside", *_of_candles())
        .collect()
    )


def _single(rows: pl.DataFrame) -> pl.DataFrame:
    """Cells of one candle each: what `_joined` says, without grouping."""
    inside = pl.col("is_inside").cast(pl.Int32)
    return rows.select(
        "cell",
        *CELL,
        actual_rows=pl.lit(1, dtype=pl.Int32),
        inside=inside,
        bars=inside,
        sound_bars=(pl.col("is_inside") & pl.col("is_sound")).cast(pl.Int32),
        idle_bars=pl.col("is_idle").cast(pl.Int32),
        off_grid=OFF_GRID,
        ohlc_violation=OHLC_VIOLATION,
        non_finite=~pl.col("is_sound"),
        delivered_by="vendor",
    )


def _joined(rows: pl.DataFrame) -> pl.DataFrame:
    """Cells of any number of candles; a bar counts once, however many candles fill it."""
    sound = pl.when("is_sound").then("bar")
    found = (
        rows.lazy()
        .with_columns(
            opens_bar=pl.col("bar").is_first_distinct() & pl.col("bar").is_not_null(),
            opens_sound_bar=sound.is_first_distinct() & sound.is_not_null(),
        )
        .group_by("cell")
        .agg(
            pl.col(*CELL).first(),
            actual_rows=pl.len().cast(pl.Int32),
            inside=pl.col("is_inside").sum().cast(pl.Int32),
            bars=pl.col("opens_bar").sum().cast(pl.Int32),
            sound_bars=pl.col("opens_sound_bar").sum().cast(pl.Int32),
            idle_bars=pl.col("is_idle").sum().cast(pl.Int32),
            off_grid=pl.col(OFF_GRID).any(),
            ohlc_violation=pl.col(OHLC_VIOLATION).any(),
            non_finite=(~pl.col("is_sound")).any(),
            delivered_by=pl.col("vendor").min(),
            last_vendor=pl.col("vendor").max(),
        )
        .collect()
    )
    return _with_vendors(found, rows)


def _of_candles() -> list[pl.Expr]:
    """What a candle says by itself, and the number of the bar that it fills."""
    prices = [pl.col(name) for name in PRICES]
    whole = pl.all_horizontal(price.is_finite().fill_null(False) for price in prices)
    volume = pl.col("volume")
    is_sound = whole & (volume.is_null() | volume.is_finite())
    bounded = (pl.col("high") >= pl.max_horizontal(PRICES)) & (
        pl.col("low") <= pl.min_horizontal(PRICES)
    )
    width = pl.col("timeframe").replace_strict(
        {name: minutes * 60_000_000 for name, minutes in BAR_MINUTES.items()},
        return_dtype=pl.Int64,
    )
    into_session = (pl.col("ts") - pl.col("opens_at")).dt.total_microseconds()
    daily = pl.col("timeframe") == DAILY
    # One daily candle fills a session of an exchange, whenever on that day it is said to start.
    one_bar = daily & ~pl.col("is_utc")
    slot = pl.when(one_bar).then(0).otherwise(into_session // width)
    inside = pl.col("is_inside")
    return [
        pl.when(inside).then(pl.col("cell") * _SLOTS + slot).alias("bar"),
        is_sound.alias("is_sound"),
        (whole & ~bounded).alias(OHLC_VIOLATION),
        (inside & ~daily & (into_session % width != 0)).alias(OFF_GRID),
        (inside & (volume.fill_null(0.0) == 0)).alias("is_idle"),
    ]


def _with_vendors(cells: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Join the vendors' names; only cells of several need their candles read again."""
    several = cells.filter(pl.col("delivered_by") != pl.col("last_vendor"))
    cells = cells.drop("last_vendor")
    if several.is_empty():
        return cells
    joined = (
        rows.join(several, on="cell", how="semi")
        .group_by("cell")
        .agg(pl.col("vendor").unique().sort().str.join("+").alias("delivered_by"))
    )
    return cells.update(joined, on="cell")
