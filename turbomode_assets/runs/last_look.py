"""What the daemon's last look at the tasks saw, in a file of Dagster's home.

Whoever asks for the tasks soon after it need not open Dagster's instance, which takes seconds.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from turbomode_assets.reports.tasks import TaskRow
from turbomode_assets.stores.whole_files import replace_file

_FILE = "tasks.json"


@dataclass(frozen=True)
class TaskLook:
    """Every task as it stood at a moment."""

    at: dt.datetime
    rows: list[TaskRow]


def keep_look(home: Path, look: TaskLook) -> None:
    """Put a look in the place of the one before it, as a whole."""
    replace_file(home / _FILE, _looks().dump_json(look).decode())


def kept_look(home: Path, *, now: dt.datetime, within: dt.timedelta) -> TaskLook | None:
    """Return the last look; None where none was kept within a time, or in another form."""
    try:
        look = _looks().validate_json((home / _FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return look if now - within <= look.at <= now else None


def forget_look(home: Path) -> None:
    """Forget the last look, for what it saw is about to change."""
    (home / _FILE).unlink(missing_ok=True)


def _looks() -> TypeAdapter[TaskLook]:
    return TypeAdapter(TaskLook)
