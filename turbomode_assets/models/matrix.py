"""The feature matrix as arrays: rows to learn from or predict, and the panel behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import SESSION, SYMBOL
from turbomode_assets.contracts.errors import ContractError, InputError, first_few
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.sessions import session_indices

Values = NDArray[np.float32]
Rows = NDArray[np.int64]

_SYMBOL_STRIDE = 1 << 20
"""Key distance between symbols: far more than sessions, so that no look-back crosses into one."""
_COLUMNS_AT_ONCE = 16
"""How many columns are copied together: one cache line of a row of the matrix."""
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Panel:
    """Feature values of every symbol and session at hand; NaN is missing.

    `values` is [panel rows, features] in the order of `columns`; `keys` ascends and orders rows by
    symbol, then session: the symbol's number times a stride plus the session's index.
    `families` names the family of each column.
    """

    values: Values
    keys: Rows
    columns: tuple[str, ...]
    families: tuple[str, ...]


@dataclass(frozen=True)
class Matrix:
    """Some rows of a panel: [rows, features], and the sessions before each row."""

    panel: Panel
    rows: Rows

    @property
    def columns(self) -> tuple[str, ...]:
        """Feature names, in the order of the values."""
        return self.panel.columns

    @property
    def values(self) -> Values:
        """Feature values of the rows, [rows, features]; NaN is missing."""
        return self.panel.values[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, picked: NDArray[np.integer] | NDArray[np.bool_]) -> "Matrix":
        """Return the matrix of these rows of this one (positions or a mask)."""
        return Matrix(self.panel, self.rows[picked])

    def has_values(self) -> NDArray[np.bool_]:
        """Tell of each row whether any of its features is present."""
        present = np.empty(len(self.rows), dtype=np.bool_)
        for begin in range(0, len(self.rows), _ROWS_AT_ONCE):
            block = slice(begin, begin + _ROWS_AT_ONCE)
            present[block] = ~np.isnan(self.panel.values[self.rows[block]]).all(axis=1)
        return present

    def positions(self, steps: int) -> Rows:
        """Panel rows of the last `steps` sessions of each row, [rows, steps], the oldest first.

        The last column is the row itself. A session of which the panel holds no row for the
        symbol is -1: look-back counts sessions, and never reaches into another symbol.
        """
        keys, own = self.panel.keys, self.panel.keys[self.rows]
        found = np.empty((len(self.rows), steps), dtype=np.int64)
        for back in range(steps):
            wanted = own - back
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            found[:, steps - 1 - back] = np.where(keys[at] == wanted, at, -1)
        return found


def matrix_from_frame(
    features: pl.DataFrame, columns: Sequence[str], families: Mapping[str, str]
) -> tuple[Matrix, pl.DataFrame]:
    """Turn rows of the table `features` into a matrix of all of them; null is missing.

    Also returns their (symbol, session), sorted and aligned with the matrix rows. Besides the
    frame and the matrix, only a few columns are held at a time.

    Raises:
        ContractError: a column is absent, a feature is not Float32, or a key stands twice.
        InputError: a column has no family.
    """
    _check_features(features, columns, families)
    keys = features.select(SYMBOL, SESSION)
    panel_keys = _panel_keys(keys)
    order: Rows | None = None
    if not (panel_keys[1:] > panel_keys[:-1]).all():
        order = np.argsort(panel_keys, kind="stable")
        keys, panel_keys = keys[order], panel_keys[order]
        _require_unique(keys, panel_keys)
    panel = Panel(
        values=_values(features.select(columns), order),
        keys=panel_keys,
        columns=tuple(columns),
        families=tuple(families[name] for name in columns),
    )
    return Matrix(panel, np.arange(keys.height, dtype=np.int64)), keys


def _panel_keys(keys: pl.DataFrame) -> Rows:
    index = session_indices(keys.get_column(SESSION))
    symbol = keys.get_column(SYMBOL).rank("dense").cast(pl.Int64)
    return (symbol * _SYMBOL_STRIDE + index).to_numpy()


def _require_unique(keys: pl.DataFrame, panel_keys: Rows) -> None:
    repeated = keys[np.flatnonzero(panel_keys[1:] == panel_keys[:-1])]
    if repeated.height:
        raise ContractError(
            f"duplicated keys: {describe_rows(repeated.unique(maintain_order=True))}",
            where=f"features, key ({SYMBOL}, {SESSION})",
            fix="keep one row for each symbol and session",
        )


def _values(features: pl.DataFrame, order: Rows | None) -> Values:
    """Copy all columns, their rows in this order, into one array whose rows lie together."""
    values = np.empty(features.shape, dtype=np.float32)
    for begin in range(0, features.width, _COLUMNS_AT_ONCE):
        end = begin + _COLUMNS_AT_ONCE
        slab = features[:, begin:end]
        values[:, begin:end] = (slab if order is None else slab.rechunk()[order]).to_numpy()
    return values


def _check_features(
    features: pl.DataFrame, columns: Sequence[str], families: Mapping[str, str]
) -> None:
    missing = [name for name in (SYMBOL, SESSION, *columns) if name not in features.columns]
    if missing or not columns:
        raise ContractError(
            f"columns missing: {first_few(missing)}" if missing else "no feature column is named",
            where="features",
            fix="materialize features with the feature set that the model was made for",
        )
    wrong = [f"{n} is {features[n].dtype}" for n in columns if features[n].dtype != pl.Float32]
    if wrong:
        raise ContractError(
            f"features that are not Float32: {first_few(wrong)}",
            where="features",
            fix="cast them where they are made; the matrix is float32 throughout",
        )
    homeless = [name for name in columns if name not in families]
    if homeless:
        raise InputError(
            f"no family given for {first_few(homeless)}",
            where="families",
            fix="map every feature column to its family",
        )
