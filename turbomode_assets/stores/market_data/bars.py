"""What candles mean on a calendar: their day, their adjustment, and which should be there."""

import datetime as dt

import polars as pl

from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.curation.corporate_actions import adjust_back, undo_splits
from turbomode_assets.curation.days import ROUND_THE_CLOCK, with_day
from turbomode_assets.sessions import sessions_between

_PERIODS = {"1wk": "1w", "1mo": "1mo"}


def with_last_day(candles: pl.DataFrame, instruments: pl.DataFrame) -> pl.DataFrame:
    """Add each candle's calendar and its last day there, in whose shares raw prices are.

    Sorted by symbol, timeframe and ts.
    """
    day = pl.col("day")
    weekly, monthly = (pl.col("timeframe") == name for name in _PERIODS)
    around_the_clock = pl.col("calendar") == ROUND_THE_CLOCK
    last_day = (
        pl.when((weekly | monthly) & ~around_the_clock)
        .then("session")
        .when(weekly)
        .then(day + pl.duration(days=6))
        .when(monthly)
        .then(day.dt.month_end())
        .otherwise(day)
    )
    return (
        with_day(candles, instruments).with_columns(day=last_day).sort("symbol", "timeframe", "ts")
    )


def adjusted_candles(
    candles: pl.DataFrame,
    instruments: pl.DataFrame,
    splits: pl.DataFrame,
    dividends: pl.DataFrame,
    *,
    known: pl.Expr,
    as_of: dt.date,
) -> pl.DataFrame:
    """Candles up to `as_of` with prices, vwap and volume back-adjusted as of that day.

    Only events for which `known` holds adjust. Later splits are used to take out of a `split`
    delivery what its vendor put into it, and for nothing else. Prices with dividends in them as of
    a later day keep their basis and mark.
    """
    rows = with_last_day(candles, instruments)
    # One dollar and one share, adjusted as the candle is, are its factors.
    unit = rows.with_columns(pl.lit(1.0).alias(name) for name in (*PRICES, "volume"))
    raw = undo_splits(unit, splits).with_columns(session="day")
    factors = adjust_back(raw, splits.filter(known), dividends.filter(known), as_of)
    marked = pl.col("adjustment") == "split_dividend"
    return rows.with_columns(
        *(pl.col(name) * factors["close"] for name in (*PRICES, "vwap")),
        pl.col("volume") * factors["volume"],
        adjustment=pl.lit("split_dividend"),
        adjusted_as_of=pl.when(marked)
        .then(pl.max_horizontal("adjusted_as_of", pl.lit(as_of)))
        .otherwise(pl.lit(as_of)),
    ).select(candles.columns)


def expected_days(
    instruments: pl.DataFrame, timeframe: str, start: dt.date, end: dt.date
) -> pl.DataFrame:
    """Days on which each symbol should have candles: symbol, day.

    XNYS symbols: sessions; around the clock: UTC days; from the first session to the last one, as
    far as they are known. Weeks and months count by their last day, when it is in the range.
    """
    calendars = _calendar_days(timeframe, start, end)
    listed = pl.col("day").is_between(
        pl.col("first_session").fill_null(dt.date.min),
        pl.col("last_session").fill_null(dt.date.max),
    )
    if timeframe in _PERIODS:
        begun = pl.col("last_day") >= pl.col("first_session").fill_null(dt.date.min)
        not_over = pl.col("first_day") <= pl.col("last_session").fill_null(dt.date.max)
        listed = begun & not_over
    return (
        instruments.select("symbol", "calendar", "first_session", "last_session")
        .join(calendars, on="calendar")
        .filter(listed)
        .select("symbol", "day")
    )


def availability(candles: pl.DataFrame, expected: pl.DataFrame, symbols: list[str]) -> pl.DataFrame:
    """Compare expected days with those of candles (symbol, day), one row for each symbol."""
    found = candles.select("symbol", "day").unique()
    compared = expected.join(
        found.with_columns(is_present=True), on=["symbol", "day"], how="left", validate="1:1"
    )
    present = pl.col("is_present").fill_null(False)
    counted = (
        compared.sort("symbol", "day")
        .group_by("symbol")
        .agg(
            expected=pl.len().cast(pl.Int64),
            present=present.sum().cast(pl.Int64),
            missing=pl.col("day").filter(~present),
        )
    )
    return (
        pl.DataFrame({"symbol": symbols}, schema={"symbol": pl.String()})
        .join(counted, on="symbol", how="left", validate="1:1", maintain_order="left")
        .with_columns(
            pl.col("expected", "present").fill_null(0),
            pl.col("missing").fill_null(pl.lit([], dtype=pl.List(pl.Date()))),
        )
    )


def _calendar_days(timeframe: str, start: dt.date, end: dt.date) -> pl.DataFrame:
    """Every calendar's days in a range: calendar, day; of periods also first_day and last_day."""
    whole = (start, end)
    if timeframe in _PERIODS:
        # Wide enough that no period is cut.
        whole = (start - dt.timedelta(days=31), end + dt.timedelta(days=31))
    every_day = pl.date_range(*whole, "1d", eager=True).alias("day")
    sessions = pl.Series("day", sessions_between(*whole), dtype=pl.Date)
    days = pl.concat(
        each.to_frame().select(pl.lit(calendar).alias("calendar"), "day")
        for calendar, each in ((ROUND_THE_CLOCK, every_day), ("XNYS", sessions))
    )
    if timeframe not in _PERIODS:
        return days
    period = pl.col("day").dt.truncate(_PERIODS[timeframe]).alias("period")
    return (
        days.group_by("calendar", period)
        .agg(first_day=pl.col("day").min(), last_day=pl.col("day").max())
        .filter(pl.col("last_day").is_between(start, end))
        .select("calendar", "first_day", "last_day", day="last_day")
    )
