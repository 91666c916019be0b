"""Adjusting prices and volumes for splits and dividends, from the events and nothing else.

With F(t) the product over events with ex-date <= t of split ratio / (1 - dividend / previous
close), and G(t) the same for splits alone, price x F(t) and volume / G(t) are comparable over
time, and no later event changes any earlier value.

Every product runs over the events in order of ex-date (a day's split before its dividend) from the
first one on, so that a value is the same to the last bit whatever span is asked for.
"""

import datetime as dt

import polars as pl

from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.errors import ContractError
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import SPLITS

_BASIS_DAY = "_basis_day"
_VWAP = "vwap"


def adjustment_factors(
    bars: pl.DataFrame, splits: pl.DataFrame, dividends: pl.DataFrame
) -> pl.DataFrame:
    """F and G of each bar, as columns price_factor and split_factor beside symbol and session.

    Rows keep the order of `bars`, of which symbol, session, adjustment and adjusted_as_of are read.
    A bar delivered `split_dividend` as of A gets the factors of max(session, A): no event up to A
    moves it against another bar of the same delivery. An event on a day without a bar takes effect
    on the next one. Without events the factors are 1.

    Raises:
        ContractError: a dividend is not below its previous close, or a ratio is not above 0.
    """
    basis = bars.select("symbol", "session", _basis_day())
    return _factors_on(basis, _BASIS_DAY, _cumulative_factors(splits, dividends)).drop(_BASIS_DAY)


def adjust_forward(
    bars: pl.DataFrame, splits: pl.DataFrame, dividends: pl.DataFrame
) -> pl.DataFrame:
    """Bars with prices x F(t) and volume / G(t); every other column as it was.

    Prices are those of open, high, low, close and vwap that there are. Features and labels read
    these: a function of events up to each bar's session. Dollar volume stays unadjusted.

    Raises:
        ContractError: a dividend is not below its previous close, or a ratio is not above 0.
    """
    factors = adjustment_factors(bars, splits, dividends)
    price, share = factors["price_factor"], factors["split_factor"]
    return bars.with_columns(
        *(pl.col(name) * price for name in prices_in(bars)),
        pl.col("volume") / share,
    )


def adjust_back(
    bars: pl.DataFrame, splits: pl.DataFrame, dividends: pl.DataFrame, as_of: dt.date
) -> pl.DataFrame:
    """Bars up to `as_of` with prices x F(t) / F(as_of) and volume x G(as_of) / G(t).

    The usual back-adjustment, with nothing later than `as_of` in it: prices of that day are as
    traded. A bar delivered `split_dividend` as of a later day keeps its basis.

    Raises:
        ContractError: a dividend is not below its previous close, or a ratio is not above 0.
    """
    known = bars.filter(pl.col("session") <= as_of)
    cumulative = _cumulative_factors(splits, dividends)
    here = _factors_on(known.select("symbol", _basis_day()), _BASIS_DAY, cumulative)
    then_day = pl.max_horizontal(_basis_day(), pl.lit(as_of)).alias(_BASIS_DAY)
    then = _factors_on(known.select("symbol", then_day), _BASIS_DAY, cumulative)
    price = here["price_factor"] / then["price_factor"]
    share = then["split_factor"] / here["split_factor"]
    return known.with_columns(
        *(pl.col(name) * price for name in prices_in(known)),
        pl.col("volume") * share,
    )


def undo_splits(candles: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """Candles delivered `split`-adjusted as of A, back in the shares of their day, marked `raw`.

    Prices are multiplied and volume divided by the ratios of the splits with an ex-date in
    (day, A]. `day` is the candle's own day. Other candles stay as they are; row order is kept.
    """
    adjusted = pl.col("adjustment") == "split"
    numbered = candles.with_row_index("_row")
    frames = [numbered.filter(~adjusted)]
    for (as_of,), delivered in numbered.filter(adjusted).group_by("adjusted_as_of"):
        undone = (
            splits.filter(pl.col("ex_date") <= as_of)
            .sort("symbol", "ex_date")
            .select(
                "symbol",
                "ex_date",
                _product=pl.col("ratio").cum_prod(reverse=True).over("symbol"),
            )
        )
        product = pl.col("_product").fill_null(1.0)
        frames.append(
            delivered.sort("day")
            .join_asof(
                undone.sort("ex_date"),
                left_on="day",
                right_on="ex_date",
                by="symbol",
                strategy="forward",
                allow_exact_matches=False,
                check_sortedness=False,  # sorted just above; polars cannot tell within groups
            )
            .with_columns(
                *(pl.col(name) * product for name in prices_in(candles)),
                pl.col("volume") / product,
                adjustment=pl.lit("raw"),
                adjusted_as_of=pl.lit(None, dtype=pl.Date),
            )
            .select(numbered.columns)
        )
    return pl.concat(frames).sort("_row").drop("_row")


def prices_in(frame: pl.DataFrame) -> list[str]:
    """Names of the columns that adjustment treats as prices."""
    return [name for name in (*PRICES, _VWAP) if name in frame.columns]


def _basis_day() -> pl.Expr:
    """Day up to which events are already in, or are to be brought into, a bar's price."""
    in_vendor_basis = pl.col("adjustment") == "split_dividend"
    return (
        pl.when(in_vendor_basis)
        .then(pl.max_horizontal("session", "adjusted_as_of"))
        .otherwise(pl.col("session"))
        .alias(_BASIS_DAY)
    )


def _cumulative_factors(splits: pl.DataFrame, dividends: pl.DataFrame) -> pl.DataFrame:
    """F and G from each ex-date on: symbol, ex_date, price_factor, split_factor."""
    _refuse(splits, pl.col("ratio") <= 0, "ratio", "a split ratio is not above 0")
    eaten = pl.col("amount") >= pl.col("previous_close")
    _refuse(dividends, eaten, "amount", "a dividend is not below the previous close")
    kept_share = 1 - pl.col("amount") / pl.col("previous_close")
    events = pl.concat(
        [
            splits.select("symbol", "ex_date", price=pl.col("ratio"), share=pl.col("ratio")),
            dividends.select("symbol", "ex_date", price=1 / kept_share, share=pl.lit(1.0)),
        ]
    )
    return (
        events.sort("symbol", "ex_date", maintain_order=True)
        .select(
            "symbol",
            "ex_date",
            price_factor=pl.col("price").cum_prod().over("symbol"),
            split_factor=pl.col("share").cum_prod().over("symbol"),
        )
        .unique(SPLITS.key, keep="last", maintain_order=True)
    )


def _refuse(events: pl.DataFrame, broken: pl.Expr, value: str, complaint: str) -> None:
    offenders = events.filter(broken)
    if offenders.height:
        shown = [c for c in ("symbol", "ex_date", value, "previous_close") if c in events.columns]
        raise ContractError(
            f"{complaint}: {describe_rows(offenders, shown)}",
            where="corporate actions",
            fix="correct the event at its source and materialize its session again",
        )


def _factors_on(rows: pl.DataFrame, day: str, cumulative: pl.DataFrame) -> pl.DataFrame:
    """Factors in force on a day of each row, in the rows' order; 1 before the first event."""
    return (
        rows.with_row_index("_row")
        .sort(day)
        .join_asof(
            cumulative.sort("ex_date"),
            left_on=day,
            right_on="ex_date",
            by="symbol",
            strategy="backward",
            check_sortedness=False,  # sorted just above; polars cannot tell within groups
        )
        .sort("_row")
        .drop("_row", "ex_date")
        .with_columns(pl.col("price_factor", "split_factor").fill_null(1.0))
    )
