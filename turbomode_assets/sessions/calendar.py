"""The XNYS session calendar, answered with plain dates."""

import bisect
import datetime as dt
import functools
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions.layout import (
    CALENDAR_END,
    CALENDAR_START,
    SessionLayout,
    xnys_layout,
)

NEW_YORK = "America/New_York"
FIRST_SESSION = dt.date(2000, 1, 3)


@functools.cache
def _layout() -> SessionLayout:
    return xnys_layout()


@functools.cache
def _sessions() -> list[dt.date]:
    sessions: list[dt.date] = _layout().sessions.tolist()
    return sessions


@functools.cache
def _session_dates() -> pl.Series:
    return pl.Series(_layout().sessions)


@functools.cache
def _session_opens() -> pl.Series:
    return pl.Series(_layout().opens).dt.replace_time_zone("UTC")


@functools.cache
def _session_closes() -> pl.Series:
    return pl.Series(_layout().closes).dt.replace_time_zone("UTC")


@functools.cache
def _positions() -> dict[dt.date, int]:
    return {session: position for position, session in enumerate(_sessions())}


def is_session(day: dt.date) -> bool:
    """Tell whether XNYS trades on this day."""
    return day in _positions()


def require_session(day: dt.date, *, where: str) -> dt.date:
    """Return `day` if it is a session.

    Raises:
        InputError: the day is a weekend, holiday or outside the calendar.
    """
    if not is_session(day):
        following = session_of(day)
        raise InputError(
            f"{day} ({day:%A}) is not an XNYS session",
            where=where,
            fix=f"use a session: {offset_session(following, -1)} before it, {following} after",
        )
    return day


def session_index(session: dt.date) -> int:
    """Position of a session in the calendar; differences count sessions."""
    return _positions()[require_session(session, where="session_index")]


def session_indices(days: pl.Series) -> pl.Series:
    """Vectorised `session_index`.

    Raises:
        InputError: a day is missing or no session.
    """
    _require_days(days)
    calendar = np.asarray(_sessions(), dtype="datetime64[D]")
    wanted = days.cast(pl.Date).to_numpy().astype("datetime64[D]")
    found = np.minimum(np.searchsorted(calendar, wanted), len(calendar) - 1)
    for stranger in wanted[calendar[found] != wanted][:1]:
        require_session(stranger.item(), where=f"column {days.name}")
    return pl.Series(days.name, found, dtype=pl.Int64)


def session_of(day: dt.date) -> dt.date:
    """Return the session that a calendar day belongs to: itself, or the next one.

    Raises:
        InputError: the day lies outside the calendar.
    """
    sessions = _sessions()
    position = bisect.bisect_left(sessions, day)
    if not CALENDAR_START <= day <= CALENDAR_END or position == len(sessions):
        raise InputError(
            f"{day} lies outside the session calendar",
            where=f"XNYS, {CALENDAR_START} to {CALENDAR_END}",
            fix="use a day inside it, or move the bounds in sessions/layout.py",
        )
    return sessions[position]


def sessions_of(days: pl.Series) -> pl.Series:
    """Vectorised `session_of`.

    Raises:
        InputError: a day is missing or lies outside the calendar.
    """
    if days.is_empty():
        return days.cast(pl.Date)
    _require_days(days)
    session_of(days.min())  # type: ignore[arg-type]  # a Date series has a date as its minimum
    session_of(days.max())  # type: ignore[arg-type]
    known = _session_dates()
    positions = np.searchsorted(known.to_numpy(), days.cast(pl.Date).to_numpy(), side="left")
    return known.gather(positions).alias(days.name)


def sessions_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """Sessions from `first` to `last`, both included; the ends need not be sessions."""
    sessions = _sessions()
    return sessions[bisect.bisect_left(sessions, first) : bisect.bisect_right(sessions, last)]


def offset_session(session: dt.date, count: int) -> dt.date:
    """Return the session `count` sessions later (earlier when negative).

    Raises:
        InputError: the result lies outside the calendar.
    """
    position = session_index(session) + count
    if not 0 <= position < len(_sessions()):
        raise InputError(
            f"{count:+d} sessions from {session} leaves the session calendar",
            where=f"XNYS, {CALENDAR_START} to {CALENDAR_END}",
            fix="use a session further from its ends",
        )
    return _sessions()[position]


def session_open(session: dt.date) -> dt.datetime:
    """Open of a session, UTC."""
    return _time(_layout().opens, require_session(session, where="session_open"))


def session_opens(sessions: pl.Series) -> pl.Series:
    """Vectorised `session_open`.

    Raises:
        InputError: a day is no session.
    """
    following = sessions_of(sessions)
    strays = sessions.filter(following != sessions)
    if len(strays):
        require_session(strays[0], where="session_opens")
    positions = np.searchsorted(_session_dates().to_numpy(), following.to_numpy())
    return _session_opens().gather(positions).alias(sessions.name)


@functools.cache
def session_close(session: dt.date) -> dt.datetime:
    """Close of a session, UTC; early on half days."""
    return _time(_layout().closes, require_session(session, where="session_close"))


def session_closes(sessions: pl.Series) -> pl.Series:
    """Vectorised `session_close`.

    Raises:
        InputError: a day is missing or no session.
    """
    if sessions.is_empty():
        return sessions.cast(_session_closes().dtype)
    return _session_closes().gather(session_indices(sessions)).alias(sessions.name)


def last_closed_session(now: dt.datetime) -> dt.date:
    """Return the latest session whose close is not after `now` (an aware datetime).

    Raises:
        InputError: the time names no time zone, or lies outside the calendar.
    """
    if now.tzinfo is None:
        raise InputError(
            f"{now} names no time zone",
            where="last_closed_session",
            fix="pass an aware datetime, for example in UTC",
        )
    following = session_of(now.astimezone(ZoneInfo(NEW_YORK)).date())
    return following if session_close(following) <= now else offset_session(following, -1)


def closures() -> list[dt.date]:
    """Weekdays from the first partition on when XNYS is closed all day."""
    days = (
        FIRST_SESSION + dt.timedelta(days=offset)
        for offset in range((CALENDAR_END - FIRST_SESSION).days + 1)
    )
    return [day for day in days if day.weekday() < 5 and not is_session(day)]


def _time(times: NDArray[np.datetime64], session: dt.date) -> dt.datetime:
    time: dt.datetime = times[_positions()[session]].item()
    return time.replace(tzinfo=dt.UTC)


def _require_days(days: pl.Series) -> None:
    if days.null_count():
        raise InputError(
            f"{days.null_count()} of {days.len()} days are missing",
            where=f"column {days.name}",
            fix="leave rows without a day out, or date them",
        )
