"""From candles as delivered to one clean bar for each symbol and session, in unadjusted prices.

The bars of a session follow from the candles of that session alone (and the splits that undo its
vendor's adjustment), so a range and its sessions one by one give the same rows.
"""

import datetime as dt
from collections.abc import Sequence

import polars as pl

from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.tables import BARS, REPAIRS
from turbomode_assets.curation import reasons
from turbomode_assets.curation.corporate_actions import undo_splits
from turbomode_assets.curation.days import ROUND_THE_CLOCK, with_day
from turbomode_assets.curation.price_bounds import mend_bounds
from turbomode_assets.sessions import offset_session

_BAR = ["symbol", "session"]


def curate(
    candles: pl.DataFrame, instruments: pl.DataFrame, splits: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of `bars` and `repairs` for daily candles; other timeframes are passed over.

    `candles`, `instruments` (symbol_metadata) and `splits` are in their contracts. Values are
    changed and candles left out for the reasons in `reasons.REASONS` and no other.

    A 24/7 symbol's bar joins the days after the previous session up to the session: open of the
    first, highest high, lowest low, close of the last, sum of volumes (null where one is). It needs
    a candle on the session's own day; another missing day is noted and the bar made without it.

    Candles delivered `split`-adjusted as of A are taken back to unadjusted with the splits whose
    ex-date lies in (day, A], and marked `raw`. `split_dividend` cannot be taken back: such bars
    keep their basis and mark, and their dollar volume is in that basis.

    Raises:
        MissingDataError: a candle's symbol is not among the instruments.
    """
    daily = with_day(candles.filter(pl.col("timeframe") == "1d"), instruments)
    around_the_clock = pl.col("calendar") == ROUND_THE_CLOCK
    off_session = ~around_the_clock & (pl.col("day") != pl.col("session"))
    missing = pl.any_horizontal(pl.col(name).is_null() for name in PRICES)
    non_positive = pl.any_horizontal(pl.col(name) <= 0 for name in PRICES)
    left_out = []
    kept = daily
    for rule, reason in (
        (off_session, reasons.OFF_SESSION),
        (missing, reasons.MISSING_PRICE),
        (non_positive, reasons.NON_POSITIVE_PRICE),
    ):
        left_out.append(_left_out(kept.filter(rule), reason))
        kept = kept.filter(~rule)
    mended = mend_bounds(kept)
    left_out.append(_left_out(mended.beyond_repair, reasons.IRRECONCILABLE_PRICES))
    kept, doubles = _last_arrived(mended.candles)
    left_out.append(_left_out(doubles, reasons.DUPLICATE_CANDLE))
    kept, closeless = _with_session_day(kept)
    left_out.append(_left_out(closeless, reasons.NO_SESSION_CANDLE))
    changes = mended.changes.join(kept, on=["symbol", "ts"], how="semi").select(
        REPAIRS.column_names
    )
    gaps = _missing_days(daily.filter(around_the_clock), kept, instruments)
    repairs = pl.concat([changes, gaps, *left_out]).sort(REPAIRS.sort_by)
    return _bars(undo_splits(kept, splits), repairs), repairs


def _left_out(candles: pl.DataFrame, reason: str) -> pl.DataFrame:
    return candles.select(
        "symbol",
        "session",
        "ts",
        reason=pl.lit(reason),
        column=pl.lit("row"),
        old_value=pl.col("close"),
        new_value=pl.lit(None, dtype=pl.Float64),
    )


def _last_arrived(candles: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split into the candle of each symbol and day that arrived last, and the others."""
    ordered = candles.sort("symbol", "day", "ingested_at", "ts")
    is_last = (pl.col("symbol") != pl.col("symbol").shift(-1)) | (
        pl.col("day") != pl.col("day").shift(-1)
    )
    marked = is_last.fill_null(True)
    return ordered.filter(marked), ordered.filter(~marked)


def _with_session_day(candles: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split into candles whose session has one on its own day, and those without a close."""
    closed = candles.filter(pl.col("day") == pl.col("session"))
    return candles.join(closed, on=_BAR, how="semi"), candles.join(closed, on=_BAR, how="anti")


def _missing_days(
    delivered: pl.DataFrame, kept: pl.DataFrame, instruments: pl.DataFrame
) -> pl.DataFrame:
    """Days without a candle inside the bars of 24/7 symbols, from the first session on."""
    bars = kept.filter(pl.col("calendar") == ROUND_THE_CLOCK).select(_BAR).unique()
    sessions = bars["session"].unique()
    days = pl.DataFrame(
        {"session": sessions, "day": [_days_up_to(session) for session in sessions]},
        schema={"session": pl.Date(), "day": pl.List(pl.Date())},
    ).explode("day")
    listed = instruments.select("symbol", "first_session")
    expected = (
        bars.join(days, on="session")
        .join(listed, on="symbol", validate="m:1")
        .filter(pl.col("day") >= pl.col("first_session").fill_null(dt.date.min))
    )
    absent = expected.join(delivered, on=["symbol", "day"], how="anti")
    as_candles = absent.with_columns(
        ts=pl.col("day").cast(REPAIRS.schema["ts"]), close=pl.lit(None, dtype=pl.Float64)
    )
    return _left_out(as_candles, reasons.MISSING_DAY)


def _days_up_to(session: dt.date) -> Sequence[dt.date]:
    """Calendar days after the previous session up to this one."""
    count = (session - offset_session(session, -1)).days
    return [session - dt.timedelta(days=back) for back in reversed(range(count))]


def _bars(candles: pl.DataFrame, repairs: pl.DataFrame) -> pl.DataFrame:
    """Join each session's candles into one bar and write down what was changed in it."""
    volume = pl.col("volume")
    bars = (
        candles.sort("symbol", "ts")
        .group_by(_BAR, maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.when(volume.null_count() == 0).then(volume.sum()).alias("volume"),
            pl.col("adjustment", "adjusted_as_of", "vendor").last(),
        )
    )
    codes = (
        repairs.filter(pl.col("reason") != reasons.OFF_SESSION)
        .group_by(_BAR)
        .agg(pl.col("reason").unique().sort().str.join(",").alias("repairs"))
    )
    return (
        bars.join(codes, on=_BAR, how="left", validate="1:1")
        .with_columns(dollar_volume=pl.col("close") * pl.col("volume"))
        .select(BARS.column_names)
        .sort(BARS.sort_by)
    )
