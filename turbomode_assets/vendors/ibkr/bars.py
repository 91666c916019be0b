"""From the bars of a reply to candles: checked, put on the session's clock, joined into hours.

Nothing is repaired here. A reply that cannot be right as a whole is refused as a whole.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Protocol

import polars as pl

from turbomode_assets.contracts.timeframes import INTRADAY_MINUTES
from turbomode_assets.sessions import NEW_YORK, session_closes, sessions_of
from turbomode_assets.vendors.ibkr.errors import MalformedError
from turbomode_assets.vendors.ibkr.planning import BAR_MINUTES, DAILY, Piece
from turbomode_assets.vendors.protocol import CANDLE_SCHEMA
from turbomode_assets.vendors.timestamps import ROUND_THE_CLOCK, daily_bar_starts


class Bar(Protocol):
    """A bar as the client library hands it over."""

    date: dt.date | dt.datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    average: float
    barCount: int  # noqa: N815  # IB's name


_VALUES = {
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "volume": "volume",
    "vwap": "average",
    "trades": "barCount",
}
_PRICES = ("open", "high", "low", "close")
_DAY = "day"


def read_reply(bars: Sequence[Bar], piece: Piece, calendar: str) -> pl.DataFrame:
    """Bars of one reply in CANDLE_SCHEMA, sorted, for the days its piece answers for.

    A negative volume, count or average is IB's way of writing "unknown": null. What lies outside
    the hours of its session was not asked for and is left out; so are bars that come twice.

    Raises:
        MalformedError: values are no numbers or no prices, a bar lies on a day that was not asked
            for or has no session, or beside the grid of its bar size, or two bars of one time
            contradict each other.
    """
    frame = _typed(bars, piece.bar_size, calendar)
    wrong = ~pl.all_horizontal(pl.col(name).is_finite() & (pl.col(name) > 0) for name in _PRICES)
    wrong |= ~(pl.col("volume").is_finite() & pl.col("vwap").is_finite())
    _refuse(frame.filter(wrong.fill_null(True)), "holds values that are no prices")
    latest_day = piece.last_day + dt.timedelta(days=1)
    asked = pl.col(_DAY).is_between(piece.earliest_day, latest_day)
    _refuse(frame.filter(~asked), f"is not from {piece.earliest_day} to {latest_day}")
    placed = _on_the_clock(frame, piece, calendar).with_columns(
        volume=pl.when(pl.col("volume") >= 0).then(pl.col("volume")),
        vwap=pl.when(pl.col("vwap") > 0).then(pl.col("vwap")),
        trades=pl.when(pl.col("trades") >= 0).then(pl.col("trades")),
    )
    rows = placed.select(CANDLE_SCHEMA.names()).unique().sort("ts")
    _refuse(rows.filter(pl.col("ts").is_duplicated()), "contradicts another bar of the same time")
    return rows


def join_bars(frame: pl.DataFrame, calendar: str, minutes: int) -> pl.DataFrame:
    """Join bars into longer ones counted from the session's open (24/7: from midnight UTC).

    The last bar of a session is short where its length is no multiple of `minutes`. The vwap
    weighs by volume, and is null where a bar with volume lacks it; sums are null where a bar's
    value is.
    """
    anchor = _anchors(frame["ts"], calendar)
    since = (frame["ts"] - anchor).dt.total_minutes()
    start = anchor + (since - since % minutes) * dt.timedelta(minutes=1)
    traded = pl.col("volume") > 0
    money = pl.when(traded).then(pl.col("vwap") * pl.col("volume")).otherwise(0.0)
    return (
        frame.with_columns(ts=start, money=money)
        .group_by("ts", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            *(_sum_if_known(name) for name in ("volume", "money", "trades")),
        )
        .with_columns(vwap=pl.when(traded).then(pl.col("money") / pl.col("volume")))
        .select(CANDLE_SCHEMA.names())
    )


def ended(frame: pl.DataFrame, calendar: str, timeframe: str, now: dt.datetime) -> pl.DataFrame:
    """Leave out the bars that were still forming at `now`."""
    day = _days_of(frame["ts"], calendar)
    if calendar == ROUND_THE_CLOCK:
        close = daily_bar_starts(day, calendar) + dt.timedelta(days=1)
    else:
        close = session_closes(day)
    end: pl.Expr = pl.lit(close)
    if timeframe in INTRADAY_MINUTES:
        minutes = INTRADAY_MINUTES[timeframe]
        end = pl.min_horizontal(end, pl.col("ts") + pl.duration(minutes=minutes))
    return frame.filter(end <= now)


def _typed(bars: Sequence[Bar], bar_size: str, calendar: str) -> pl.DataFrame:
    """Columns `day`, `ts` (null for daily bars) and the values, as received."""
    moments = [bar.date for bar in bars]
    daily = bar_size == DAILY
    for moment in moments:
        has_time = isinstance(moment, dt.datetime)
        if has_time == daily or (isinstance(moment, dt.datetime) and moment.tzinfo is None):
            raise MalformedError(f"{moment} is no time of a bar of {bar_size}")
    columns = {name: [getattr(bar, theirs) for bar in bars] for name, theirs in _VALUES.items()}
    dtype = pl.Date() if daily else CANDLE_SCHEMA["ts"]
    try:
        times = pl.Series("ts", moments, dtype=dtype)
        values = pl.DataFrame(columns, schema={name: CANDLE_SCHEMA[name] for name in _VALUES})
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        raise MalformedError("a bar holds values that are no numbers") from error
    if daily:
        return values.with_columns(times.alias(_DAY), pl.lit(None, CANDLE_SCHEMA["ts"]).alias("ts"))
    return values.with_columns(times, _days_of(times, calendar).alias(_DAY))


def _on_the_clock(frame: pl.DataFrame, piece: Piece, calendar: str) -> pl.DataFrame:
    inside = frame.filter(pl.col(_DAY).is_between(piece.first_day, piece.last_day))
    if calendar != ROUND_THE_CLOCK:
        inside = inside.with_columns(sessions_of(inside[_DAY]).alias("session"))
        _refuse(inside.filter(pl.col("session") != pl.col(_DAY)), "lies on a day without a session")
    if piece.bar_size == DAILY:
        return inside.with_columns(daily_bar_starts(inside[_DAY], calendar).alias("ts"))
    anchor = _anchors(inside["ts"], calendar)
    if calendar != ROUND_THE_CLOCK:
        close = session_closes(inside[_DAY])
        inside = inside.filter((inside["ts"] >= anchor) & (inside["ts"] < close))
        anchor = _anchors(inside["ts"], calendar)
    minutes = BAR_MINUTES[piece.bar_size]
    beside = (inside["ts"] - anchor).dt.total_microseconds() % (minutes * 60_000_000) != 0
    _refuse(inside.filter(beside), f"lies beside the grid of {piece.bar_size} from the open")
    return inside


def _anchors(times: pl.Series, calendar: str) -> pl.Series:
    """Where each bar's session began."""
    return daily_bar_starts(_days_of(times, calendar), calendar).rename("anchor")


def _days_of(times: pl.Series, calendar: str) -> pl.Series:
    zone = "UTC" if calendar == ROUND_THE_CLOCK else NEW_YORK
    return times.dt.convert_time_zone(zone).dt.date()


def _sum_if_known(name: str) -> pl.Expr:
    column = pl.col(name)
    return pl.when(column.null_count() == 0).then(column.sum()).alias(name)


def _refuse(rows: pl.DataFrame, why: str) -> None:
    if rows.height:
        first = rows.row(0, named=True)
        moment = first["ts"] if first["ts"] is not None else first[_DAY]
        raise MalformedError(f"{rows.height} bars, the first of {moment:%Y-%m-%d %H:%M}: {why}")
