"""What overlapping positions earn day by day, against the market of the same day."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import CLOSE, SESSION, SYMBOL
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.validation.inputs import (
    Rows,
    Values,
    calendar_positions,
    finite_values,
    require_same_length,
)

_WHERE = "daily_results"
_ENTRY, _EXIT = "entry_session", "exit_session"
_ENTRY_PRICE, _EXIT_PRICE = "entry_price", "exit_price"
_READ = (SYMBOL, _ENTRY, _EXIT, _ENTRY_PRICE, _EXIT_PRICE)


def daily_results(positions: pl.DataFrame, daily: pl.DataFrame) -> pl.DataFrame:
    """Spread what positions earn over the sessions they are held: session, result, exposure.

    `positions` has symbol, entry_session, exit_session, entry_price, exit_price and `position`, a
    signed size that is held constant from entry to exit; `daily` has symbol, session, close. All
    prices are forward-adjusted alike. Every session of `daily` from the first entry to the last
    exit gets a row.

    Formula: result(t) = sum over positions live at t of position * (r(t) - m(t)) / exposure(t);
    exposure(t) = sum of their |position|, and the result is 0 where that is 0. A position is live
    from its entry session to its exit session, both included. Its return r is entry_price ->
    close on the entry session, previous close -> close on later ones, previous close ->
    exit_price on the exit session, entry_price -> exit_price where both are one session. m is the
    mean close-to-close return of all symbols of `daily` that have one in the session, 0 if none.
    Missing: on a session without a bar r is 0, and the move falls on the symbol's next bar; the
    market is held against the position all the same.

    Raises:
        InputError: no positions or no bars, an absent column, a price that is not above 0, a size
            that is not finite, an exit before its entry, a doubled bar, or a position whose
            symbol or sessions `daily` does not hold.
    """
    sizes = _column(positions, "position")
    sessions, results, exposures = _spread(positions, [sizes], daily)
    return pl.DataFrame({SESSION: sessions, "result": results[0], "exposure": exposures[0]})


def daily_results_of(
    sizes: Mapping[str, Values], positions: pl.DataFrame, daily: pl.DataFrame
) -> pl.DataFrame:
    """Compare several ways to size the same positions: session, and the result of each by name.

    As `daily_results`, with a size [rows] for each row of `positions` under each name.
    """
    sessions, results, _ = _spread(positions, list(sizes.values()), daily)
    return pl.DataFrame({SESSION: sessions, **dict(zip(sizes, results, strict=True))})


@dataclass(frozen=True)
class _Market:
    """Closes [symbols, sessions], NaN without a bar, and the mean return of each session."""

    symbols: pl.Enum
    sessions: NDArray[np.datetime64]
    close: Values
    mean_return: Values


@dataclass(frozen=True)
class _Holdings:
    """Positions by their places in the market's arrays."""

    symbol: Rows
    entry: Rows
    exit: Rows
    entry_price: Values
    exit_price: Values


def _spread(
    positions: pl.DataFrame, sizes: list[Values], daily: pl.DataFrame
) -> tuple[pl.Series, list[Values], list[Values]]:
    """Sessions from first entry to last exit, then results and exposures for each sizing."""
    _require_columns(positions, _READ, "positions")
    _require_columns(daily, (SYMBOL, SESSION, CLOSE), "daily bars")
    checked = [finite_values(size, "position", where=_WHERE) for size in sizes]
    for size in checked:
        require_same_length(_WHERE, sizes=size, positions=positions.get_column(SYMBOL).to_numpy())
    market = _lay_out(daily)
    held = _place(positions, market)
    span = slice(int(held.entry.min()), int(held.exit.max()) + 1)
    gains, exposures = _accumulate(held, market, checked)
    results = [
        np.divide(gain, exposure, out=np.zeros_like(gain), where=exposure > 0)[span]
        for gain, exposure in zip(gains, exposures, strict=True)
    ]
    sessions = pl.Series(SESSION, market.sessions[span], dtype=pl.Date)
    return sessions, results, [exposure[span] for exposure in exposures]


