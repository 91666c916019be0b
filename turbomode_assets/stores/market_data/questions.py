"""What market data may be asked: names that exist, and days in their order."""

import datetime as dt
import difflib
from collections.abc import Iterable, Sequence

import polars as pl

from turbomode_assets.contracts.errors import InputError, first_few

WHERE = "MarketData"


def known_names(asked: str | Sequence[str], known: Iterable[str], what: str) -> list[str]:
    """The asked names, each once and sorted.

    Raises:
        InputError: one does not exist; its nearest matches are named.
    """
    names = sorted({asked} if isinstance(asked, str) else set(asked))
    stored = set(known)
    strangers = [name for name in names if name not in stored]
    if not strangers:
        return names
    hints = [f"{name!r} (near: {', '.join(near)})" for name, near in _nearest(strangers, stored)]
    raise InputError(
        f"no such {what}: {first_few(hints)}",
        where=WHERE,
        fix=f"name one of {first_few(sorted(stored)) or 'nothing: there is none yet'}",
    )


def known_name(asked: str, known: Iterable[str], what: str) -> str:
    """The asked name.

    Raises:
        InputError: it does not exist; its nearest matches are named.
    """
    return known_names(asked, known, what)[0]


def day_condition(column: str, first: dt.date | None, last: dt.date | None) -> pl.Expr:
    """Whether a date lies in a range of days, both included; None leaves that side open."""
    terms = [pl.lit(True)]
    if first is not None:
        terms.append(pl.col(column) >= first)
    if last is not None:
        terms.append(pl.col(column) <= last)
    return pl.all_horizontal(terms)


def require_days(**days: dt.date | None) -> None:
    """Refuse what is no plain date, and a `start` after its `end`.

    Raises:
        InputError: naming the argument.
    """
    for name, day in days.items():
        if day is not None and (isinstance(day, dt.datetime) or not isinstance(day, dt.date)):
            raise InputError(
                f"{name} is {day!r}, not a date",
                where=WHERE,
                fix=f"write {name}=datetime.date(2024, 7, 3)",
            )
    start, end = days.get("start"), days.get("end")
    if start is not None and end is not None and end < start:
        raise InputError(
            f"the range ends ({end}) before it begins ({start})",
            where=WHERE,
            fix="give the earlier day as `start`",
        )


def earliest(*days: dt.date | None) -> dt.date | None:
    """The earliest of the given days; None where none is given."""
    return min((day for day in days if day is not None), default=None)


def known_by(as_of: dt.date | None) -> pl.Expr:
    """Whether a row was known when the UTC day `as_of` ended; without it, every row."""
    if as_of is None:
        return pl.lit(True)
    midnight = dt.datetime.combine(as_of + dt.timedelta(days=1), dt.time(), dt.UTC)
    return pl.col("knowledge_ts") < midnight


def _nearest(strangers: Sequence[str], stored: set[str]) -> list[tuple[str, list[str]]]:
    by_fold = {name.casefold(): name for name in sorted(stored)}
    found = []
    for name in strangers:
        near = difflib.get_close_matches(name.casefold(), by_fold, n=3, cutoff=0.5)
        found.append((name, [by_fold[each] for each in near] or ["none"]))
    return found
