"""Longer bars from shorter ones: intraday bars within sessions, weeks and months of days.

First open, highest high, lowest low, last close, sums of volume and trades. A bar that should have
been joined but is missing, or has no price, is passed over; it never shifts the grid.
"""

import datetime as dt

import polars as pl

from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.errors import ContractError, InputError
from turbomode_assets.contracts.payload import payload_digests
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import CANDLES, DIVIDENDS
from turbomode_assets.contracts.timeframes import DERIVED_FROM, INTRADAY_MINUTES
from turbomode_assets.curation.corporate_actions import adjustment_factors
from turbomode_assets.curation.days import ROUND_THE_CLOCK, with_day
from turbomode_assets.sessions import (
    MINUTES_PER_DAY,
    SessionSpan,
    session_minutes,
    session_opens,
    sessions_between,
    sessions_of,
)

_PERIODS = {"1wk": "1w", "1mo": "1mo"}
"""Calendar timeframes and what polars calls them; weeks begin on Monday."""
_PROVENANCE = ("vendor", "adjustment", "adjusted_as_of")
_BAR = ["symbol", "ts"]


def resample_intraday(
    candles: pl.DataFrame, timeframe: str, instruments: pl.DataFrame
) -> pl.DataFrame:
    """Join 1m or 1h candles into candles of a longer intraday timeframe, session by session.

    `candles` hold the timeframe that DERIVED_FROM names, `instruments` is symbol_metadata. Bars are
    counted from the XNYS session's open, around the clock from midnight of each UTC day; the last
    one is short where the day is no multiple of it. Volume and trades are null where one of them
    is, vwap (weighted by volume) where it is missing for shares that were traded.

    Raises:
        ContractError: candles of another timeframe, off the grid of their session, or of more than
            one vendor or adjustment in a session.
        InputError: `timeframe` is no derived intraday one.
        MissingDataError: a candle's symbol is not among the instruments.
    """
    _require_timeframe(timeframe, tuple(name for name in DERIVED_FROM if name in INTRADAY_MINUTES))
    base = DERIVED_FROM[timeframe]
    _require_base(candles, base)
    if candles.is_empty():
        return CANDLES.empty()
    rows = _with_session_grid(with_day(candles, instruments))
    _refuse_off_grid(rows, INTRADAY_MINUTES[base])
    _refuse_mixed_provenance(rows)
    minutes = INTRADAY_MINUTES[timeframe]
    into_session = pl.col("minute") // minutes * minutes
    starts = pl.col("grid_start") + pl.duration(minutes=into_session)
    return _as_candles(_join_bars(rows.with_columns(starts.alias("ts"))), timeframe)


def resample_calendar(
    daily: pl.DataFrame,
    timeframe: str,
    instruments: pl.DataFrame,
    splits: pl.DataFrame,
    *,
    complete_through: dt.date,
) -> pl.DataFrame:
    """Join daily candles into weeks (Monday to Sunday) or calendar months that are over.

    A period is over when its last XNYS session, or around the clock its last UTC day, is not after
    `complete_through`; it is stored under that session (the session that the UTC day belongs to)
    and starts with its first session's open (midnight UTC). Neither moves when a symbol has no
    candle on that day. Nothing after `complete_through` is read. `daily` must hold whole periods:
    `first_day_of_periods` says from where. Candles of XNYS symbols on other days are passed over.

    Candles delivered in different share bases are brought into that of the period's last candle,
    with the splits between (a raw candle's basis is its day). Vendors' names are joined with "+".

    Raises:
        ContractError: candles of another timeframe; or prices with dividends in them beside others,
            or as of different days: their difference cannot be told from splits.
        InputError: `timeframe` is neither 1wk nor 1mo.
        MissingDataError: a candle's symbol is not among the instruments.
    """
    _require_timeframe(timeframe, tuple(_PERIODS))
    _require_base(daily, DERIVED_FROM[timeframe])
    rows = _with_period(with_day(daily, instruments), _PERIODS[timeframe]).filter(
        pl.col("last_day") <= complete_through
    )
    if rows.is_empty():
        return CANDLES.empty()
    _refuse_mixed_dividends(rows)
    restated = _in_last_basis(rows, splits).with_columns(
        ts="period_start", session="period_session"
    )
    return _as_candles(_join_bars(restated), timeframe)


