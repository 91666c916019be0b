"""Tables: each column is declared once, with its heading and how a row's cell is written."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["", "n", "wide"]
"""Aligned left, aligned right as numbers are, or folded where text is long."""


@dataclass(frozen=True)
class Column:
    """A heading, and what stands under it for a row."""

    heading: str
    cell: Callable[[Any], object]
    kind: Kind = ""


@dataclass(frozen=True)
class Table:
    """What the macro `table` lays out: headings with their kinds, cells, and notes under rows."""

    columns: Sequence[Column]
    rows: list[list[object]]
    notes: list[str | None]


def table(
    columns: Sequence[Column], rows: Iterable[Any], note: Callable[[Any], str | None] | None = None
) -> Table | None:
    """Write the cells of every row; None where there is no row."""
    rows = list(rows)
    if not rows:
        return None
    cells = [[column.cell(row) for column in columns] for row in rows]
    return Table(columns, cells, [note(row) if note else None for row in rows])
