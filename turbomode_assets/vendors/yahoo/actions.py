"""From the events of charts to the splits and dividends of a span."""

import datetime as dt
from collections.abc import Sequence

import polars as pl

from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.vendors.protocol import DIVIDEND_SCHEMA, SPLIT_SCHEMA, CorporateActions
from turbomode_assets.vendors.timestamps import XNYS
from turbomode_assets.vendors.yahoo.failures import malformed
from turbomode_assets.vendors.yahoo.replies import Chart
from turbomode_assets.vendors.yahoo.windows import trading_day

_AMOUNT_SCHEMA = pl.Schema({"ex_date": pl.Date(), "amount": pl.Float64()})


def read_actions(
    charts: Sequence[Chart], bars: pl.DataFrame, span: SessionSpan, asked_from: dt.datetime
) -> CorporateActions:
    """Events with an ex-date inside the span; `bars` are the daily ones from `asked_from` on.

    Raises:
        YahooError: two events of a kind share an ex-date, a dividend is not below its previous
            close, or a bar before it exists but was not sent.
    """
    splits = [
        (_day(second), numerator / denominator)
        for chart in charts
        for second, numerator, denominator in chart.splits
    ]
    dividends = [(_day(second), amount) for chart in charts for second, amount in chart.dividends]
    paid = _in_span(dividends, _AMOUNT_SCHEMA, span, "dividends")
    return CorporateActions(
        _in_span(splits, SPLIT_SCHEMA, span, "splits"),
        _with_previous_close(paid, bars, charts[0].first_trade, asked_from),
    )


def _in_span(
    events: list[tuple[dt.date, float]], schema: pl.Schema, span: SessionSpan, kind: str
) -> pl.DataFrame:
    inside = pl.col("ex_date").is_between(span.first_day, span.last)
    found = pl.DataFrame(events, schema=schema, orient="row").filter(inside).unique()
    repeated = found.filter(pl.col("ex_date").is_duplicated()).sort(found.columns)
    if repeated.height:
        raise malformed(f"{kind} on one day that differ: {describe_rows(repeated, found.columns)}")
    return found.sort("ex_date")


def _with_previous_close(
    dividends: pl.DataFrame,
    bars: pl.DataFrame,
    first_trade: dt.datetime | None,
    asked_from: dt.datetime,
) -> pl.DataFrame:
    closes = bars.filter(pl.col("close") > 0).select(
        day=pl.col("ts").dt.convert_time_zone("America/New_York").dt.date(),
        previous_close="close",
    )
    filled = dividends.join_asof(
        closes.sort("day"),
        left_on="ex_date",
        right_on="day",
        strategy="backward",
        allow_exact_matches=False,
    ).select(DIVIDEND_SCHEMA.names())
    unknown = filled.filter(pl.col("previous_close").is_null())
    if unknown.height and (first_trade is None or first_trade < asked_from):
        shown = describe_rows(unknown, ["ex_date", "amount"])
        raise malformed(f"dividends without a close before them: {shown}")
    eaten = filled.filter(pl.col("amount") >= pl.col("previous_close"))
    if eaten.height:
        shown = describe_rows(eaten, DIVIDEND_SCHEMA.names())
        raise malformed(f"dividends not below the previous close: {shown}")
    return filled.filter(pl.col("previous_close").is_not_null())


def _day(second: int) -> dt.date:
    return trading_day(dt.datetime.fromtimestamp(second, dt.UTC), XNYS)
