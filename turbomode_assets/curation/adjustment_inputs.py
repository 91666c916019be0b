"""What `adjust` takes: bars and events of any origin, checked and brought into one form."""

from collections.abc import Sequence

import polars as pl

from turbomode_assets.contracts.columns import PRICES, SESSION, SYMBOL, VOLUME
from turbomode_assets.contracts.errors import ContractError, InputError, first_few
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import BARS, SPLITS
from turbomode_assets.contracts.tables.common import ADJUSTMENTS
from turbomode_assets.curation.corporate_actions import prices_in

BAR_KEY = BARS.key
EVENT_KEY = SPLITS.key
MARKS = ("adjustment", "adjusted_as_of")

_TYPES: dict[str, pl.DataType] = {
    SYMBOL: pl.String(),
    SESSION: pl.Date(),
    "ex_date": pl.Date(),
    "adjustment": pl.String(),
    "adjusted_as_of": pl.Date(),
}
_KEY_VALUES = [pl.col(name).cast(_TYPES[name]) for name in EVENT_KEY]


def checked_splits(splits: pl.DataFrame) -> pl.DataFrame:
    """Symbol, ex_date and ratio of each split.

    Raises:
        InputError: columns, types or keys are wrong.
        ContractError: a ratio is not above 0.
    """
    where = "splits of adjust"
    _check_columns(splits, (*EVENT_KEY, "ratio"), where)
    rows = splits.select(*_KEY_VALUES, pl.col("ratio").cast(pl.Float64))
    _check_event_values(rows, ("ratio",), where)
    refuse_rows(
        rows.filter(pl.struct(EVENT_KEY).is_duplicated()),
        "several splits of a symbol on one day",
        where=where,
        fix="keep one row, or multiply their ratios if there really were several",
    )
    return rows


def checked_dividends(dividends: pl.DataFrame) -> pl.DataFrame:
    """One row for each symbol and ex_date: amount and previous_close, which may be null.

    Different amounts of one day are added.

    Raises:
        InputError: columns, types or keys are wrong.
        ContractError: an amount or a previous close is not above 0.
    """
    where = "dividends of adjust"
    _check_columns(dividends, (*EVENT_KEY, "amount"), where)
    if "previous_close" not in dividends.columns:
        dividends = dividends.with_columns(previous_close=pl.lit(None, dtype=pl.Float64))
    _check_types(dividends, ("previous_close",), where)
    rows = dividends.select(*_KEY_VALUES, pl.col("amount", "previous_close").cast(pl.Float64))
    _check_event_values(rows, ("amount",), where)
    _check_event_values(rows.drop_nulls("previous_close"), ("previous_close",), where)
    refuse_rows(
        rows.filter(pl.struct(*EVENT_KEY, "amount").is_duplicated()),
        "the same dividend twice",
        where=where,
        fix="keep one row, or add the amounts up if both were paid",
    )
    stated = pl.col("previous_close").drop_nulls()
    refuse_rows(
        rows.filter(stated.n_unique().over(EVENT_KEY) > 1),
        "dividends of one day with different previous closes",
        where=where,
        fix="state all amounts of the day on the same shares",
    )
    # Sorted, because a sum's last bit depends on its order.
    by_day = rows.sort(*EVENT_KEY, "amount").group_by(EVENT_KEY, maintain_order=True)
    return by_day.agg(pl.col("amount").sum(), stated.first())


def check_bars(bars: pl.DataFrame) -> None:
    """Refuse bars without their columns, out of order, twice, or with marks that say too little.

    Raises:
        InputError: one of these.
    """
    where = "bars of adjust"
    _check_columns(bars, (*BAR_KEY, VOLUME), where)
    if bars.is_empty():
        raise InputError("there is no bar", where=where, fix="give at least one row")
    prices = prices_in(bars)
    if not prices:
        raise InputError(
            "no column of prices", where=where, fix=f"give any of {', '.join(PRICES)}, vwap"
        )
    _check_types(bars, prices, where)
    symbol, session = pl.col(SYMBOL), pl.col(SESSION)
    same = symbol == symbol.shift()
    earlier = (symbol < symbol.shift()) | (same & (session < session.shift()))
    for broken, what, fix in (
        (symbol.is_null() | session.is_null(), "null keys", "name symbol and session of every row"),
        (same & (session == session.shift()), "duplicated rows", "keep one bar for each key"),
        (earlier, "rows out of order", "sort by symbol and session"),
    ):
        refuse_rows(bars.filter(broken), what, where=where, fix=fix, columns=BAR_KEY)
    if MARKS[0] in bars.columns or MARKS[1] in bars.columns:
        _check_marks(bars, where)


def refuse_rows(
    offenders: pl.DataFrame,
    what: str,
    *,
    where: str,
    fix: str,
    columns: Sequence[str] = EVENT_KEY,
) -> None:
    """Raise an InputError naming the first offenders, if there are any."""
    if offenders.height:
        raise InputError(f"{what}: {describe_rows(offenders, columns)}", where=where, fix=fix)


def _check_event_values(rows: pl.DataFrame, names: Sequence[str], where: str) -> None:
    for name in (*EVENT_KEY, *names):
        refuse_rows(
            rows.filter(pl.col(name).is_null()), f"null {name}", where=where, fix=f"fill {name} in"
        )
    for name in names:
        offenders = rows.filter(~(pl.col(name).is_finite() & (pl.col(name) > 0)))
        if offenders.height:
            raise ContractError(
                f"{name} is not a number above 0: {describe_rows(offenders, [*EVENT_KEY, name])}",
                where=where,
                fix="correct the event, or leave it out",
            )


def _check_marks(bars: pl.DataFrame, where: str) -> None:
    _check_columns(bars, MARKS, where)
    mark, as_of = (pl.col(name) for name in MARKS)
    refuse_rows(
        bars.filter(~mark.is_in(ADJUSTMENTS).fill_null(False)),
        "unknown adjustment",
        where=where,
        fix=f"mark each bar as one of {', '.join(ADJUSTMENTS)}",
        columns=(*BAR_KEY, MARKS[0]),
    )
    refuse_rows(
        bars.filter((mark != "raw") & as_of.is_null()),
        "adjusted bars that do not say as of when",
        where=where,
        fix="fill adjusted_as_of in: mostly the day on which the vendor was asked",
        columns=(*BAR_KEY, *MARKS),
    )


def _check_columns(frame: pl.DataFrame, names: Sequence[str], where: str) -> None:
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise InputError(
            f"missing columns: {first_few(absent)}", where=where, fix=f"give {', '.join(names)}"
        )
    _check_types(frame, names, where)


def _check_types(frame: pl.DataFrame, names: Sequence[str], where: str) -> None:
    """Refuse columns of the wrong type; one without any value may be of the type Null."""
    wrong = []
    for name in names:
        found, wanted = frame.schema[name], _TYPES.get(name)
        fits = found.is_numeric() if wanted is None else found == wanted
        if not fits and found != pl.Null():
            wrong.append(f"{name} is {found}, not {wanted or 'a number'}")
    if wrong:
        raise InputError(f"wrong types: {first_few(wrong)}", where=where, fix="cast these columns")
