"""How tasks are switched and how sensors fare, as plain data."""

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True)
class Switch:
    """How a task is switched: by hand, or else by its configuration.

    `since` is when it was switched on, or when a daemon first saw it on; None while it is off,
    and where nobody wrote it down.
    """

    is_on: bool
    by_hand: bool
    since: dt.datetime | None


@dataclass(frozen=True)
class SensorFailure:
    """A sensor that is not switched off and whose last tick ended in an error."""

    name: str
    line: str
