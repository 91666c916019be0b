"""Titled tables with sentences, laid out for a terminal."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

_INDENT = "  "
_NOTE = "      "
_LEAST_LAST_COLUMN = 24


@dataclass(frozen=True)
class Block:
    """A titled table, a note under each of its rows, and sentences; `warnings` stand out.

    Columns named in `numeric` are aligned right. Without headings the rows are names and values.
    """

    title: str
    rows: Sequence[Sequence[str]] = ()
    headings: Sequence[str] = ()
    numeric: Sequence[int] = ()
    notes: Sequence[str] = ()
    remarks: Sequence[str] = ()
    warnings: Sequence[str] = ()


def block_lines(block: Block, width: int) -> list[Text]:
    """Lay a block out in lines of at most `width` characters, its title first."""
    lines = [Text(block.title, style="bold"), *_table_lines(block, width)]
    for text in block.remarks:
        lines += _wrapped(text, width)
    for text in block.warnings:
        lines += _wrapped(text, width, style="bold red")
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.rstrip()
    return lines


def _table_lines(block: Block, width: int) -> list[Text]:
    """Lay out rows in columns; the last one takes what is left, and is folded."""
    table = [block.headings, *block.rows] if block.headings else block.rows
    if not block.rows:
        return []
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    gap = 2 if len(_INDENT) + sum(widths) + 2 * (len(widths) - 1) <= width else 1
    before = len(_INDENT) + sum(widths[:-1]) + gap * (len(widths) - 1)
    widths[-1] = min(widths[-1], max(width - before, _LEAST_LAST_COLUMN))
    lines = []
    for number, row in enumerate(table):
        is_heading = bool(block.headings) and number == 0
        folded = textwrap.wrap(row[-1], widths[-1]) or [""]
        cells = [
            cell.rjust(size) if at in block.numeric else cell.ljust(size)
            for at, (cell, size) in enumerate(zip([*row[:-1], folded[0]], widths, strict=True))
        ]
        style = "dim" if is_heading else ""
        lines.append(Text(_INDENT + (" " * gap).join(cells), style=style))
        lines += [Text(" " * before + more) for more in folded[1:]]
        if block.notes and not is_heading:
            lines += _wrapped(block.notes[number - bool(block.headings)], width, _NOTE, "dim")
    return lines


def _wrapped(text: str, width: int, indent: str = _INDENT, style: str = "") -> list[Text]:
    folded = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
    return [Text(line, style=style) for line in folded]
