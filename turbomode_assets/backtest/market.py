"""Bars laid out as arrays [sessions, symbols], and where rows stand in them. No orders here."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import CLASSES, CLOSE, PRICES, SESSION, SYMBOL
from turbomode_assets.contracts.errors import ContractError, MissingDataError, first_few
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.sessions import (
    offset_session,
    session_index,
    session_indices,
    sessions_between,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WHERE = "backtest"
SELL, _, BUY = CLASSES


@dataclass(frozen=True)
class Market:
    """Prices [sessions, symbols], NaN where there is no bar, and what the axes mean."""

    symbols: pl.Enum
    sessions: list[dt.date]
    start: int
    """Place of the first session with a prediction; those before it are only looked back to."""
    prices: dict[str, Floats]

    @property
    def close(self) -> Floats:
        """Closes [sessions, symbols]."""
        return self.prices[CLOSE]


def lay_out_market(
    predictions: pl.DataFrame, bars: pl.DataFrame, *, lookback_sessions: int
) -> Market:
    """Lay out the bars of the signalled symbols from before the first prediction to the last bar.

    Raises:
        MissingDataError: there is no prediction, or no bar from the first one on.
        ContractError: columns are missing, a key is doubled, or a price is missing or none.
    """
    require_columns(predictions, (SYMBOL, SESSION, "signal", "p_sell", "p_buy"), "predictions")
    require_columns(bars, (SYMBOL, SESSION, *PRICES), "bars")
    first, last = _session_at(predictions, "min"), _session_at(bars, "max")
    if last < first:
        raise MissingDataError(
            f"the last bar is of {last}, the first prediction of {first}",
            where=WHERE,
            fix="give the bars from the first prediction on",
        )
    back = min(lookback_sessions, session_index(first))
    sessions = sessions_between(offset_session(first, -back), last)
    signalled = predictions.filter(pl.col("signal").is_in([SELL, BUY]))
    symbols = pl.Enum(signalled.get_column(SYMBOL).unique().sort())
    kept = bars.filter(pl.col(SESSION) >= sessions[0])
    at_session, at_symbol, kept = places_of(kept, SESSION, symbols, sessions, "bars")
    prices = {}
    for name in PRICES:
        values = np.full((len(sessions), len(symbols.categories)), np.nan)
        values[at_session, at_symbol] = kept.get_column(name).cast(pl.Float64).to_numpy()
        prices[name] = values
    is_price = pl.col(PRICES).is_between(0, float("inf"), closed="none").fill_null(False)
    wrong = kept.filter(~pl.all_horizontal(is_price))
    if wrong.height:
        raise ContractError(
            f"prices that are none: {describe_rows(wrong, [SYMBOL, SESSION])}",
            where=f"bars given to {WHERE}",
            fix="give finite prices above 0",
        )
    return Market(symbols, sessions, back, prices)


def places_of(
    frame: pl.DataFrame,
    session_column: str,
    symbols: pl.Enum,
    sessions: Sequence[dt.date],
    what: str,
) -> tuple[Integers, Integers, pl.DataFrame]:
    """Places in the market of the rows in its symbols, and those rows.

    Raises:
        ContractError: a symbol and session stand twice.
        InputError: a day is missing or no session.
    """
    codes = frame.get_column(SYMBOL).cast(symbols, strict=False)
    if codes.null_count():
        frame, codes = frame.filter(codes.is_not_null()), codes.drop_nulls()
    at_symbol = codes.to_physical().to_numpy().astype(np.int64)
    at_session = session_places(frame.get_column(session_column), sessions)
    cells = at_session * len(symbols.categories) + at_symbol
    counts = np.bincount(cells) if len(cells) else np.zeros(1, dtype=np.int64)
    if counts.max() > 1:
        doubled = frame.filter(pl.Series(counts[cells] > 1))
        raise ContractError(
            f"doubled rows: {describe_rows(doubled, [SYMBOL, session_column])}",
            where=f"{what} given to {WHERE}",
            fix="give one row for each symbol and session",
        )
    return at_session, at_symbol, frame


def session_places(days: pl.Series, sessions: Sequence[dt.date]) -> Integers:
    """Place of each day among consecutive sessions; below 0 and from their number on outside.

    Raises:
        InputError: a day is missing or no session.
    """
    known = pl.Series(sessions, dtype=pl.Date).to_physical().to_numpy()
    asked = days.cast(pl.Date).to_physical().fill_null(-1).to_numpy()
    # A table is quicker than a search for each of millions of days, which the calendar would do.
    table = np.full(int(known[-1] - known[0]) + 1, -1, dtype=np.int64)
    table[known - known[0]] = np.arange(len(known))
    within = (asked >= known[0]) & (asked <= known[-1])
    result = np.full(len(asked), -1, dtype=np.int64)
    result[within] = table[asked[within] - known[0]]
    if (result < 0).any():
        result = session_indices(days).to_numpy() - session_index(sessions[0])
    return result


def _session_at(frame: pl.DataFrame, end: str) -> dt.date:
    days = frame.get_column(SESSION)
    found = days.min() if end == "min" else days.max()
    assert isinstance(found, dt.date)
    return found


def require_columns(
    frame: pl.DataFrame, names: Sequence[str], what: str, *, may_be_empty: bool = False
) -> None:
    """Refuse a table without its columns, and one without rows unless it may rightly have none."""
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise ContractError(
            f"missing columns: {first_few(absent)}",
            where=f"{what} given to {WHERE}",
            fix=f"give {what} with {', '.join(names)}",
        )
    if frame.is_empty() and not may_be_empty:
        raise MissingDataError(
            f"there are no {what}", where=WHERE, fix=f"materialize {what} for the span first"
        )
