"""The way from daily candles as delivered to sound ones, and every finding on it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.tables import BARS, REPAIRS
from turbomode_assets.curation import reasons
from turbomode_assets.curation.days import ROUND_THE_CLOCK, with_day
from turbomode_assets.curation.dividend_screening import usable_dividends
from turbomode_assets.curation.price_bounds import mend_bounds
from turbomode_assets.curation.screening import screen
from turbomode_assets.curation.screening_context import split_product
from turbomode_assets.sessions import offset_session, session_closes, session_indices

_CANDLE = ["symbol", "ts"]
"""Key among the candles of one timeframe."""
_FOUND = ["symbol", "session", "ts", "reason", "column", "old_value", "new_value", "action"]
_NEEDED = (
    "symbol",
    "ts",
    "session",
    *PRICES,
    "volume",
    "vendor",
    "adjustment",
    "adjusted_as_of",
    "ingested_at",
)


@dataclass(frozen=True)
class Examination:
    """Sound candles, with their calendar, day and split_product, and what was found on the way."""

    candles: pl.DataFrame
    findings: pl.DataFrame
    """symbol, session, ts, reason, column, old_value, new_value, action."""


def examine(
    candles: pl.DataFrame,
    instruments: pl.DataFrame,
    splits: pl.DataFrame,
    dividends: pl.DataFrame,
    config: CurationConfig,
    since: dt.date | None,
) -> Examination:
    """Judge daily candles by themselves, then beside each other, then by their bounds.

    Raises:
        MissingDataError: a candle's symbol is not among the instruments.
    """
    daily = with_day(candles.filter(pl.col("timeframe") == "1d").select(_NEEDED), instruments)
    first = since or dt.date.min
    reported = pl.col("session") >= first
    judged = daily.with_columns(_own_fault(daily))
    found = [_left_out(judged.filter(pl.col("reason").is_not_null() & reported))]
    kept, doubles = _last_arrived(judged.filter(pl.col("reason").is_null()).drop("reason"))
    found.append(_left_out(doubles, reasons.DUPLICATE_CANDLE))
    kept, screened = _screened(kept, splits, dividends, config)
    kept = kept.filter(reported)
    mended = mend_bounds(kept)
    found.append(_left_out(mended.beyond_repair, reasons.IRRECONCILABLE_PRICES))
    kept, closeless = _with_session_day(mended.candles)
    found.append(_left_out(closeless, reasons.NO_SESSION_CANDLE))
    changes = pl.concat(
        [screened, mended.changes.with_columns(action=pl.lit("repaired")).select(_FOUND)]
    )
    gone = changes.filter(pl.col("action") == "left_out")
    changed = changes.filter(pl.col("action") != "left_out")
    found += [gone, changed.join(kept.select(_CANDLE), on=_CANDLE, how="semi")]
    around_the_clock = (pl.col("calendar") == ROUND_THE_CLOCK) & reported
    found.append(_missing_days(daily.filter(around_the_clock), kept, instruments))
    findings = pl.concat(found).filter(reported).sort(*REPAIRS.sort_by, "action")
    return Examination(kept, findings)


def _own_fault(daily: pl.DataFrame) -> pl.Expr:
    """Reason why a candle is left out whatever the others are, else null."""
    around_the_clock = pl.col("calendar") == ROUND_THE_CLOCK
    days = daily["session"].unique()
    closes = dict(zip(days, session_closes(days), strict=True))
    day_over = pl.col("day").cast(REPAIRS.schema["ts"]) + pl.duration(days=1)
    session_over = pl.col("session").replace_strict(
        closes, default=None, return_dtype=REPAIRS.schema["ts"]
    )
    over = pl.when(around_the_clock).then(day_over).otherwise(session_over)
    rules = (
        (reasons.OFF_SESSION, ~around_the_clock & (pl.col("day") != pl.col("session"))),
        (reasons.MISSING_PRICE, pl.any_horizontal(pl.col(name).is_null() for name in PRICES)),
        (reasons.NON_POSITIVE_PRICE, pl.any_horizontal(pl.col(name) <= 0 for name in PRICES)),
        (reasons.BEFORE_CLOSE, pl.col("ingested_at") < over),
    )
    fault = pl.lit(None, dtype=pl.String)
    for reason, rule in reversed(rules):
        fault = pl.when(rule).then(pl.lit(reason)).otherwise(fault)
    return fault.alias("reason")


def _left_out(
    candles: pl.DataFrame, reason: str | None = None, *, action: str = "left_out"
) -> pl.DataFrame:
    return candles.select(
        "symbol",
        "session",
        "ts",
        reason=pl.lit(reason) if reason else pl.col("reason"),
        column=pl.lit("row"),
        old_value=pl.col("close"),
        new_value=pl.lit(None, dtype=pl.Float64),
        action=pl.lit(action),
    )


def _last_arrived(candles: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split into the candle of each symbol and day that arrived last, and the others.

    A candle whose prices contradict each other gives way to one whose do not.
    """
    same_day = (pl.col("symbol") == pl.col("symbol").shift(1)) & (
        pl.col("day") == pl.col("day").shift(1)
    )
    marked = candles.with_columns(again=same_day.fill_null(False))
    if not marked["again"].any():
        return candles, candles.clear()
    several = pl.col("again") | pl.col("again").shift(-1).fill_null(False)
    crowd = marked.filter(several).drop("again")
    hopeless = mend_bounds(crowd).beyond_repair.select(*_CANDLE, hopeless=pl.lit(True))
    ordered = (
        crowd.join(hopeless, on=_CANDLE, how="left", validate="1:1")
        .sort("symbol", "day", pl.col("hopeless").is_null(), "ingested_at", "ts")
        .drop("hopeless")
    )
    last = ordered.unique(["symbol", "day"], keep="last", maintain_order=True)
    others = ordered.join(last, on=_CANDLE, how="anti")
    alone = marked.filter(~several).drop("again")
    return pl.concat([alone, last]).sort("symbol", "day"), others


