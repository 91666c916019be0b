"""The tasks as lines for a terminal: on or off, when next, how the last run went, and why not."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from rich.text import Text

REPAIRED = "repaired"
"""Outcome of a run that failed and whose work other runs have all done since."""
STYLES = {"succeeded": "green", "failed": "bold red", "under way": "yellow", REPAIRED: "green"}
NARROWEST = 80
_NONE = "-"


@dataclass(frozen=True)
class LastRun:
    """The latest run of a task; `error` where it failed, `seconds` once it has ended.

    `left_undone` names what of a failed run is missing still, where a part of it was made since.
    """

    sessions: str
    outcome: str
    began_at: dt.datetime
    seconds: float | None
    error: str | None
    left_undone: str | None = None


@dataclass(frozen=True)
class TaskRow:
    """What is known of a task; `notes` say what it waits for."""

    name: str
    is_on: bool
    next_due: dt.datetime
    last: LastRun | None
    notes: tuple[str, ...]


def task_lines(
    rows: Sequence[TaskRow], *, seen_at: dt.datetime, zone: str, width: int = NARROWEST
) -> list[Text]:
    """Return a line for each task, and one for each error or note; times are of `zone`.

    Only the errors and notes may be longer than `width` (`NARROWEST` at least).
    """
    width = max(width, NARROWEST)
    lines = [
        Text(f"Tasks at {seen_at.astimezone(ZoneInfo(zone)):%H:%M:%S} ({zone})", style="bold"),
        Text(
            f"  {'':<18}{'next':<17}{'last run':<22}{'began':<12}{'took':>8}",
            style="dim",
        ),
    ]
    for row in rows:
        line = _row_line(row, zone)
        line.truncate(width, overflow="ellipsis")
        lines += [line, *_remarks(row)]
    return lines


def _row_line(row: TaskRow, zone: str) -> Text:
    due = f"{row.next_due.astimezone(ZoneInfo(zone)):%a %m-%d %H:%M}"
    line = Text(f"  {row.name:<14}")
    line.append(f"{'on' if row.is_on else 'off':<4}", style=None if row.is_on else "yellow")
    line.append(f"{due if row.is_on else _NONE:<17}")
    if row.last is None:
        return line.append("never ran")
    began = f"{row.last.began_at.astimezone(ZoneInfo(zone)):%m-%d %H:%M}"
    line.append(f"{row.last.sessions:<11}")
    line.append(f"{row.last.outcome:<11}", style=STYLES.get(row.last.outcome))
    took = "" if row.last.seconds is None else f"{row.last.seconds:,.0f} s"
    return line.append(f"{began:<12}{took:>8}")


def _remarks(row: TaskRow) -> list[Text]:
    errors = [row.last.error] if row.last and row.last.error else []
    if row.last and row.last.left_undone:
        errors.append(f"left undone: {row.last.left_undone}")
    return [
        *(Text(f"    {error}", style=STYLES["failed"]) for error in errors),
        *(Text(f"    {note}", style="dim") for note in row.notes),
    ]
