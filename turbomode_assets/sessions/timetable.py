"""When something that runs by a cron expression is due for a session.

A time that a clock change skips is moved to the next one that exists; one that it repeats counts
the first time. So what is due at 02:00 runs once on each Sunday of the year.
"""

import bisect
import datetime as dt
import functools
from zoneinfo import ZoneInfo

from cronsim import CronSim

from turbomode_assets.sessions.calendar import (
    last_closed_session,
    offset_session,
    session_close,
    sessions_between,
)
from turbomode_assets.sessions.layout import CALENDAR_START

_REMEMBERED = 65_536


@functools.lru_cache(maxsize=_REMEMBERED)
def due_time(cron: str, session: dt.date, zone: str) -> dt.datetime:
    """Return the first time that `cron` names in `zone` after the session's close, in UTC.

    Raises:
        InputError: the day is no session.
    """
    close = session_close(session).astimezone(ZoneInfo(zone))
    return next(CronSim(cron, close)).astimezone(dt.UTC)


def newest_due_session(cron: str, zone: str, now: dt.datetime) -> dt.date:
    """Return the latest session that is due at `now`.

    Raises:
        InputError: the time names no time zone, or lies outside the calendar.
    """
    session = last_closed_session(now)
    while due_time(cron, session, zone) > now:
        session = offset_session(session, -1)
    return session


def due_sessions(cron: str, zone: str, now: dt.datetime, within: dt.timedelta) -> list[dt.date]:
    """Sessions that became due in the time `within` up to `now`, the oldest first.

    Raises:
        InputError: the time names no time zone, or lies outside the calendar.
    """
    sessions = sessions_between(CALENDAR_START, newest_due_session(cron, zone, now))
    since = now - within
    return sessions[
        bisect.bisect_left(sessions, since, key=lambda day: due_time(cron, day, zone)) :
    ]


def next_due(cron: str, zone: str, now: dt.datetime) -> tuple[dt.date, dt.datetime]:
    """Return the newest session of those that are due next after `now`, and when.

    Raises:
        InputError: the time names no time zone, or lies outside the calendar.
    """
    session = offset_session(newest_due_session(cron, zone, now), 1)
    due = due_time(cron, session, zone)
    while due_time(cron, later := offset_session(session, 1), zone) == due:
        session = later
    return session, due
