"""From a frame of bars to dense arrays [symbols, sessions]; refuses what is no daily panel."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from turbomode_assets.contracts.columns import (
    CLOSE,
    DOLLAR_VOLUME,
    HIGH,
    LOW,
    OPEN,
    PRICES,
    SECTOR,
    SESSION,
    SYMBOL,
    VOLUME,
)
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import BARS
from turbomode_assets.sessions import sessions_between

WHERE = "bars of compute_features"
FEWEST_STEPS = 5
"""Fewest steps from bar to bar that show which frequency a panel has."""
FIRST_LOOK = 10_000
"""Rows that nearly always show it."""
_KEY = BARS.key

Floats = npt.NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True)
class Panel:
    """Bars on the grid of all sessions between the first and the last; NaN where there is none."""

    values: dict[str, Floats]
    """open, high, low, close, volume, dollar_volume: [symbols, sessions]."""
    sector: npt.NDArray[np.int64]
    """Code of the sector on that session, -1 without one: [symbols, sessions]."""
    present: npt.NDArray[np.bool_]
    """Whether the symbol has a bar: [symbols, sessions]. Rows of the frame are its true cells."""
    row_starts: npt.NDArray[np.int64]
    """Rows before each symbol's own, and their total, counted from `first` on: [symbols + 1]."""
    benchmark: int | None
    """Which symbol is the benchmark."""
    first: int
    """The first session to compute; those before it are what windows look back on."""

    @property
    def tradeable(self) -> npt.NDArray[np.bool_]:
        """Who belongs to the cross-section of each session: [symbols, sessions]."""
        if self.benchmark is None:
            return self.present
        members = self.present.copy()
        members[self.benchmark] = False
        return members

    @property
    def shape(self) -> tuple[int, int]:
        """Number of symbols and of sessions."""
        return self.present.shape[0], self.present.shape[1]


def check_bars(bars: pl.DataFrame, benchmark: str | None) -> None:
    """Refuse a frame that is no sorted panel of daily bars of XNYS sessions.

    Raises:
        InputError: columns, types, order, keys, sessions or values are wrong.
    """
    _check_columns(bars)
    _check_keys(bars)
    _check_sessions(bars)
    _check_values(bars)
    if benchmark is not None and not (bars[SYMBOL] == benchmark).any():
        raise InputError(
            f"the benchmark {benchmark} has no bars",
            where=WHERE,
            fix="add its bars, or pass benchmark=None (beta_60 is then NaN)",
        )


def build_panel(bars: pl.DataFrame, benchmark: str | None, since: dt.date | None = None) -> Panel:
    """Lay checked bars out on the grid of their sessions."""
    grid = _grid(bars)
    starts = np.flatnonzero(_begins_symbol(bars))
    shape = len(starts), len(grid)
    cells = None if bars.height == shape[0] * shape[1] else _cells(bars, starts, grid)

    def lay_out(column: pl.Series, absent: Number) -> npt.NDArray[Number]:
        flat = column.fill_null(absent.item()).to_numpy()
        if cells is None:
            return flat.reshape(shape)
        laid = np.full(shape, absent)
        laid[cells] = flat
        return laid

    present = lay_out(pl.repeat(True, bars.height, dtype=pl.Boolean, eager=True), np.False_)
    nan = np.float64("nan")
    values = {name: lay_out(bars[name].cast(pl.Float64), nan) for name in (*PRICES, VOLUME)}
    values[DOLLAR_VOLUME] = lay_out(_dollar_volume(bars).cast(pl.Float64), nan)
    symbols = bars[SYMBOL].gather(starts)
    first = 0 if since is None else int(np.searchsorted(grid, np.datetime64(since)))
    return Panel(
        values=values,
        sector=lay_out(_sector_codes(bars), np.int64(-1)),
        present=present,
        row_starts=np.append(0, present[:, first:].sum(axis=1).cumsum()),
        benchmark=None if benchmark is None else symbols.to_list().index(benchmark),
        first=first,
    )


def keep_look_back(bars: pl.DataFrame, since: dt.date, longest: int) -> pl.DataFrame:
    """Leave out the bars that no window of `longest` bars ending at `since` or later reads."""
    grid = _grid(bars)
    first = max(0, int(np.searchsorted(grid, np.datetime64(since))) - (longest - 1))
    if first >= len(grid):
        return bars.clear()
    return bars.filter(pl.col(SESSION) >= grid[first].item())


def fill_first_sector(bars: pl.DataFrame) -> pl.DataFrame:
    """Let each symbol's first known sector hold before it, too."""
    if SECTOR not in bars.columns or not bars[SECTOR].null_count():
        return bars
    unmapped_yet = pl.col(SECTOR).is_not_null().cast(pl.Int8).cum_max() == 0
    first_known = pl.col(SECTOR).drop_nulls().first()
    return bars.with_columns(
        pl.when(unmapped_yet).then(first_known).otherwise(pl.col(SECTOR)).over(SYMBOL).alias(SECTOR)
    )


def _grid(bars: pl.DataFrame) -> npt.NDArray[np.datetime64]:
    days = bars[SESSION]
    sessions = sessions_between(days.min(), days.max())  # type: ignore[arg-type]  # dates
    return np.array(sessions, dtype="datetime64[D]")


def _begins_symbol(bars: pl.DataFrame) -> npt.NDArray[np.bool_]:
    return bars[SYMBOL].ne_missing(bars[SYMBOL].shift()).to_numpy()


