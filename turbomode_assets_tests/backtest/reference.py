"""A backtest in plain Python, written from DESIGN section 4 and from nothing of the package.

Prices are dictionaries, decisions are followed bar by bar, and the book is kept dollar by dollar.
"""

import datetime as dt
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

LONG, SHORT = 1.0, -1.0
LEAST_SHARE = 1e-6
"""Room below this share of the equity is rounding."""


class Bar(NamedTuple):
    open: float
    high: float
    low: float
    close: float


class Event(NamedTuple):
    """A split of `ratio` new shares for an old one, or a dividend of `amount` (the other is 0)."""

    day: dt.date
    ratio: float
    amount: float


class Delisting(NamedTuple):
    last: dt.date
    known: dt.date


class Signal(NamedTuple):
    symbol: str
    session: dt.date
    side: float
    probability: float


@dataclass(frozen=True)
class Rule:
    """Barriers in volatilities; window and horizon in sessions. Entries are at the next open."""

    profit_take: float
    stop_loss: float
    horizon: int
    window: int


@dataclass(frozen=True)
class Terms:
    """What trading costs, as shares of an amount, and how much of the equity it may take."""

    capital: float
    cost: float
    slippage: float
    limit: float
    gross: float
    positions: int


class Ending(NamedTuple):
    """`known` is the session on which it is; `session` that of the price."""

    known: dt.date
    session: dt.date
    price: float
    reason: str


@dataclass
class Day:
    session: dt.date
    cash: float
    positions: dict[str, float] = field(default_factory=dict)
    """Signed values at the close."""
    turnover: float = 0.0

    @property
    def equity(self) -> float:
        return self.cash + math.fsum(self.positions.values())


@dataclass
class Trade:
    signal: Signal
    entry_session: dt.date
    quoted_entry: float
    quantity: float
    """Above 0."""
    entry_price: float
    cost: float
    ending: Ending | None = None
    exit_price: float | None = None
    profit: float = 0.0
    """Before costs; at the last close while it is open."""

    def ends_on(self, day: Day) -> bool:
        return self.ending is not None and self.ending.known == day.session

    @property
    def made(self) -> float:
        """Return after costs, of the amount at entry."""
        return (self.profit - self.cost) / (self.quantity * self.entry_price)


def forward_adjusted(
    unadjusted: Mapping[dt.date, Bar], events: Sequence[Event]
) -> dict[dt.date, Bar]:
    """Prices x the product, over events up to the day, of ratio / (1 - amount / close before)."""
    waiting, factor, close_before = sorted(events), 1.0, None
    result = {}
    for day in sorted(unadjusted):
        while waiting and waiting[0].day <= day:
            event = waiting.pop(0)
            if event.amount and close_before is not None:
                factor /= 1 - event.amount / close_before
            factor *= event.ratio or 1.0
        result[day] = Bar(*(price * factor for price in unadjusted[day]))
        close_before = unadjusted[day].close
    return result


def volatility(
    bars: Mapping[dt.date, Bar], sessions: Sequence[dt.date], decided: int, window: int
) -> float | None:
    """Standard deviation of the log returns up to a decision; None with a hole in them."""
    days = sessions[max(decided - window, 0) : decided + 1]
    if len(days) <= window or any(day not in bars for day in days):
        return None
    closes = [bars[day].close for day in days]
    return statistics.stdev(math.log(b / a) for a, b in itertools.pairwise(closes))


