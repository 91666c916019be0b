"""The record of runs, as maintenance sees it."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class ArchivedRuns:
    """How many runs were packed, and how many of them are not on record any more."""

    packed: int
    deleted: int


class RunHistory(Protocol):
    """What maintenance asks of the record of runs."""

    def archive(self, folder: Path, *, ended_before: dt.datetime) -> ArchivedRuns:
        """Pack every run that ended before a time into a file of the folder, once."""

    def has_ended(self, run_id: str) -> bool:
        """Whether a run is on record and has ended."""

    def revision_cursors(self) -> set[int]:
        """Versions of data_quality_log that the search for revisions goes on from."""
