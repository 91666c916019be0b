"""Putting rows in the order of their keys, at the price of the keys and one move of the rest."""

from collections.abc import Sequence

import numpy as np
import polars as pl

COLUMNS_AT_ONCE = 8
"""How many columns are moved together: what a sort needs beside the frame and its result."""


def sort_rows(frame: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Return the rows in ascending order of `by`; the frame itself where they are in it already.

    Only the keys are compared. Rows that lie in runs of one leading key (a store's files, blocks
    of sessions sorted by symbol) are ordered run by run. Nulls come first.
    """
    keys = frame.select(by).rechunk()
    if not by or keys.is_empty():
        return frame
    order = _order_of_runs(keys)
    if order is None:
        order = keys.select(pl.arg_sort_by(by)).to_series()
    elif order.is_sorted():
        return frame
    slabs = (
        frame[:, first : first + COLUMNS_AT_ONCE]
        for first in range(0, frame.width, COLUMNS_AT_ONCE)
    )
    return pl.concat([slab.rechunk()[order] for slab in slabs], how="horizontal")


def has_ties(sorted_rows: pl.DataFrame, by: Sequence[str]) -> bool:
    """Tell whether two neighbours among sorted rows agree in every column of `by`."""
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in by)
    return bool(sorted_rows.select(same.slice(1).any()).item())


def _order_of_runs(keys: pl.DataFrame) -> pl.Series | None:
    """Order that sorts the rows by moving whole runs of one leading key; None if there is none."""
    leading = pl.col(keys.columns[0])
    changes = leading.ne_missing(leading.shift())
    ascending = (changes | _ascending(keys.columns[1:])).slice(1).fill_null(False).all()
    if not keys.select(ascending).item():
        return None
    begin = np.append(0, keys.select(changes.slice(1).arg_true()).to_series().to_numpy() + 1)
    length = np.diff(begin, append=keys.height)
    runs = keys[begin].select(pl.arg_sort_by(keys.columns)).to_series().to_numpy()
    begin, length = begin[runs], length[runs]
    ends = keys[np.stack([begin, begin + length - 1], axis=1).ravel()]
    if not ends.select(_ascending(keys.columns).slice(1).fill_null(False).all()).item():
        return None
    shift = begin - (np.cumsum(length) - length)
    return pl.Series((np.arange(keys.height) + np.repeat(shift, length)).astype(np.uint32))


def _ascending(names: Sequence[str]) -> pl.Expr:
    """Whether a row is not less than the one before; null where a key is null."""
    ascending = pl.lit(True)
    for name in reversed(names):
        value, previous = pl.col(name), pl.col(name).shift()
        ascending = (value > previous) | ((value == previous) & ascending)
    return ascending