def _cells(
    bars: pl.DataFrame, starts: npt.NDArray[np.int64], grid: npt.NDArray[np.datetime64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Symbol and session of each row, as positions."""
    lengths = np.diff(np.append(starts, bars.height))
    symbols = np.repeat(np.arange(len(starts)), lengths)
    return symbols, np.searchsorted(grid, bars[SESSION].to_numpy())


def _sector_codes(bars: pl.DataFrame) -> pl.Series:
    if SECTOR not in bars.columns:
        return pl.repeat(-1, bars.height, dtype=pl.Int64, eager=True)
    names = bars[SECTOR].cast(pl.String)
    known = pl.Enum(names.drop_nulls().unique(maintain_order=True))
    return names.cast(known).to_physical().cast(pl.Int64)


def _dollar_volume(bars: pl.DataFrame) -> pl.Series:
    computed = bars[CLOSE] * bars[VOLUME]
    if DOLLAR_VOLUME not in bars.columns:
        return computed
    return bars.select(pl.coalesce(pl.col(DOLLAR_VOLUME), computed)).to_series()


def _check_columns(bars: pl.DataFrame) -> None:
    absent = [name for name in (*_KEY, *PRICES, VOLUME) if name not in bars.columns]
    if absent:
        raise InputError(
            f"missing columns: {first_few(absent)}",
            where=WHERE,
            fix=f"give {', '.join((*_KEY, OPEN, HIGH, LOW, CLOSE, VOLUME))}",
        )
    if bars.is_empty():
        raise InputError("there is no bar", where=WHERE, fix="give at least one row")
    if bars.schema[SESSION] != pl.Date():
        raise InputError(
            f"session is {bars.schema[SESSION]}, not Date",
            where=WHERE,
            fix="give one bar for each symbol and XNYS session, named by its date; bars of "
            "another frequency have no daily features",
        )
    given = [name for name in (*PRICES, VOLUME, DOLLAR_VOLUME) if name in bars.columns]
    wrong = [f"{name} is {bars.schema[name]}" for name in given if not _is_number(bars[name])]
    if wrong:
        raise InputError(
            f"columns that are no numbers: {first_few(wrong)}",
            where=WHERE,
            fix="cast them to Float64",
        )


def _is_number(column: pl.Series) -> bool:
    return column.dtype.is_numeric() or column.dtype == pl.Null()


def _check_keys(bars: pl.DataFrame) -> None:
    nulls = [name for name in _KEY if bars[name].null_count()]
    if nulls:
        raise InputError(
            f"null {' and '.join(nulls)}", where=WHERE, fix="name symbol and session of every row"
        )
    begins = pl.Series(_begins_symbol(bars))
    days = bars[SESSION].diff().dt.total_days().fill_null(1)
    symbols = bars[SYMBOL].filter(begins).cast(pl.String)
    back_to_symbol = begins.to_frame("begins").with_row_index("row").filter("begins")
    late = back_to_symbol.filter(symbols < symbols.shift())["row"]
    _refuse_rows(
        bars.filter(~begins & (days == 0)),
        "duplicated rows",
        "keep one bar for each symbol and session",
        _KEY,
    )
    for offenders in (bars.filter(~begins & (days < 0)), bars[late]):
        _refuse_rows(offenders, "rows out of order", "sort by symbol and session", _KEY)


def _check_sessions(bars: pl.DataFrame) -> None:
    days = bars[SESSION].unique().sort()
    known = sessions_between(days[0], days[-1])
    strangers = days.filter(~days.is_in(pl.Series(known, dtype=pl.Date).implode()))
    if len(strangers):
        raise InputError(
            f"dates that are no XNYS sessions: {first_few(strangers)}",
            where=WHERE,
            fix="give one bar for each session of the calendar; weekend and holiday bars belong "
            "to the session after them",
        )
    if not _has_consecutive_sessions(bars.head(FIRST_LOOK)) and not _has_consecutive_sessions(bars):
        raise InputError(
            "no symbol has bars of two consecutive sessions",
            where=WHERE,
            fix="give daily bars; weekly or monthly bars have no daily features",
        )


def _has_consecutive_sessions(bars: pl.DataFrame) -> bool:
    """Tell whether the panel may be daily: too few steps from bar to bar count as yes."""
    grid = pl.Series(_grid(bars))
    steps = grid.search_sorted(bars[SESSION]).cast(pl.Int64).diff()
    within = steps.filter(~pl.Series(_begins_symbol(bars)))
    return len(within) < FEWEST_STEPS or bool((within == 1).any())


def _check_values(bars: pl.DataFrame) -> None:
    for name in PRICES:
        wrong = pl.col(name).is_null() | ~pl.col(name).cast(pl.Float64).is_finite()
        _refuse_rows(
            bars.filter(wrong | (pl.col(name) <= 0)),
            f"{name} is not a positive finite price",
            "repair the bar, or leave its row out: a missing bar is NaN in its windows",
            (*_KEY, name),
        )
    for name in (VOLUME, DOLLAR_VOLUME):
        if name in bars.columns:
            _refuse_rows(
                bars.filter((pl.col(name) < 0) | pl.col(name).cast(pl.Float64).is_infinite()),
                f"{name} is negative or infinite",
                "correct it, or make it null: features that read it are then NaN",
                (*_KEY, name),
            )


def _refuse_rows(offenders: pl.DataFrame, what: str, fix: str, columns: Sequence[str]) -> None:
    if offenders.height:
        raise InputError(f"{what}: {describe_rows(offenders, columns)}", where=WHERE, fix=fix)
