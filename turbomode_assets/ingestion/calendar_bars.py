"""Weekly and monthly bars, derived from the daily candles that are stored."""

import datetime as dt
from collections.abc import Iterator, Sequence

import polars as pl

from turbomode_assets.contracts.tables import CANDLES, DATA_QUALITY_LOG
from turbomode_assets.contracts.timeframes import INTRADAY_MINUTES
from turbomode_assets.curation import first_day_of_periods, resample_calendar
from turbomode_assets.ingestion.fetched import Batch
from turbomode_assets.ingestion.settled import SettledCells
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.sessions import SessionSpan, session_of, sessions_between

CALLER = "raw_candles"
WEEK = dt.timedelta(days=7)


def calendar_bars(
    tools: IngestionTools, instruments: pl.DataFrame, splits: pl.DataFrame, span: SessionSpan
) -> Iterator[Batch]:
    """Every week and month that touches the span and is complete in the store, as one batch.

    A day that was fetched again changes the bars it is part of, so they are derived anew to the
    end of the last week and month that the span touches, as far as daily candles are stored. A
    symbol of which a day is still missing has no bar of that week and month.
    """
    names = [n for n in tools.fetch.derived_timeframes if n not in INTRADAY_MINUTES]
    if not names or not tools.master.exists("candles"):
        return
    periods = _whole_periods(span, names)
    daily = tools.master.read(
        "candles", caller=CALLER, span=periods, timeframes=["1d"]
    ).rows.filter(pl.col("symbol").is_in(instruments["symbol"].implode()))
    if daily.is_empty():
        return
    complete_through = daily.select(pl.col("session").max()).item()
    reach = SessionSpan(span.first, max(span.last, complete_through))
    bars = [
        resample_calendar(daily, name, instruments, splits, complete_through=complete_through)
        for name in names
    ]
    inside = pl.col("session").is_between(reach.first, reach.last)
    symbols = daily["symbol"].unique().sort().to_list()
    missing = SettledCells(tools, instruments, periods).missing_cells("1d")
    whole = _without_gaps(pl.concat(bars).filter(inside), missing)
    yield Batch(whole, reach, symbols, names, DATA_QUALITY_LOG.empty())


def _without_gaps(bars: pl.DataFrame, missing: pl.DataFrame) -> pl.DataFrame:
    """Bars between whose start and session no cell of their symbol is missing."""
    gaps = missing.select("symbol", gap="session")
    broken = bars.join(gaps, on="symbol").filter(
        pl.col("gap").is_between(pl.col("ts").dt.date(), pl.col("session"))
    )
    return bars.join(broken, on=CANDLES.key, how="anti", maintain_order="left")


def _whole_periods(span: SessionSpan, timeframes: Sequence[str]) -> SessionSpan:
    """The span widened to whole weeks and months, at both ends."""
    first = min(first_day_of_periods(span, name) for name in timeframes)
    next_month = (span.last.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    last = max(next_month, span.last + WEEK)
    return SessionSpan(session_of(first), sessions_between(span.last, last)[-1])
