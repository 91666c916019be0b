"""Which stretches of time Yahoo is asked for, so that a request can be answered whole."""

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from turbomode_assets.config.vendors import YahooConfig
from turbomode_assets.sessions import NEW_YORK, session_close, sessions_between
from turbomode_assets.vendors.protocol import Request
from turbomode_assets.vendors.timestamps import ROUND_THE_CLOCK
from turbomode_assets.vendors.yahoo.failures import refused

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """From `begin`, up to but without `end`; aware times."""

    begin: dt.datetime
    end: dt.datetime

    @property
    def seconds(self) -> tuple[int, int]:
        """Its ends as seconds from 1970."""
        return int(self.begin.timestamp()), int(self.end.timestamp())


def windows_of(
    request: Request, config: YahooConfig, now: dt.datetime, *, days_before: int = 0
) -> list[Window]:
    """Cut a request into pieces of the size that Yahoo answers.

    `days_before` are asked besides, where they are wanted only for what they tell of the span.

    Raises:
        YahooError: Yahoo does not have the timeframe, or does not look back as far as the span.
    """
    if request.timeframe not in config.look_back_days:
        has = ", ".join(sorted(config.look_back_days))
        raise refused("timeframe", f"Yahoo is asked for {has} only", retryable=False)
    whole = _span_of(request)
    back = config.look_back_days[request.timeframe]
    if back is not None and whole.begin < now - back * _DAY:
        raise refused(
            "out_of_range",
            f"{request.span} begins more than the {back} days ago that Yahoo keeps "
            f"{request.timeframe} bars",
            retryable=False,
        )
    whole = Window(whole.begin - days_before * _DAY, whole.end)
    days = config.days_per_request.get(request.timeframe)
    pieces = [whole] if days is None else _cut(whole, days * _DAY)
    return [piece for piece in pieces if _has_trading(piece, request.calendar)]


def trading_day(moment: dt.datetime, calendar: str) -> dt.date:
    """Day that a moment lies in: of New York, or of UTC around the clock."""
    return moment.astimezone(_zone(calendar)).date()


def _span_of(request: Request) -> Window:
    span = request.span
    if request.calendar == ROUND_THE_CLOCK:
        return Window(_midnight(span.first_day, dt.UTC), _midnight(span.last + _DAY, dt.UTC))
    new_york = _zone(request.calendar)
    if request.timeframe == "1d":
        # A day's newest row bears the time of its last trade, which may follow the close.
        end = _midnight(span.last + _DAY, new_york)
    else:
        end = session_close(span.last)
    return Window(_midnight(span.first, new_york), end)


def _cut(whole: Window, length: dt.timedelta) -> list[Window]:
    pieces, begin = [], whole.begin
    while begin < whole.end:
        # By UTC: a New York day may have 25 hours, and a piece of 8 such days be refused.
        end = min((begin.astimezone(dt.UTC) + length), whole.end)
        pieces.append(Window(begin, end))
        begin = end
    return pieces


def _has_trading(window: Window, calendar: str) -> bool:
    if calendar == ROUND_THE_CLOCK:
        return True
    last_moment = window.end - dt.timedelta(seconds=1)
    first, last = (trading_day(moment, calendar) for moment in (window.begin, last_moment))
    return bool(sessions_between(first, last))


def _zone(calendar: str) -> dt.tzinfo:
    return dt.UTC if calendar == ROUND_THE_CLOCK else ZoneInfo(NEW_YORK)


def _midnight(day: dt.date, zone: dt.tzinfo) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), zone)
