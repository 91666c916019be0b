"""Which historical requests answer for a span: as few as possible, each within IB's table.

IB does not say whether a duration in days counts calendar days or sessions, nor in which time zone
months are counted. The plan holds under each reading: a request answers only for the days that it
covers under all of them, and its reply may hold whatever it may under any.
"""

import bisect
import calendar as months
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from turbomode_assets.config.vendors import IbkrConfig, IbkrRequestConfig
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets.contracts.timeframes import INTRADAY_MINUTES
from turbomode_assets.sessions import NEW_YORK, SessionSpan, session_close, session_open
from turbomode_assets.vendors.timestamps import ROUND_THE_CLOCK

BAR_MINUTES = {"1 min": 1, "30 mins": 30}
"""Length of the intraday bars that may be asked for; `1 day` has no fixed one."""

DAILY = "1 day"

_ALLOWED_DURATIONS = {
    "1 min": ("1 D",),
    "30 mins": ("1 D", "2 D", "1 W", "1 M"),
    DAILY: ("1 D", "2 D", "1 W", "1 M", "1 Y"),
}
"""IB's table, for the bar sizes in use. It lists no other durations of a day or longer: what lies
between two rows (`10 D` of `1 min`) is often accepted, but promised nowhere."""


@dataclass(frozen=True)
class Piece:
    """One historical request, and the days from `first_day` to `last_day` it answers for.

    A bar before `earliest_day` cannot belong to its reply, however the duration is read.
    """

    end: dt.datetime
    duration: str
    bar_size: str
    first_day: dt.date
    last_day: dt.date
    earliest_day: dt.date


def check_requests(config: IbkrConfig) -> None:
    """Refuse bars and durations that IB does not promise to deliver.

    Raises:
        ConfigurationError: a duration is outside IB's table, or bars do not make up a timeframe.
    """
    for timeframe, wanted in config.requests.items():
        where = f"vendors.json, ibkr.requests.{timeframe}"
        fitting = [size for size in _ALLOWED_DURATIONS if _makes_up(size, timeframe)]
        if wanted.bar_size not in fitting:
            raise ConfigurationError(
                f"bars of {wanted.bar_size!r} do not make up {timeframe}",
                where=f"{where}.bar_size",
                fix=f"write one of {', '.join(fitting)}",
            )
        allowed = _ALLOWED_DURATIONS[wanted.bar_size]
        if wanted.duration not in allowed:
            raise ConfigurationError(
                f"IB promises no {wanted.duration!r} of {wanted.bar_size!r} bars in one request",
                where=f"{where}.duration",
                fix=f"write one of {', '.join(allowed)}",
            )


def _makes_up(bar_size: str, timeframe: str) -> bool:
    if timeframe not in INTRADAY_MINUTES or bar_size == DAILY:
        return timeframe not in INTRADAY_MINUTES and bar_size == DAILY
    return INTRADAY_MINUTES[timeframe] % BAR_MINUTES[bar_size] == 0


def plan(
    span: SessionSpan, calendar: str, wanted: IbkrRequestConfig, now: dt.datetime
) -> list[Piece]:
    """Fewest requests that together answer for every day of a span that has begun, in order."""
    days = [day for day in _days(span, calendar) if _begin(day, calendar) < now]
    pieces: list[Piece] = []
    remaining = len(days)
    while remaining:
        last = days[remaining - 1]
        end = min(_end(last, calendar), now.astimezone(dt.UTC).replace(microsecond=0))
        first = _first_covered(days[:remaining], calendar, end, wanted.duration)
        pieces.append(
            Piece(
                end=end,
                duration=wanted.duration,
                bar_size=wanted.bar_size,
                first_day=days[first],
                last_day=last,
                earliest_day=_earliest(last, calendar, end, wanted.duration),
            )
        )
        remaining = first
    return pieces[::-1]


def _days(span: SessionSpan, calendar: str) -> list[dt.date]:
    if calendar != ROUND_THE_CLOCK:
        return span.sessions
    count = (span.last - span.first_day).days + 1
    return [span.first_day + dt.timedelta(days=offset) for offset in range(count)]


def _begin(day: dt.date, calendar: str) -> dt.datetime:
    if calendar != ROUND_THE_CLOCK:
        return session_open(day)
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def _end(day: dt.date, calendar: str) -> dt.datetime:
    if calendar != ROUND_THE_CLOCK:
        return session_close(day)
    return dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(days=1)


def _first_covered(days: Sequence[dt.date], calendar: str, end: dt.datetime, duration: str) -> int:
    """Position of the first day that lies wholly inside the duration, whoever counts it."""
    begin = max(_starts(end, duration))
    first = bisect.bisect_left(days, begin, key=lambda day: _begin(day, calendar))
    return min(first, len(days) - 1)


def _earliest(last: dt.date, calendar: str, end: dt.datetime, duration: str) -> dt.date:
    begin = min(_starts(end, duration)).date()
    count, unit = _parts(duration)
    if calendar != ROUND_THE_CLOCK and unit in "DW":
        sessions = count if unit == "D" else 5 * count
        begin = min(begin, SessionSpan(last, last).trailing(sessions).first)
    return begin - dt.timedelta(days=1)


def _starts(end: dt.datetime, duration: str) -> list[dt.datetime]:
    """When a duration that ends at `end` begins, counted in UTC and in New York time."""
    count, unit = _parts(duration)
    if unit in "DW":
        return [end - dt.timedelta(days=count if unit == "D" else 7 * count)]
    back = count if unit == "M" else 12 * count
    return [
        _months_before(end.astimezone(zone), back).astimezone(dt.UTC)
        for zone in (dt.UTC, ZoneInfo(NEW_YORK))
    ]


def _months_before(moment: dt.datetime, count: int) -> dt.datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 - count, 12)
    day = min(moment.day, months.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def _parts(duration: str) -> tuple[int, str]:
    count, unit = duration.split()
    return int(count), unit
