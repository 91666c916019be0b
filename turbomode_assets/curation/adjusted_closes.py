"""Audit of a vendor's adjusted closes against the factors that its own events imply."""

import polars as pl

from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.curation import reasons


def screen_adjusted_closes(
    closes: pl.DataFrame, dividends: pl.DataFrame, splits: pl.DataFrame, config: CurationConfig
) -> pl.DataFrame:
    """Find days on which adjusted close / close does not step as the day's events say.

    `closes`: symbol, day (a date or time), close and adjusted_close; rows without a close are
    passed over, an event on such a day is due on the next. `splits` are those that the closes are
    not yet adjusted for. Returned: symbol, day, reason, old_value (share of the price that was
    taken off, or the adjusted close that is none) and new_value (share that was due).
    """
    tolerance = config.dividends.adjusted_close_tolerance
    rows = (
        closes.filter(pl.col("close") > 0).sort("symbol", "day").with_columns(date=_date("day"))
    ).with_row_index("row")
    adjusted = pl.col("adjusted_close")
    is_price = (adjusted.is_finite() & (adjusted > 0)).fill_null(False)
    factor = pl.when(is_price).then(adjusted / pl.col("close"))
    taken = 1 - factor.shift(1).over("symbol") / factor
    stepped = (
        rows.join(_due(rows, dividends, splits), on="row", how="left", validate="1:1")
        .with_columns(pl.col("due").fill_null(0.0), taken=taken)
        .sort("row")
    )
    times = pl.col("taken") / pl.col("due")
    reason = (
        pl.when(~is_price)
        .then(pl.lit(reasons.NO_ADJUSTED_CLOSE))
        .when(((pl.col("taken") - pl.col("due")).abs() <= tolerance).fill_null(True))
        .then(None)
        .when(pl.col("due") == 0)
        .then(pl.lit(reasons.ADJUSTMENT_WITHOUT_EVENT))
        .when(times.is_between(0.005, 0.02) | times.is_between(50, 200))
        .then(pl.lit(reasons.DIVIDEND_ADJUSTED_IN_WRONG_UNIT))
        .when(times.abs() <= 0.005)
        .then(pl.lit(reasons.DIVIDEND_NOT_ADJUSTED))
        .when(times.is_between(1.7, 2.3))
        .then(pl.lit(reasons.DIVIDEND_ADJUSTED_TWICE))
        .otherwise(pl.lit(reasons.ADJUSTMENT_DISAGREES))
    )
    return (
        stepped.with_columns(reason=reason)
        .filter(pl.col("reason").is_not_null())
        .select(
            "symbol",
            "day",
            "reason",
            old_value=pl.when(is_price).then("taken").otherwise("adjusted_close"),
            new_value=pl.when(is_price).then("due"),
        )
    )


def _date(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Date)


def _due(rows: pl.DataFrame, dividends: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """Share of the price before each row that the events up to it take off."""
    kept = 1 - pl.col("amount") / pl.col("previous_close")
    events = pl.concat(
        [
            dividends.select("symbol", "ex_date", kept=kept),
            splits.select("symbol", "ex_date", kept=1 / pl.col("ratio")),
        ]
    )
    days = rows.group_by("symbol", "date").agg(pl.col("row").min())
    return (
        events.sort("ex_date")
        .join_asof(
            days.sort("date"),
            left_on="ex_date",
            right_on="date",
            by="symbol",
            strategy="forward",
            check_sortedness=False,  # sorted just above; polars cannot tell within groups
        )
        .drop_nulls("row")
        .group_by("row")
        .agg(due=1 - pl.col("kept").product())
    )
