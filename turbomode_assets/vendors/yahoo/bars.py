"""From the rows of a chart to candles: which are bars, when they start, which have ended."""

import dataclasses
import datetime as dt

import polars as pl

from turbomode_assets.contracts.errors import first_few
from turbomode_assets.contracts.tables import UTC_TIME
from turbomode_assets.contracts.timeframes import INTRADAY_MINUTES
from turbomode_assets.sessions import NEW_YORK, is_session, session_close, session_open
from turbomode_assets.vendors.protocol import CANDLE_SCHEMA
from turbomode_assets.vendors.timestamps import ROUND_THE_CLOCK
from turbomode_assets.vendors.yahoo.failures import malformed
from turbomode_assets.vendors.yahoo.replies import VALUES, Chart
from turbomode_assets.vendors.yahoo.windows import Window

_DAY = dt.timedelta(days=1)
_WHOLE_SESSION = dt.timedelta(hours=6, minutes=30)
_HOURS_SCHEMA = pl.Schema({"day": pl.Date(), "opens": UTC_TIME, "closes": UTC_TIME})


def rows_within(chart: Chart, window: Window) -> Chart:
    """The chart without rows that hold no value, or lie outside what was asked for."""
    begin, end = window.seconds
    inside = (pl.col("second") >= begin) & (pl.col("second") < end)
    told = pl.any_horizontal(pl.col(VALUES).is_not_null())
    return dataclasses.replace(chart, rows=chart.rows.filter(inside & told))


def ended_bars(chart: Chart, timeframe: str, calendar: str, now: dt.datetime) -> pl.DataFrame:
    """Bars of a chart that have ended by now, in CANDLE_SCHEMA.

    Yahoo's own last trade inside a bar says that it is not complete yet (its quotes may be late),
    while that trade is less than a day old. Beside the bars Yahoo sends the newest trade as a row
    of its own: it stands for the day of a daily chart, and is left out of an intraday one, as is
    what follows the close.

    Raises:
        YahooError: a row lies where no bar can start, or two rows contradict each other.
    """
    rows = chart.rows.filter(pl.any_horizontal(pl.col(VALUES).is_not_null())).with_columns(
        at=pl.from_epoch("second", time_unit="s")
        .dt.cast_time_unit("us")
        .dt.replace_time_zone("UTC")
    )
    hours = _with_hours(rows, calendar)
    if timeframe == "1d":
        bars = hours.with_columns(ts="opens", ends="closes")
    else:
        bars = _intraday(hours, INTRADAY_MINUTES[timeframe], chart.last_trade)
    complete = _is_ended(chart.last_trade, now)
    return _one_row_per_bar(bars.filter(complete), chart.last_trade)


def _with_hours(rows: pl.DataFrame, calendar: str) -> pl.DataFrame:
    """Rows with their day, and when trading of that day opens and closes.

    Raises:
        YahooError: a row lies on a day without a session.
    """
    zone = "UTC" if calendar == ROUND_THE_CLOCK else NEW_YORK
    dated = rows.with_columns(day=pl.col("at").dt.convert_time_zone(zone).dt.date())
    days = dated["day"].unique().sort().to_list()
    if calendar == ROUND_THE_CLOCK:
        midnights = {day: dt.datetime.combine(day, dt.time(), dt.UTC) for day in days}
        hours = [(day, midnight, midnight + _DAY) for day, midnight in midnights.items()]
    else:
        strays = [day for day in days if not is_session(day)]
        if strays:
            raise malformed(f"bars on days without a session: {first_few(strays)}")
        hours = [(day, session_open(day), session_close(day)) for day in days]
    opening = pl.DataFrame(hours, schema=_HOURS_SCHEMA, orient="row")
    return dated.join(opening, on="day", how="left", validate="m:1", maintain_order="left")


def _intraday(rows: pl.DataFrame, minutes: int, last_trade: dt.datetime | None) -> pl.DataFrame:
    """Rows that are bars, with their start and end.

    Raises:
        YahooError: a row is neither a bar of the session nor one of those that Yahoo adds.
    """
    step = pl.duration(minutes=minutes)
    offset = pl.col("at") - pl.col("opens")
    aligned = offset.dt.total_microseconds() % (minutes * 60_000_000) == 0
    inside = (offset >= pl.duration()) & (pl.col("at") < pl.col("closes"))
    is_closing_print = pl.col("at") == pl.col("closes")
    # After an early close Yahoo goes on with what is traded after hours.
    is_early = pl.col("closes") - pl.col("opens") < pl.lit(_WHOLE_SESSION)
    is_after_early_close = is_early & (pl.col("at") > pl.col("closes"))
    is_newest_trade = (pl.col("at") == pl.lit(last_trade, dtype=UTC_TIME)).fill_null(False)
    is_bar = aligned & inside
    strays = rows.filter(~is_bar & ~is_closing_print & ~is_after_early_close & ~is_newest_trade)
    if strays.height:
        raise malformed(f"bars where none of the session starts: {first_few(strays['at'])}")
    ends = pl.min_horizontal(pl.col("at") + step, "closes")
    return rows.filter(is_bar).with_columns(ts="at", ends=ends)


def _is_ended(last_trade: dt.datetime | None, now: dt.datetime) -> pl.Expr:
    ended = pl.col("ends") <= pl.lit(now.astimezone(dt.UTC), dtype=UTC_TIME)
    if last_trade is None or now - last_trade >= _DAY:
        return ended
    newest = pl.lit(last_trade, dtype=UTC_TIME)
    return ended & ~((pl.col("ts") <= newest) & (newest < pl.col("ends")))


def _one_row_per_bar(rows: pl.DataFrame, last_trade: dt.datetime | None) -> pl.DataFrame:
    """Candles of the rows: repeated ones once, a day's bar as the row of its last trade has it.

    Raises:
        YahooError: two rows of one bar say different things.
    """
    newest = pl.lit(last_trade, dtype=UTC_TIME)
    is_newest_trade = ((pl.col("at") == newest) & (pl.col("at") != pl.col("ts"))).fill_null(False)
    superseded = pl.col("ts").is_in(rows.filter(is_newest_trade)["ts"].implode())
    current = rows.filter(is_newest_trade | ~superseded).unique(["ts", *VALUES])
    repeated = current.filter(pl.col("ts").is_duplicated()).sort("ts")
    if repeated.height:
        starts = first_few(repeated["ts"].unique(maintain_order=True))
        raise malformed(f"bars that are sent twice and differ: {starts}")
    absent = [pl.lit(None, dtype=CANDLE_SCHEMA[name]).alias(name) for name in ("vwap", "trades")]
    return current.sort("ts").with_columns(absent).select(CANDLE_SCHEMA.names())
