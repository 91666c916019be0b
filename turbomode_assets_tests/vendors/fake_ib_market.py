"""What the fake IB knows: contracts, bars as functions of their start, and IB's pacing rules."""

import calendar as months
import datetime as dt
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from turbomode_assets.sessions import session_close, session_open, sessions_between

MINUTE = dt.timedelta(minutes=1)
BAR_MINUTES = {"1 min": 1, "5 mins": 5, "15 mins": 15, "30 mins": 30, "1 hour": 60}
LISTED = dt.datetime(1999, 3, 1, 14, 30, tzinfo=dt.UTC)
INDUSTRY = "Made-up goods"
EASTERN_NAME = "US/Eastern"


@dataclass(frozen=True)
class FakeContract:
    """A contract as requests name it."""

    con_id: int
    symbol: str
    security_type: str
    exchange: str
    primary_exchange: str
    currency: str


@dataclass(frozen=True)
class FakeRequest:
    """A historical request as it arrived: bars, a schedule, or a head timestamp."""

    kind: str
    request_id: int
    contract: FakeContract
    what_to_show: str
    regular_hours: bool
    end: str = ""
    duration: str = ""
    bar_size: str = ""

    @property
    def identity(self) -> tuple[object, ...]:
        return (
            self.kind,
            self.group,
            self.regular_hours,
            self.end,
            self.duration,
            self.bar_size,
        )

    @property
    def group(self) -> tuple[object, ...]:
        return (self.contract.symbol, self.contract.exchange, self.what_to_show)

    @property
    def weight(self) -> int:
        return 2 if self.what_to_show == "BID_ASK" else 1


@dataclass(frozen=True)
class FakeBar:
    """One bar; `stamp` is what goes over the wire: a date, or seconds since 1970."""

    stamp: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    average: float
    count: int

    def fields(self) -> list[object]:
        prices = [self.open, self.high, self.low, self.close]
        return [self.stamp, *prices, self.volume, self.average, self.count]


def contract_id(symbol: str) -> int:
    return 1 + zlib.crc32(symbol.encode()) % 1_000_000


def bar_of(symbol: str, stamp: str, key: int) -> FakeBar:
    """The bar with this key (its minute or its day since 1970): always the same."""
    base = 50 + contract_id(symbol) % 400
    first, last = (base + (number * 7919 % 1000) / 1000 for number in (key, key + 1))
    return FakeBar(
        stamp=stamp,
        open=first,
        high=max(first, last) + 0.25,
        low=min(first, last) - 0.25,
        close=last,
        volume=1000 + key * 31 % 500,
        average=(first + last) / 2,
        count=10 + key % 50,
    )


def bars_of(request: FakeRequest) -> list[FakeBar]:
    """Bars whose start lies inside the request; the last may still be forming at its end."""
    symbol = request.contract.symbol
    end = dt.datetime.strptime(request.end, "%Y%m%d %H:%M:%S %Z").replace(tzinfo=dt.UTC)
    begin = max(_begin(end, request.duration), LISTED)
    around_the_clock = request.contract.security_type == "CRYPTO"
    spans = list(_days(begin, end) if around_the_clock else _sessions(begin, end))
    count, unit = request.duration.split()
    if unit == "D" and not around_the_clock:
        spans = spans[-int(count) :]
    if request.bar_size == "1 day":
        return [
            bar_of(symbol, f"{day:%Y%m%d}", day.toordinal())
            for day, opened, _ in spans
            if opened >= begin or unit == "D"
        ]
    size = dt.timedelta(minutes=BAR_MINUTES[request.bar_size])
    return [
        bar_of(symbol, str(int(start.timestamp())), int(start.timestamp()) // 60)
        for _, opened, closed in spans
        for start in _starts(opened, min(closed, end), size)
        if start >= begin or unit == "D"
    ]


def _begin(end: dt.datetime, duration: str) -> dt.datetime:
    count, unit = int(duration.split()[0]), duration.split()[1]
    if unit in "SW":
        return end - dt.timedelta(**{"seconds" if unit == "S" else "weeks": count})
    if unit == "D":
        return end - dt.timedelta(days=count)
    back = count if unit == "M" else 12 * count
    year, month = divmod(end.year * 12 + end.month - 1 - back, 12)
    day = min(end.day, months.monthrange(year, month + 1)[1])
    return end.replace(year=year, month=month + 1, day=day)


Span = tuple[dt.date, dt.datetime, dt.datetime]


def _sessions(begin: dt.datetime, end: dt.datetime) -> Iterator[Span]:
    # Days of a duration are sessions here, so a long week-end reaches further back.
    for day in sessions_between(begin.date() - dt.timedelta(days=10), end.date()):
        if session_open(day) < end:
            yield day, session_open(day), session_close(day)


def _days(begin: dt.datetime, end: dt.datetime) -> Iterator[Span]:
    midnight = begin.replace(hour=0, minute=0, second=0)
    while midnight < end:
        yield midnight.date(), midnight, midnight + dt.timedelta(days=1)
        midnight += dt.timedelta(days=1)


def _starts(opened: dt.datetime, closed: dt.datetime, size: dt.timedelta) -> Iterator[dt.datetime]:
    """Aligned to the clock, as IB does: the first bar of a session may be short."""
    start = opened
    while start < closed:
        yield start
        seconds = start.timestamp() // size.total_seconds() * size.total_seconds()
        start = dt.datetime.fromtimestamp(seconds, dt.UTC) + size


@dataclass
class Pacing:
    """IB's four rules on arrival times, whose violations are answered with error 162."""

    clock: Callable[[], float]
    arrivals: list[tuple[float, FakeRequest]] = field(default_factory=list)
    open_requests: set[int] = field(default_factory=set)

    def broken_by(self, request: FakeRequest) -> str | None:
        """Count a request, and name the rule that it breaks."""
        now = self.clock()
        self.arrivals.append((now, request))
        recent = [(now - at, before) for at, before in self.arrivals if now - at < 600]
        identical = [
            before for age, before in recent if age < 15 and before.identity == request.identity
        ]
        alike = [before for age, before in recent if age < 2 and before.group == request.group]
        if len(identical) > 1:
            return "identical within 15 s"
        if sum(before.weight for before in alike) >= 6:
            return "six for one contract, exchange and tick type within 2 s"
        if sum(before.weight for _, before in recent) > 60:
            return "more than 60 in 10 min"
        if len(self.open_requests) >= 50:
            return "more than 50 open"
        self.open_requests.add(request.request_id)
        return None
