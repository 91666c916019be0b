"""How much of each label is its own, where labels of one symbol overlap in time."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation.inputs import Values, require_same_length, session_numbers


def sample_uniqueness(
    entry_sessions: NDArray[np.datetime64],
    exit_sessions: NDArray[np.datetime64],
    symbols: ArrayLike,
) -> Values:
    """Average uniqueness, in (0, 1], of each row's label among the labels of its symbol.

    Formula: mean over the sessions t from entry to exit, both included, of 1 / c(t), with c(t)
    the number of the symbol's labels whose span holds t. 1 for a label that overlaps no other.
    Rows come in any order; spans are counted in XNYS sessions.
    Source: López de Prado (2018), Advances in Financial Machine Learning, sections 4.3 and 4.4.

    Raises:
        InputError: no rows, arrays that differ in length, a day that is no session, or an exit
            before its entry.
    """
    where = "sample_uniqueness"
    names = np.asarray(symbols)
    require_same_length(
        where, entry_sessions=entry_sessions, exit_sessions=exit_sessions, symbols=names
    )
    entry = session_numbers(entry_sessions, "entry_sessions")
    stop = session_numbers(exit_sessions, "exit_sessions") + 1
    backwards = np.flatnonzero(stop <= entry)
    if len(backwards):
        raise InputError(
            f"{len(backwards)} labels exit before their entry, the first in row {backwards[0]}",
            where=where,
            fix="give the session of the entry and the session of the exit of each label",
        )
    first, width = entry.min(), int(stop.max() - entry.min()) + 1
    symbol_names, code = np.unique(names, return_inverse=True)
    entry, stop = entry - first, stop - first
    cells = len(symbol_names) * width
    begun = np.bincount(code * width + entry, minlength=cells)
    ended = np.bincount(code * width + stop, minlength=cells)
    concurrent = np.cumsum((begun - ended).reshape(-1, width), axis=1)
    # Position i of a symbol's row holds the sum before session i: a span is one difference.
    shares = np.zeros((len(symbol_names), width + 1))
    np.cumsum(1 / np.maximum(concurrent, 1), axis=1, out=shares[:, 1:])
    uniqueness: Values = (shares[code, stop] - shares[code, entry]) / (stop - entry)
    # Differences of sums may exceed the whole by rounding.
    return np.minimum(uniqueness, 1.0)
