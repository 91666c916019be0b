"""From a vendor's candles to rows of `candles`, and what is noticed on the way."""

import datetime as dt

import polars as pl

from turbomode_assets.contracts.payload import payload_digests
from turbomode_assets.contracts.quality_log import DISAGREEMENT, NO_DATA, REVISION, log_rows
from turbomode_assets.contracts.tables import CANDLES, DATA_QUALITY_LOG
from turbomode_assets.sessions import NEW_YORK, session_open, session_opens, sessions_of
from turbomode_assets.vendors.protocol import Candles, Request
from turbomode_assets.vendors.timestamps import ROUND_THE_CLOCK

WHOLE_SESSION = "session"
WHOLE_BAR = "bar"

_VALUES = ("open", "high", "low", "close", "volume")
_PRICES = ("open", "high", "low", "close")
_TIME = CANDLES.schema["ingested_at"]


def candle_rows(
    vendor: str, delivered: Candles, request: Request, ingested_at: dt.datetime
) -> pl.DataFrame:
    """Rows of `candles` for one answer; what lies outside the request is left out.

    A candle belongs to the session of its start's date (New York for XNYS, UTC for 24/7), or to
    the next session where that day has none. `payload_sha256` digests the row as delivered.
    """
    zone = "UTC" if request.calendar == ROUND_THE_CLOCK else NEW_YORK
    day = delivered.frame["ts"].dt.convert_time_zone(zone).dt.date()
    rows = delivered.frame.with_columns(
        sessions_of(day).alias("session"),
        symbol=pl.lit(request.symbol),
        timeframe=pl.lit(request.timeframe),
        vendor=pl.lit(vendor),
        adjustment=pl.lit(delivered.adjustment),
        adjusted_as_of=pl.lit(delivered.adjusted_as_of, dtype=pl.Date),
        ingested_at=pl.lit(ingested_at).cast(_TIME),
    ).filter(pl.col("session").is_between(request.span.first, request.span.last))
    return (
        rows.with_columns(payload_sha256=payload_digests(rows))
        .select(CANDLES.column_names)
        .sort(CANDLES.sort_by)
    )


def noticed(
    request: Request,
    kind: str,
    vendor: str,
    detail: str,
    knowledge_ts: dt.datetime,
    *,
    other_vendor: str | None = None,
) -> pl.DataFrame:
    """One row of `data_quality_log` about all sessions of a request."""
    row = {
        "symbol": request.symbol,
        "timeframe": request.timeframe,
        "first_session": request.span.first,
        "session": request.span.last,
        "kind": kind,
        "ts": session_open(request.span.first),
        "column": WHOLE_SESSION,
        "vendor": vendor,
        "other_vendor": other_vendor,
        "detail": detail,
        "knowledge_ts": knowledge_ts,
    }
    schema = {name: DATA_QUALITY_LOG.schema[name] for name in row}
    return log_rows(pl.DataFrame([row], schema=schema))


def absent_sessions(
    vendor: str, rows: pl.DataFrame, request: Request, knowledge_ts: dt.datetime
) -> pl.DataFrame:
    """Rows of `data_quality_log` for sessions of which an answer with data had none."""
    present = set(rows["session"])
    absent = [session for session in request.span.sessions if session not in present]
    row = {
        "symbol": request.symbol,
        "timeframe": request.timeframe,
        "kind": NO_DATA,
        "column": WHOLE_SESSION,
        "vendor": vendor,
        "other_vendor": None,
        "detail": "the vendor delivered other sessions of the question, but none of this one",
        "knowledge_ts": knowledge_ts,
    }
    sessions = pl.Series("session", absent, dtype=pl.Date)
    frame = sessions.to_frame().with_columns(
        *(
            pl.lit(value, dtype=DATA_QUALITY_LOG.schema[name]).alias(name)
            for name, value in row.items()
        ),
        first_session=pl.col("session"),
        ts=session_opens(sessions),
    )
    return log_rows(frame)


