"""Filling holes: which queued work comes next, what a run takes of it, and what it costs."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from turbomode_assets.contracts.tables import CELL_SCHEMA
from turbomode_assets.ingestion.heartbeat import heartbeat
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores.operations import WORK_KEY, WorkKey
from turbomode_assets.vendors import Request

BACKFILL_TAG = "turbomode/backfill"
"""Run tag of runs that fetch what is queued, and nothing else."""
SYMBOLS_TAG = "turbomode/backfill_symbols"
TIMEFRAMES_TAG = "turbomode/backfill_timeframes"

MOST_ITEMS = 100_000


@dataclass(frozen=True)
class QueueSelection:
    """Which of the queued work is to be done: that of these symbols and timeframes (None: all)."""

    symbols: tuple[str, ...] | None = None
    timeframes: tuple[str, ...] | None = None

    @classmethod
    def by_run(cls, tags: Mapping[str, str]) -> "QueueSelection | None":
        """Read what a run fetches of the queue; None where it is not confined to that."""
        if BACKFILL_TAG not in tags:
            return None
        symbols, timeframes = (
            tuple(tags[name].split(",")) if name in tags else None
            for name in (SYMBOLS_TAG, TIMEFRAMES_TAG)
        )
        return cls(symbols, timeframes)

    @property
    def tags(self) -> dict[str, str]:
        """Tags that confine a run to it."""
        chosen = {SYMBOLS_TAG: self.symbols, TIMEFRAMES_TAG: self.timeframes}
        return {name: ",".join(values) for name, values in chosen.items() if values is not None}


EVERYTHING = QueueSelection()


@dataclass(frozen=True)
class ClaimedWork:
    """Queued work that one worker holds, in the columns of the queue."""

    items: pl.DataFrame

    @property
    def keys(self) -> list[WorkKey]:
        """What tells each item from the others."""
        return list(self.items.select(WORK_KEY).iter_rows())

    @property
    def cells(self) -> pl.DataFrame:
        """Every cell of the work."""
        return cells_of(self.keys)


def cells_of(work: Iterable[WorkKey]) -> pl.DataFrame:
    """Every cell of some work, once."""
    rows = [
        (symbol, timeframe, session)
        for symbol, timeframe, first, last in work
        for session in SessionSpan(first, last).sessions
    ]
    return pl.DataFrame(rows, schema=CELL_SCHEMA, orient="row").unique(maintain_order=True)


@contextmanager
def claimed_work(
    tools: IngestionTools, span: SessionSpan, chosen: QueueSelection = EVERYTHING
) -> Iterator[ClaimedWork]:
    """Hold what is due of a span's queued work, with a heartbeat, until the block ends.

    A worker that dies holds it no longer than `lease_seconds`.
    """
    operations, seconds = tools.operations, tools.fetch.lease_seconds
    items = operations.claim(
        tools.owner,
        MOST_ITEMS,
        seconds,
        span=span,
        symbols=chosen.symbols,
        timeframes=chosen.timeframes or list(tools.fetch.timeframes),
    )
    with heartbeat(lambda: operations.renew_claims(tools.owner, seconds), seconds):
        try:
            yield ClaimedWork(items)
        finally:
            operations.release_claims(tools.owner)


def newest_window(
    tools: IngestionTools,
    width: int,
    within: SessionSpan | None = None,
    chosen: QueueSelection = EVERYTHING,
) -> SessionSpan | None:
    """Sessions of the most urgent queued work that is due: at most `width` of them, ending with it.

    A longer item makes its own window. None when nothing is due.
    """
    due = tools.operations.due(
        MOST_ITEMS,
        span=within,
        symbols=chosen.symbols,
        timeframes=chosen.timeframes or list(tools.fetch.timeframes),
    )
    if due.is_empty():
        return None
    most_urgent = due.row(0, named=True)
    span = SessionSpan(most_urgent["first_session"], most_urgent["last_session"])
    return window_of(span, width, within)


def window_of(work: SessionSpan, width: int, within: SessionSpan | None) -> SessionSpan:
    """The `width` sessions that end with this work, or its own if it is longer."""
    begin = offset_session(work.last, 1 - width)
    if within is not None:
        begin = max(begin, within.first)
    return SessionSpan(min(work.first, begin), work.last)


def budget_pressure(tools: IngestionTools) -> float:
    """How much of the fullest vendor budget is in use, from 0 to 1; 1 while a vendor cools off.

    Counted are the calls that a vendor allows in all. What it allows for one symbol or question, or
    at once, only sets the pace: while anybody fetches, that is always used up.
    """
    shares = [0.0]
    for vendor in tools.vendors:
        if vendor.name not in tools.config.budgets:
            continue
        use = tools.budget.remaining(vendor.name)
        if use.cooling_off is not None:
            return 1.0
        windows = tools.config.budgets[vendor.name].windows
        shares += [
            min(1.0, rule.used / rule.limit)
            for window, rule in zip(windows, use.rules, strict=False)  # a bucket comes last
            if window.per == "vendor"
        ]
    return max(shares)


def calls_by_vendor(tools: IngestionTools, requests: list[Request]) -> dict[str, int]:
    """Calls that the requests take of each vendor's budget if it is the one that answers."""
    return {
        vendor.name: sum(vendor.candle_calls(request) for request in requests)
        for vendor in tools.vendors
    }