def first_day_of_periods(span: SessionSpan, timeframe: str) -> dt.date:
    """First day whose candles can be in a weekly or monthly bar stored under a session of the span.

    Raises:
        InputError: `timeframe` is neither 1wk nor 1mo.
    """
    _require_timeframe(timeframe, tuple(_PERIODS))
    day = span.first_day
    return day.replace(day=1) if timeframe == "1mo" else day - dt.timedelta(days=day.weekday())


def _with_session_grid(rows: pl.DataFrame) -> pl.DataFrame:
    """Add where each row's grid starts, its minute there, and how many minutes there are."""
    sessions = rows.select(pl.col("session").unique().sort())
    facts = sessions.with_columns(
        open=session_opens(sessions["session"]), minutes=session_minutes(sessions["session"])
    ).rename({"open": "session_open"})
    around_the_clock = pl.col("calendar") == ROUND_THE_CLOCK
    midnight = pl.col("ts").dt.truncate("1d")
    return (
        rows.join(facts, on="session", validate="m:1", maintain_order="left")
        .with_columns(
            grid_start=pl.when(around_the_clock).then(midnight).otherwise("session_open"),
            grid_minutes=pl.when(around_the_clock).then(MINUTES_PER_DAY).otherwise("minutes"),
        )
        .with_columns(minute=(pl.col("ts") - pl.col("grid_start")).dt.total_minutes())
    )


def _refuse_off_grid(rows: pl.DataFrame, base_minutes: int) -> None:
    into_session = pl.col("ts") - pl.col("grid_start")
    on_grid = (into_session == pl.duration(minutes="minute")) & (
        pl.col("minute") % base_minutes == 0
    )
    inside = pl.col("minute").is_between(0, pl.col("grid_minutes"), closed="left")
    strays = rows.filter(~(on_grid & inside))
    if strays.height:
        raise ContractError(
            "candles that do not start on the grid of their session: "
            f"{describe_rows(strays, ['symbol', 'session', 'ts'])}",
            where="resampling",
            fix="let the vendor's adapter count bars from the session's open and leave out what "
            "was traded outside it, then fetch these sessions again",
        )


def _refuse_mixed_provenance(rows: pl.DataFrame) -> None:
    versions = rows.select("symbol", "session", *_PROVENANCE).unique()
    mixed = versions.filter(pl.struct("symbol", "session").is_duplicated())
    if mixed.height:
        raise ContractError(
            "one session's candles come from several deliveries: "
            f"{describe_rows(mixed.sort('symbol', 'session', *_PROVENANCE))}",
            where="resampling",
            fix="fetch these sessions again, whole, from one vendor",
        )


def _with_period(rows: pl.DataFrame, every: str) -> pl.DataFrame:
    """Add each row's period: its start, last day, and session; days off the calendar are left out.

    Rows keep their order.
    """
    rows = rows.with_columns(period=pl.col("day").dt.truncate(every))
    if rows.is_empty():
        return rows.with_columns(last_day="day", period_start="ts", period_session="session")
    starts = rows.select(pl.col("period").unique().sort()).with_columns(
        last_day=pl.col("period").dt.offset_by(every) - pl.duration(days=1)
    )
    days = pl.Series("day", sessions_between(starts["period"][0], starts["last_day"][-1]))
    weeks_of_sessions = (
        days.cast(pl.Date)
        .to_frame()
        .group_by(pl.col("day").dt.truncate(every).alias("period"))
        .agg(first=pl.col("day").min(), last_day=pl.col("day").max())
    )
    exchange = weeks_of_sessions.select(
        "period",
        "last_day",
        calendar=pl.lit("XNYS"),
        period_start=session_opens(weeks_of_sessions["first"]),
        period_session="last_day",
    )
    around_the_clock = starts.select(
        "period",
        "last_day",
        calendar=pl.lit(ROUND_THE_CLOCK),
        period_start=pl.col("period").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        period_session=sessions_of(starts["last_day"]),
    )
    off_session = (pl.col("calendar") != ROUND_THE_CLOCK) & (pl.col("day") != pl.col("session"))
    return rows.filter(~off_session).join(
        pl.concat([exchange, around_the_clock]),
        on=["calendar", "period"],
        validate="m:1",
        maintain_order="left",
    )


