"""What a statistic may be given, refused in the same words wherever it is asked for."""

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.sessions import session_indices

Values = NDArray[np.float64]
Rows = NDArray[np.int64]

_ROUNDING = 1e-6


def finite_values(values: ArrayLike, name: str, *, where: str, dimensions: int = 1) -> Values:
    """Return the values as float64.

    Raises:
        InputError: another number of dimensions, nothing, or a value that is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != dimensions or not numbers.size:
        raise InputError(
            f"{name} has the shape {numbers.shape}",
            where=where,
            fix=f"give a non-empty {'series' if dimensions == 1 else 'matrix'}",
        )
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        raise InputError(
            f"{len(wrong)} of {numbers.size} values of {name} are not finite, "
            f"at {first_few(tuple(position.tolist()) for position in wrong)}",
            where=where,
            fix="leave those rows out, or mend what made them",
        )
    return numbers


def require_at_least(number: float, least: float, name: str, *, where: str) -> None:
    """Refuse a number below its least value, and one that is not finite."""
    if not least <= number < float("inf"):
        raise InputError(f"{name} is {number}", where=where, fix=f"give at least {least}")


def require_same_length(where: str, **arrays: NDArray[np.generic]) -> None:
    """Refuse arrays that do not hold one value for each of the same rows, or hold none."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1 or not all(lengths.values()):
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(
            f"rows do not belong together: {listed}",
            where=where,
            fix="give one value of each for every row, and at least one row",
        )


def session_numbers(days: NDArray[np.datetime64], name: str) -> Rows:
    """Position of each day in the XNYS calendar; differences count sessions.

    Raises:
        InputError: a day is missing or no session.
    """
    series = pl.Series(name, np.asarray(days, dtype="datetime64[D]"), dtype=pl.Date)
    return session_indices(series).to_numpy().astype(np.int64)


def calendar_positions(
    days: NDArray[np.datetime64], calendar: NDArray[np.datetime64], name: str, *, where: str
) -> Rows:
    """Position of each day in an ascending calendar.

    Raises:
        InputError: a day is not in the calendar.
    """
    wanted = np.asarray(days, dtype="datetime64[D]")
    found = np.searchsorted(calendar, wanted)
    inside = np.minimum(found, len(calendar) - 1)
    strangers = np.unique(wanted[calendar[inside] != wanted]) if len(calendar) else wanted
    if len(strangers):
        raise InputError(
            f"{name} holds days outside the calendar given: {first_few(strangers)}",
            where=where,
            fix="pass every session from the first decision to the last label end",
        )
    return found.astype(np.int64)


def require_forecast(probabilities: Values, labels: NDArray[np.integer], *, where: str) -> None:
    """Refuse what is no probability forecast [rows, 3] of the labels [rows]."""
    rows = len(labels)
    if not rows or probabilities.shape != (rows, len(CLASSES)):
        raise InputError(
            f"probabilities {probabilities.shape} and {rows} labels do not belong together",
            where=where,
            fix=f"give at least one row, and [rows, {len(CLASSES)}] probabilities",
        )
    sums = probabilities.sum(axis=1)
    wrong = np.flatnonzero(~(np.abs(sums - 1) < _ROUNDING))
    if len(wrong):
        raise InputError(
            f"{len(wrong)} rows do not sum to 1, the first is row {wrong[0]}: {sums[wrong[0]]}",
            where=where,
            fix="pass probabilities, not scores",
        )
    outside = np.flatnonzero((probabilities < -_ROUNDING).any(axis=1))
    if len(outside):
        raise InputError(
            f"{len(outside)} rows hold a negative probability, the first is row {outside[0]}: "
            f"{probabilities[outside[0]].tolist()}",
            where=where,
            fix="pass probabilities, not scores",
        )
    strangers = np.setdiff1d(labels, np.arange(len(CLASSES)))
    if len(strangers) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"labels of type {labels.dtype} hold {first_few(np.unique(labels))}",
            where=where,
            fix=f"number the classes {', '.join(CLASSES)} from 0",
        )
