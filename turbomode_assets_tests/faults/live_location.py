"""The real definitions over a clock of their own: the code location of a daemon in tests."""

import datetime as dt
import json
import os
from pathlib import Path

import dagster as dg

from turbomode_assets.orchestration.definitions import build

CLOCK_VARIABLE = "TURBOMODE_TESTS_CLOCK"


class ClockFile:
    """A clock that all processes read from one file.

    Once set it runs `speed` times as fast as time does, and stands still from `stops` on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def set(self, shows: dt.datetime, *, stops: dt.datetime, speed: float) -> None:
        """Let it show a time now, and run."""
        times = {"began": dt.datetime.now(dt.UTC), "shows": shows, "stops": stops}
        known = {name: time.isoformat() for name, time in times.items()} | {"speed": speed}
        unfinished = self._path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(known), encoding="utf-8")
        unfinished.replace(self._path)

    def __call__(self) -> dt.datetime:
        """Return the time that it shows."""
        known = json.loads(self._path.read_text(encoding="utf-8"))
        began, shows, stops = (
            dt.datetime.fromisoformat(known[name]) for name in ("began", "shows", "stops")
        )
        passed = dt.datetime.now(dt.UTC) - began
        return min(shows + passed * float(known["speed"]), stops)


@dg.definitions
def defs() -> dg.Definitions:
    """Load the graph of the environment's settings, its sensors by the environment's clock."""
    return build(now=ClockFile(Path(os.environ[CLOCK_VARIABLE])))
