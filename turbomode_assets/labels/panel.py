"""Bars laid out as arrays [symbols, sessions]. No rule of labelling belongs here."""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import PRICES, SESSION, SYMBOL
from turbomode_assets.contracts.errors import ContractError, first_few
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.sessions import SessionSpan, offset_session, session_index, sessions_between

_NEVER = np.iinfo(np.int64).max // 2
"""A panel column that no panel reaches."""


@dataclass(frozen=True)
class PricePanel:
    """Prices [symbols, sessions], NaN where there is no bar, and what the axes mean."""

    symbols: list[str]
    sessions: list[dt.date]
    first_index: int
    """Calendar position of the first column."""
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]

    @property
    def prices(self) -> tuple[NDArray[np.float64], ...]:
        """Open, high, low and close."""
        return self.open, self.high, self.low, self.close


@dataclass(frozen=True)
class Delistings:
    """Panel column of the last session and of the news of it for each symbol; far off if none."""

    last: NDArray[np.int64]
    known: NDArray[np.int64]


def place_bars(bars: pl.DataFrame, known_in: SessionSpan, lookback: int) -> PricePanel:
    """Lay out the bars of a span and the `lookback` sessions before it, as far as there are any.

    Raises:
        ContractError: columns are missing, a key is doubled, or a day is no session.
    """
    missing = [name for name in (SYMBOL, SESSION, *PRICES) if name not in bars.columns]
    if missing:
        raise ContractError(
            f"missing columns: {first_few(missing)}",
            where="bars given to triple_barrier",
            fix="give symbol, session, open, high, low and close",
        )
    first = offset_session(known_in.first, -min(lookback, session_index(known_in.first)))
    sessions = sessions_between(first, known_in.last)
    wanted = bars.filter(pl.col(SESSION).is_between(first, known_in.last))
    symbols = wanted[SYMBOL].unique().sort()
    columns = pl.Series(sessions, dtype=pl.Date)
    at_symbol = symbols.search_sorted(wanted[SYMBOL]).to_numpy()
    at_session = columns.search_sorted(wanted[SESSION]).to_numpy()
    _check_places(wanted, columns, at_symbol, at_session)
    values = []
    for name in PRICES:
        placed = np.full((len(symbols), len(sessions)), np.nan)
        placed[at_symbol, at_session] = wanted[name].to_numpy()
        values.append(placed)
    return PricePanel(symbols.to_list(), sessions, session_index(first), *values)


def place_delistings(delistings: pl.DataFrame | None, panel: PricePanel) -> Delistings:
    """Place each delisting on the panel's columns; those before it are negative.

    Raises:
        ContractError: columns are missing, or a symbol stands twice.
    """
    last = np.full(len(panel.symbols), _NEVER)
    known = last.copy()
    if delistings is not None:
        needed = ("symbol", "last_session", "knowledge_session")
        if absent := [name for name in needed if name not in delistings.columns]:
            raise ContractError(
                f"missing columns: {first_few(absent)}",
                where="delistings given to triple_barrier",
                fix=f"give {', '.join(needed)}",
            )
        repeated = delistings.filter(pl.col("symbol").is_duplicated())
        if repeated.height:
            raise ContractError(
                f"symbols delisted twice: {describe_rows(repeated, needed)}",
                where="delistings given to triple_barrier",
                fix="keep one delisting for each symbol",
            )
        rows = {symbol: row for row, symbol in enumerate(panel.symbols)}
        for symbol, last_session, knowledge in delistings.select(needed).iter_rows():
            if symbol in rows:
                last[rows[symbol]] = session_index(last_session) - panel.first_index
                known[rows[symbol]] = session_index(knowledge) - panel.first_index
    return Delistings(last, known)


def _check_places(
    bars: pl.DataFrame,
    columns: pl.Series,
    at_symbol: NDArray[np.integer],
    at_session: NDArray[np.integer],
) -> None:
    stray = bars.filter(columns.gather(at_session) != bars[SESSION])
    cells = at_symbol.astype(np.int64) * len(columns) + at_session
    doubled = bars.filter(pl.Series(cells).is_duplicated())
    for offenders, complaint in ((stray, "days that are no sessions"), (doubled, "doubled bars")):
        if offenders.height:
            raise ContractError(
                f"{complaint}: {describe_rows(offenders, [SYMBOL, SESSION])}",
                where="bars given to triple_barrier",
                fix="give one bar for each symbol and session",
            )