def ending(
    bars: Mapping[dt.date, Bar],
    sessions: Sequence[dt.date],
    decided: int,
    rule: Rule,
    gone: Delisting | None = None,
) -> Ending | None:
    """How a decision ends, of which there is an entry bar; None while that is not known."""
    width = volatility(bars, sessions, decided, rule.window)
    assert width
    entry = bars[sessions[decided + 1]].open
    upper, lower = entry * (1 + rule.profit_take * width), entry * (1 - rule.stop_loss * width)
    last = sessions[decided + 1]
    for age, day in enumerate(sessions[decided + 1 : decided + rule.horizon + 2]):
        bar = bars.get(day)
        if bar is not None:
            last = day
            if age and bar.open >= upper:
                return Ending(day, day, bar.open, "profit_take")
            if age and bar.open <= lower:
                return Ending(day, day, bar.open, "stop_loss")
            if bar.low <= lower:
                return Ending(day, day, lower, "stop_loss")
            if bar.high >= upper:
                return Ending(day, day, upper, "profit_take")
        is_last = age == rule.horizon
        if gone and max(gone) <= day and not (is_last and gone.last == day):
            return Ending(day, last, bars[last].close, "delisting")
        if is_last:
            return Ending(day, last, bars[last].close, "expiry")
    return None


@dataclass
class Book:
    """Trades and days of signals, from the session `first` to the last of `sessions`."""

    signals: Sequence[Signal]
    first: dt.date
    market: Mapping[str, Mapping[dt.date, Bar]]
    sessions: Sequence[dt.date]
    rule: Rule
    terms: Terms
    gone: Mapping[str, Delisting] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    days: list[Day] = field(default_factory=list)
    held: dict[str, Trade] = field(default_factory=dict)
    marks: dict[str, float] = field(default_factory=dict)

    def keep(self) -> "Book":
        """Go through the sessions in order."""
        self.days.append(Day(self.first, self.terms.capital))
        for decided in range(self.sessions.index(self.first), len(self.sessions) - 1):
            day = Day(self.sessions[decided + 1], self.days[-1].cash)
            self._open(day, decided)
            for symbol, bars in self.market.items():
                if day.session in bars:
                    self.marks[symbol] = bars[day.session].close
            for symbol in [name for name, trade in self.held.items() if trade.ends_on(day)]:
                self._close(day, self.held.pop(symbol))
            for symbol, trade in self.held.items():
                day.positions[symbol] = trade.signal.side * trade.quantity * self.marks[symbol]
            self.days.append(day)
        for symbol, trade in self.held.items():
            gained = self.marks[symbol] - trade.entry_price
            trade.profit = trade.signal.side * trade.quantity * gained
        return self

    def _open(self, day: Day, decided: int) -> None:
        """Open what fits. Sizes and limits are of the equity at the close before."""
        terms, equity = self.terms, self.days[-1].equity
        # What a position costs is paid from the same room: no cash is borrowed for it.
        room = terms.gross * equity - math.fsum(map(abs, self.days[-1].positions.values()))
        room /= 1 + terms.gross * terms.cost
        wished = min(terms.gross / terms.positions, terms.limit) * equity
        waiting = [each for each in self.signals if each.session == self.sessions[decided]]
        for signal in sorted(waiting, key=lambda each: (-each.probability, each.symbol)):
            bars, amount = self.market[signal.symbol], min(wished, room)
            has_entry = day.session in bars and volatility(
                bars, self.sessions, decided, self.rule.window
            )
            has_room = len(self.held) < terms.positions and amount > LEAST_SHARE * equity
            if not (has_entry and has_room) or signal.symbol in self.held:
                continue
            room -= amount
            day.turnover += amount
            quoted = bars[day.session].open
            price = quoted * (1 + signal.side * terms.slippage)
            trade = Trade(signal, day.session, quoted, amount / price, price, amount * terms.cost)
            gone = self.gone.get(signal.symbol)
            trade.ending = ending(bars, self.sessions, decided, self.rule, gone)
            day.cash -= signal.side * amount + trade.cost
            self.held[signal.symbol] = trade
            self.trades.append(trade)

    def _close(self, day: Day, trade: Trade) -> None:
        assert trade.ending is not None
        side = trade.signal.side
        trade.exit_price = trade.ending.price * (1 - side * self.terms.slippage)
        amount = trade.quantity * trade.exit_price
        trade.cost += amount * self.terms.cost
        trade.profit = side * trade.quantity * (trade.exit_price - trade.entry_price)
        day.cash += side * amount - amount * self.terms.cost
        day.turnover += amount