def _accumulate(
    held: _Holdings, market: _Market, sizes: list[Values]
) -> tuple[list[Values], list[Values]]:
    """Sums of position * excess return and of |position| over all sessions of the market."""
    width = len(market.sessions)
    gains, exposures = ([np.zeros(width) for _ in sizes] for _ in range(2))
    live = np.arange(len(held.entry))
    last_price = held.entry_price.copy()
    # One pass for each session of age: every position's path is walked once, all of them at a
    # time, and each sum adds only what is live (a running sum would keep rounding residue).
    for age in range(int((held.exit - held.entry).max()) + 1):
        live = live[held.exit[live] >= held.entry[live] + age]
        now = held.entry[live] + age
        ends = held.exit[live] == now
        price = np.where(ends, held.exit_price[live], market.close[held.symbol[live], now])
        before = last_price[live]
        price = np.where(np.isnan(price), before, price)
        last_price[live] = price
        excess = price / before - 1 - market.mean_return[now]
        for size, gain, exposure in zip(sizes, gains, exposures, strict=True):
            chosen = size[live]
            gain += np.bincount(now, weights=chosen * excess, minlength=width)
            exposure += np.bincount(now, weights=np.abs(chosen), minlength=width)
    return gains, exposures


def _lay_out(daily: pl.DataFrame) -> _Market:
    bars = daily.select(SYMBOL, SESSION, CLOSE).filter(
        pl.col(CLOSE).is_not_null() & pl.col(CLOSE).is_not_nan()
    )
    wrong = bars.filter((pl.col(CLOSE) <= 0) | pl.col(CLOSE).is_infinite())
    doubled = bars.filter(pl.struct(SYMBOL, SESSION).is_duplicated())
    for offenders, complaint in ((wrong, "closes that are no price"), (doubled, "doubled bars")):
        if offenders.height:
            raise InputError(
                f"{complaint}: {describe_rows(offenders, [SYMBOL, SESSION])}",
                where=_WHERE,
                fix="give one bar with a close above 0 for each symbol and session",
            )
    symbols = pl.Enum(daily.get_column(SYMBOL).unique().sort())
    sessions = daily.get_column(SESSION).unique().sort().to_numpy().astype("datetime64[D]")
    close = np.full((len(symbols.categories), len(sessions)), np.nan)
    at_session = np.searchsorted(sessions, bars.get_column(SESSION).to_numpy())
    close[_numbers(bars.get_column(SYMBOL).cast(symbols)), at_session] = _column(bars, CLOSE)
    return _Market(symbols, sessions, close, _mean_returns(close))


def _mean_returns(close: Values) -> Values:
    """Mean over symbols of close over the symbol's previous close - 1, by session."""
    places = np.where(np.isnan(close), -1, np.arange(close.shape[1]))
    latest = np.maximum.accumulate(places, axis=1)
    previous = np.hstack([np.full((len(close), 1), -1), latest[:, :-1]])
    known = (previous >= 0) & ~np.isnan(close)
    before = np.take_along_axis(close, np.maximum(previous, 0), axis=1)
    returns = np.where(known, close, 1.0) / np.where(known, before, 1.0) - 1
    means: Values = returns.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return means


def _place(positions: pl.DataFrame, market: _Market) -> _Holdings:
    symbols = positions.get_column(SYMBOL).cast(market.symbols, strict=False)
    if symbols.null_count():
        strangers = positions.filter(symbols.is_null()).get_column(SYMBOL).unique().sort()
        raise InputError(
            f"positions in symbols without bars: {first_few(strangers)}",
            where=_WHERE,
            fix="give the daily bars of every symbol held",
        )
    entry, exits = (
        calendar_positions(
            positions.get_column(name).to_numpy(), market.sessions, name, where=_WHERE
        )
        for name in (_ENTRY, _EXIT)
    )
    prices = [finite_values(_column(positions, name), name, where=_WHERE) for name in _READ[3:]]
    wrong = (exits < entry) | (np.minimum(*prices) <= 0)
    if wrong.any():
        offenders = positions.filter(pl.Series(wrong))
        raise InputError(
            f"positions that exit before their entry or at no price: "
            f"{describe_rows(offenders, [SYMBOL, _ENTRY])}",
            where=_WHERE,
            fix="give the session and the price, above 0, of each entry and of its exit",
        )
    return _Holdings(_numbers(symbols), entry, exits, *prices)


def _numbers(symbols: pl.Series) -> Rows:
    return symbols.to_physical().to_numpy().astype(np.int64)


def _column(frame: pl.DataFrame, name: str) -> Values:
    _require_columns(frame, (name,), "positions")
    return frame.get_column(name).cast(pl.Float64).to_numpy()


def _require_columns(frame: pl.DataFrame, names: tuple[str, ...], what: str) -> None:
    absent = [name for name in names if name not in frame.columns]
    if absent or frame.is_empty():
        raise InputError(
            f"{what} have no column {first_few(absent)}" if absent else f"there are no {what}",
            where=_WHERE,
            fix=f"give {what} with {', '.join(names)}",
        )