def _refuse_mixed_dividends(rows: pl.DataFrame) -> None:
    versions = rows.select("symbol", "period", "adjustment", "adjusted_as_of").unique()
    with_dividends = (pl.col("adjustment") == "split_dividend").any().over("symbol", "period")
    mixed = versions.filter(with_dividends & pl.struct("symbol", "period").is_duplicated())
    if mixed.height:
        raise ContractError(
            "one period's candles have dividends in their prices as of different days, or only "
            f"some have: {describe_rows(mixed.sort('symbol', 'period', 'adjusted_as_of'))}",
            where="resampling",
            fix="fetch these weeks or months again as one delivery",
        )


def _in_last_basis(rows: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """Prices and volumes in the shares of the period's last candle, and marked as it is.

    A last candle before the period's last day is brought up to that day: the bar counts for it.
    """
    as_delivered = pl.max_horizontal("day", "adjusted_as_of")
    group = ["symbol", "period"]
    last_mark = [pl.col(name).last().over(group) for name in ("adjustment", "adjusted_as_of")]
    wanted = pl.max_horizontal("last_day", pl.col("adjusted_as_of").last().over(group))
    here = _shares_on(rows.select("symbol", as_delivered.alias("session")), splits)
    there = _shares_on(rows.select("symbol", wanted.alias("session")), splits)
    ratio = there / here
    return rows.with_columns(
        *(pl.col(name) / ratio for name in (*PRICES, "vwap")),
        pl.col("volume") * ratio,
        *last_mark,
    )


def _shares_on(days: pl.DataFrame, splits: pl.DataFrame) -> pl.Series:
    """Shares that one share of the first split's eve has become on each row's day."""
    unadjusted = days.with_columns(
        adjustment=pl.lit("raw"), adjusted_as_of=pl.lit(None, dtype=pl.Date)
    )
    return adjustment_factors(unadjusted, splits, DIVIDENDS.empty())["split_factor"]


def _join_bars(rows: pl.DataFrame) -> pl.DataFrame:
    """Join the rows of each symbol and `ts`, in their order, into one bar."""
    traded = pl.col("volume") > 0
    turnover = (pl.col("vwap") * pl.col("volume")).filter(traded)
    priced = (pl.col("volume").null_count() == 0) & (turnover.null_count() == 0)
    return rows.group_by(_BAR, maintain_order=True).agg(
        pl.col("session").first(),
        pl.col("open").drop_nulls().first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").drop_nulls().last(),
        *(_sum_of_all(name) for name in ("volume", "trades")),
        pl.when(priced & traded.any()).then(turnover.sum() / pl.col("volume").sum()).alias("vwap"),
        pl.col("vendor").unique().sort().str.join("+"),
        pl.col("adjustment", "adjusted_as_of").last(),
        pl.col("ingested_at").max(),
    )


def _sum_of_all(name: str) -> pl.Expr:
    values = pl.col(name)
    return pl.when(values.null_count() == 0).then(values.sum()).alias(name)


def _as_candles(bars: pl.DataFrame, timeframe: str) -> pl.DataFrame:
    """Rows of the CANDLES contract, digested as if a vendor had delivered them."""
    rows = bars.with_columns(timeframe=pl.lit(timeframe))
    return (
        rows.with_columns(payload_sha256=payload_digests(rows))
        .select(CANDLES.column_names)
        .sort(CANDLES.sort_by)
    )


def _require_timeframe(timeframe: str, known: tuple[str, ...]) -> None:
    if timeframe not in known:
        raise InputError(
            f"{timeframe!r} is not derived this way",
            where="resampling",
            fix=f"name one of {', '.join(known)}",
        )


def _require_base(candles: pl.DataFrame, base: str) -> None:
    strangers = candles.filter(pl.col("timeframe") != base)
    if strangers.height:
        raise ContractError(
            f"candles that are not {base}: {describe_rows(strangers, list(CANDLES.key))}",
            where="resampling",
            fix=f"pass the {base} candles only",
        )
