"""Any columns of bars as arrays [symbols, sessions], and trailing statistics over their sessions.

No definition of a regime or an event belongs here. Terms of a window are added in the order of
their age, so that a value does not depend, to the last bit, on where the arrays begin.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import SESSION, SYMBOL
from turbomode_assets.contracts.errors import ContractError, first_few
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.sessions import session_indices, sessions_between

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MarketGrid:
    """Columns of bars [symbols, sessions], NaN where there is none, and what the axes mean."""

    symbols: list[str]
    sessions: list[dt.date]
    columns: dict[str, Floats]
    is_traded: NDArray[np.bool_]
    """Whether any symbol has a bar in the session."""


def lay_out(adjusted: pl.DataFrame, names: Sequence[str], *, where: str) -> MarketGrid:
    """Lay out columns of bars over every session from the first bar's to the last one's.

    Raises:
        ContractError: columns are missing, there is no bar, or a symbol has two in a session.
        InputError: a day is missing or no session.
    """
    missing = [name for name in (SYMBOL, SESSION, *names) if name not in adjusted.columns]
    if missing or adjusted.is_empty():
        raise ContractError(
            f"missing columns: {first_few(missing)}" if missing else "there is no bar",
            where=f"bars given to {where}",
            fix=f"give bars with {', '.join((SYMBOL, SESSION, *names))}",
        )
    symbols = adjusted[SYMBOL].unique().sort()
    at_symbol = symbols.search_sorted(adjusted[SYMBOL]).to_numpy().astype(np.int64)
    index = session_indices(adjusted[SESSION]).to_numpy()
    at_session = index - index.min()
    days = adjusted[SESSION].sort()
    sessions = sessions_between(days[0], days[-1])
    doubled = adjusted.filter(pl.Series(at_symbol * len(sessions) + at_session).is_duplicated())
    if doubled.height:
        raise ContractError(
            f"doubled bars: {describe_rows(doubled, [SYMBOL, SESSION])}",
            where=f"bars given to {where}",
            fix="give one bar for each symbol and session",
        )
    columns = {}
    for name in names:
        columns[name] = np.full((len(symbols), len(sessions)), np.nan)
        columns[name][at_symbol, at_session] = adjusted[name].cast(pl.Float64).to_numpy()
    is_traded = np.zeros(len(sessions), dtype=np.bool_)
    is_traded[at_session] = True
    return MarketGrid(symbols.to_list(), sessions, columns, is_traded)


def previous(values: Floats) -> Floats:
    """Value of the session before; NaN in the first."""
    shifted = np.full(values.shape, np.nan)
    shifted[..., 1:] = values[..., :-1]
    return shifted


def index_returns(close: Floats) -> Floats:
    """Log return of the equal-weighted index in each session; NaN where no symbol has one.

    Formula: mean of log(close / previous session's close) over the symbols that have both.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.log(close / previous(close))
    present = np.isfinite(returns)
    total = np.zeros(close.shape[1])
    # One symbol after another: sum() would add in an order that depends on the array's shape.
    for row in np.where(present, returns, 0.0):
        total += row
    count = present.sum(axis=0)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def trailing_sum(values: Floats, window: int) -> Floats:
    """Sum of the last `window` sessions' values; NaN where one is missing."""
    return _trailing(_aged(values, window), values.shape, window)


def trailing_mean(values: Floats, window: int) -> Floats:
    """Mean of the last `window` sessions' values; NaN where one is missing."""
    return trailing_sum(values, window) / window


def trailing_deviation(values: Floats, window: int) -> Floats:
    """Standard deviation (ddof 1) of the last `window` sessions; NaN where a value is missing."""
    mean = trailing_mean(values, window)[..., window - 1 :]
    squares = ((aged - mean) ** 2 for aged in _aged(values, window))
    return np.sqrt(_trailing(squares, values.shape, window) / (window - 1))


def _aged(values: Floats, window: int) -> Iterator[Floats]:
    """Values of each full window, all of one age at a time, oldest first."""
    count = max(values.shape[-1] - window + 1, 0)
    return (values[..., age : age + count] for age in range(window))


def _trailing(terms: Iterable[Floats], shape: tuple[int, ...], window: int) -> Floats:
    """Sum of each full window's terms, in the place of its last session."""
    result = np.full(shape, np.nan)
    result[..., window - 1 :] = 0
    for term in terms:
        result[..., window - 1 :] += term
    return result
