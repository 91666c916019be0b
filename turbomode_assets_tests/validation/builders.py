"""Sessions and forecasts to judge."""

import datetime as dt
import functools

import numpy as np

from turbomode_assets.sessions import offset_session, sessions_between

FIRST = dt.date(2016, 1, 4)


@functools.cache
def make_calendar(count: int) -> list[dt.date]:
    """`count` sessions in order."""
    return sessions_between(FIRST, offset_session(FIRST, count - 1))


def make_days(*numbers: int) -> np.ndarray:
    """The sessions that many sessions after the first."""
    wanted = np.array(numbers, dtype=np.int64)
    calendar = make_calendar(int(wanted.max()) + 1)
    return np.asarray(calendar, dtype="datetime64[D]")[wanted]