def differences(
    stored: pl.DataFrame,
    delivered: pl.DataFrame,
    splits: pl.DataFrame,
    tolerance_bps: float,
) -> pl.DataFrame:
    """Rows of `data_quality_log` for what an answer says otherwise than the store.

    `stored` and `delivered` are rows of `candles` of one question. The same vendor saying another
    value, leaving a bar out or adding one, is a `revision`; another vendor whose price differs by
    more than the tolerance is a `disagreement`. Prices are compared in the basis of the answer:
    a split between two fetches is no revision.
    """
    pairs = _in_one_basis(stored, splits, delivered).join(
        delivered, on=CANDLES.key, how="full", suffix="_new", coalesce=True, validate="1:1"
    )
    same_vendor = (
        pl.col("vendor").is_null()
        | pl.col("vendor_new").is_null()
        | (pl.col("vendor") == pl.col("vendor_new"))
    )
    found = [
        _bars_that_came_or_went(pairs.filter(same_vendor)),
        *(_changed(pairs, name, same_vendor, tolerance_bps) for name in _VALUES),
    ]
    return log_rows(pl.concat(found))


def _in_one_basis(
    stored: pl.DataFrame, splits: pl.DataFrame, delivered: pl.DataFrame
) -> pl.DataFrame:
    """Restate stored split-adjusted rows as of the answer's `adjusted_as_of`."""
    until = delivered["adjusted_as_of"].max()
    factor = pl.lit(1.0)
    for symbol, ex_date, ratio in splits.select("symbol", "ex_date", "ratio").iter_rows():
        between = (
            (pl.col("symbol") == symbol)
            & (pl.col("adjustment") == "split")
            & (pl.col("adjusted_as_of") < ex_date)
            & (pl.lit(ex_date) <= pl.lit(until, dtype=pl.Date))
        )
        factor = factor * pl.when(between).then(ratio).otherwise(1.0)
    return stored.with_columns(
        *((pl.col(name) / factor).alias(name) for name in _PRICES),
        volume=pl.col("volume") * factor,
    )


def _bars_that_came_or_went(pairs: pl.DataFrame) -> pl.DataFrame:
    one_sided = pairs.filter(pl.col("vendor").is_null() != pl.col("vendor_new").is_null())
    gone = pl.col("vendor_new").is_null()
    detail = pl.when(gone).then(pl.lit("the bar is no longer delivered"))
    return one_sided.select(
        *_about(REVISION, WHOLE_BAR),
        old_value=pl.col("close"),
        new_value=pl.col("close_new"),
        detail=detail.otherwise(pl.lit("the bar was not delivered before")),
    )


def _changed(
    pairs: pl.DataFrame, column: str, same_vendor: pl.Expr, tolerance_bps: float
) -> pl.DataFrame:
    old, new = pl.col(column), pl.col(f"{column}_new")
    both = pl.col("vendor").is_not_null() & pl.col("vendor_new").is_not_null()
    # A restated price differs from the delivered one by rounding alone.
    revised = old.is_null() != new.is_null()
    revised |= ((old - new).abs() > 1e-9 * pl.max_horizontal(old.abs(), new.abs())).fill_null(False)
    apart_bps = (old / new - 1).abs() * 10_000
    disagreed = (apart_bps > tolerance_bps).fill_null(False) & pl.lit(column in _PRICES)
    frame = pairs.filter(both & pl.when(same_vendor).then(revised).otherwise(disagreed))
    kind = pl.when(same_vendor).then(pl.lit(REVISION)).otherwise(pl.lit(DISAGREEMENT))
    detail = pl.when(same_vendor).then(pl.lit("the vendor changed the value"))
    return frame.select(
        *_about(kind, column),
        old_value=old,
        new_value=new,
        detail=detail.otherwise(pl.lit(f"vendors differ by more than {tolerance_bps:g} bps")),
    )


def _about(kind: pl.Expr | str, column: str) -> list[pl.Expr]:
    session = pl.coalesce("session", "session_new")
    return [
        pl.col("symbol", "timeframe", "ts"),
        session.alias("first_session"),
        session.alias("session"),
        (pl.lit(kind) if isinstance(kind, str) else kind).alias("kind"),
        pl.lit(column).alias("column"),
        pl.coalesce("vendor_new", "vendor").alias("vendor"),
        pl.col("vendor").alias("other_vendor"),
        pl.coalesce("ingested_at_new", "ingested_at").alias("knowledge_ts"),
    ]