def _screened(
    candles: pl.DataFrame, splits: pl.DataFrame, dividends: pl.DataFrame, config: CurationConfig
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Apply the verdicts of screening; their findings come beside the candles."""
    in_prices = pl.col("adjustment") == "split_dividend"
    is_split = pl.col("adjustment") == "split"
    position = session_indices(candles["session"])
    rows = candles.with_columns(
        position=pl.when(pl.col("calendar") == ROUND_THE_CLOCK)
        .then(pl.col("day").to_physical().cast(pl.Int64))
        .otherwise(position),
        split_through=pl.when(is_split).then("adjusted_as_of"),
        no_event_through=pl.when(in_prices).then("adjusted_as_of"),
    )
    rows = rows.with_columns(split_product(rows, splits))
    usable, _ = usable_dividends(dividends, config)
    verdicts = screen(rows, splits, usable, config)
    at = verdicts["row"]
    findings = verdicts.with_columns(
        rows["symbol"].gather(at), rows["session"].gather(at), rows["ts"].gather(at)
    ).select(_FOUND)
    gone = verdicts.filter(pl.col("action") == "left_out")["row"]
    repaired = verdicts.filter(pl.col("action") == "repaired")
    mended = rows.with_columns(
        _replaced(rows[name], repaired.filter(pl.col("column") == name))
        for name in (*PRICES, "volume")
    ).drop("position", "split_through", "no_event_through")
    if gone.is_empty():
        return mended, findings
    return mended.with_row_index("_row").filter(~pl.col("_row").is_in(gone.implode())).drop(
        "_row"
    ), findings


def _replaced(values: pl.Series, repaired: pl.DataFrame) -> pl.Series:
    if repaired.is_empty():
        return values
    return values.clone().scatter(repaired["row"], repaired["new_value"])


def _with_session_day(candles: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split into candles whose session has one on its own day, and those without a close."""
    early = candles.filter(pl.col("day") != pl.col("session"))
    if early.is_empty():
        return candles, early
    closed = candles.filter(pl.col("day") == pl.col("session"))
    kept = candles.join(closed, on=BARS.key, how="semi")
    return kept, candles.join(closed, on=BARS.key, how="anti")


def _missing_days(
    delivered: pl.DataFrame, kept: pl.DataFrame, instruments: pl.DataFrame
) -> pl.DataFrame:
    """Days without a candle inside the bars of 24/7 symbols, from the first session on."""
    bars = kept.filter(pl.col("calendar") == ROUND_THE_CLOCK).select(BARS.key).unique()
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
    return _left_out(as_candles, reasons.MISSING_DAY, action="flagged")


def _days_up_to(session: dt.date) -> Sequence[dt.date]:
    """Calendar days after the previous session up to this one."""
    count = (session - offset_session(session, -1)).days
    return [session - dt.timedelta(days=back) for back in reversed(range(count))]
