"""The public `adjust`: whatever bars one has, with splits and dividends out of the way.

The arithmetic is in `corporate_actions`; here it meets frames from anywhere, and finds
previous closes.
"""

import datetime as dt

import polars as pl

from turbomode_assets.contracts.columns import CLOSE, SESSION, SYMBOL, VOLUME
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.tables import DIVIDENDS
from turbomode_assets.curation.adjustment_inputs import (
    BAR_KEY,
    EVENT_KEY,
    MARKS,
    check_bars,
    checked_dividends,
    checked_splits,
    refuse_rows,
)
from turbomode_assets.curation.corporate_actions import (
    adjust_back,
    adjust_forward,
    adjustment_factors,
    prices_in,
    undo_splits,
)

_RAW = (pl.lit("raw").alias("adjustment"), pl.lit(None, dtype=pl.Date).alias("adjusted_as_of"))


def adjust(
    bars: pl.DataFrame,
    splits: pl.DataFrame,
    dividends: pl.DataFrame,
    *,
    as_of: dt.date | None = None,
) -> pl.DataFrame:
    """Adjust bars for splits and dividends, so that returns are total returns.

    F(t) is the product over events with ex-date <= t of split ratio / (1 - dividend / previous
    close), G(t) that of the split ratios alone. Without `as_of`: prices x F(t), volume / G(t), in
    which no later event changes any earlier value. With it: prices x F(t) / F(as_of), volume x
    G(as_of) / G(t), of bars up to that day: the latest prices are as traded.

    An event on a day without a bar takes effect on the next bar. On one day a split acts before a
    dividend; as the previous close is in the shares the dividend was paid on, the factor is the
    same either way round. Dividends of one day (a regular and a special one) are added.

    Args:
        bars: sorted by symbol and session: symbol, session, volume, any of open, high, low, close
            and vwap; optionally adjustment and adjusted_as_of, as vendors deliver them (`raw`
            without them). `split` as of A is first taken back with the splits after the session up
            to A, those after `as_of` too. `split_dividend` as of A keeps its basis: no event up to
            A moves it. Other columns stay as they are, dollar volume too.
        splits: symbol, ex_date, ratio (new shares per old share), one row for each symbol and day.
        dividends: symbol, ex_date, amount (per share as paid); optionally previous_close, in the
            amount's shares. Where that is absent or null it is the last close before the ex-date,
            divided by the ratios of splits between the two.
        as_of: day whose prices stay as traded; later bars are left out, later events ignored. Such
            bars are marked `split_dividend` as of that day in the columns of marks they came with.

    Raises:
        InputError: columns, types, order or keys are wrong, or a previous close cannot be found.
        ContractError: a ratio, amount or previous close is not above 0, or a dividend is not below
            its previous close.
    """
    check_bars(bars)
    ratios = checked_splits(splits).filter(_of_these(bars))
    paid = checked_dividends(dividends).filter(_of_these(bars))
    unadjusted = undo_splits(_work_frame(bars), ratios)
    if as_of is None:
        paid = _with_previous_close(paid, ratios, unadjusted)
        return bars.with_columns(_results(bars, adjust_forward(unadjusted, ratios, paid)))
    if isinstance(as_of, dt.datetime):
        raise InputError(
            f"as_of is a time, {as_of}", where="adjust", fix="pass a date: as_of.date()"
        )
    known = pl.col("ex_date") <= as_of
    ratios = ratios.filter(known)
    paid = _with_previous_close(paid.filter(known), ratios, unadjusted)
    back = adjust_back(unadjusted, ratios, paid, as_of).with_columns(
        adjustment=pl.lit("split_dividend"),
        adjusted_as_of=pl.max_horizontal(_basis(), pl.lit(as_of)),
    )
    return bars.filter(pl.col(SESSION) <= as_of).with_columns(_results(bars, back))


def _work_frame(bars: pl.DataFrame) -> pl.DataFrame:
    """What adjustment reads of the bars, as the types and with the marks that it expects."""
    numbers = [pl.col(name).cast(pl.Float64) for name in (*prices_in(bars), VOLUME)]
    marks = MARKS if MARKS[0] in bars.columns else _RAW
    work = bars.select(*BAR_KEY, *numbers, *marks, day=SESSION)
    return work.with_columns(pl.col("adjusted_as_of").cast(pl.Date))


def _results(bars: pl.DataFrame, adjusted: pl.DataFrame) -> list[pl.Series]:
    names = (*prices_in(bars), VOLUME, *MARKS)
    return [adjusted[name] for name in names if name in bars.columns]


def _of_these(bars: pl.DataFrame) -> pl.Expr:
    return pl.col(SYMBOL).is_in(bars[SYMBOL].unique().implode())


def _basis() -> pl.Expr:
    """As of when a bar has dividends in its price; null where it has none."""
    return pl.when(pl.col("adjustment") == "split_dividend").then("adjusted_as_of")


def _with_previous_close(
    paid: pl.DataFrame, splits: pl.DataFrame, bars: pl.DataFrame
) -> pl.DataFrame:
    """Fill previous closes that are null from unadjusted bars.

    Raises:
        InputError: there is no traded close before an ex-date, or a split on the same day leaves
            open which shares were paid.
    """
    asked = paid.filter(pl.col("previous_close").is_null()).drop("previous_close")
    if asked.is_empty():
        return paid
    give_it = "give previous_close there, in the shares that the amount was paid on"
    refuse_rows(
        asked.join(splits, on=EVENT_KEY, how="semi"),
        "a dividend and a split on one day, and no previous_close",
        where="dividends of adjust",
        fix=give_it,
    )
    found = asked.sort("ex_date").join_asof(
        _closes(bars),
        left_on="ex_date",
        right_on="closed_on",
        by=SYMBOL,
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,  # sorted just above; polars cannot tell within groups
    )
    refuse_rows(
        found.filter(pl.col("closed_on").is_null()),
        "no close before the ex-date",
        where="dividends of adjust",
        fix=f"{give_it}, add earlier bars, or leave out dividends up to the first bar",
    )
    refuse_rows(
        found.filter(pl.col("basis") > pl.col("closed_on")),
        "the last close before the ex-date has later dividends in it",
        where="dividends of adjust",
        fix=f"{give_it}, or leave out dividends up to the day that all bars are adjusted as of",
    )
    shares = _shares_on(found, "ex_date", splits) / _shares_on(found, "closed_on", splits)
    filled = found.with_columns(previous_close=pl.col(CLOSE) / shares).select(paid.columns)
    return pl.concat([paid.filter(pl.col("previous_close").is_not_null()), filled])


def _closes(bars: pl.DataFrame) -> pl.DataFrame:
    """Closes that were traded, in order of their session; none where bars have no such column."""
    if CLOSE not in bars.columns:
        bars = bars.with_columns(pl.lit(None, dtype=pl.Float64).alias(CLOSE))
    traded = pl.col(CLOSE).is_finite() & (pl.col(CLOSE) > 0)
    return (
        bars.filter(traded)
        .select(SYMBOL, CLOSE, closed_on=SESSION, basis=_basis())
        .sort("closed_on")
    )


def _shares_on(rows: pl.DataFrame, day: str, splits: pl.DataFrame) -> pl.Series:
    """Shares that one share of the first split's eve has become on each row's day."""
    days = rows.select(SYMBOL, pl.col(day).alias(SESSION), *_RAW)
    return adjustment_factors(days, splits, DIVIDENDS.empty())["split_factor"]
