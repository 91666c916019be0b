"""Filling holes: which queued work comes next, what a run takes of it, and what it costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from turbomode_assets.resources.heartbeat import heartbeat
from turbomode_assets.resources.ingestion import IngestionTools
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores.operations import WorkKey
from turbomode_assets.vendors import Request
from turbomode_assets.vendors.questions import CELL_SCHEMA

BACKFILL_TAG = "turbomode/backfill"
"""Run tag of runs that fetch what is queued, and nothing else."""

MOST_ITEMS = 100_000
MISSING_ONLY = ("missing", "vendor_failure")
"""Reasons of work whose cells need no second look once candles of them are stored."""


@dataclass(frozen=True)
class ClaimedWork:
    """Queued work that one worker holds, in the columns of the queue."""

    items: pl.DataFrame

    @property
    def keys(self) -> list[WorkKey]:
        """What tells each item from the others."""
        return list(
            self.items.select("symbol", "timeframe", "first_session", "last_session").iter_rows()
        )

    @property
    def cells(self) -> pl.DataFrame:
        """Every cell of the work."""
        return _cells_of(self.items)

    @property
    def faulty_cells(self) -> pl.DataFrame:
        """Cells that are to be fetched again although candles of them are stored."""
        codes = pl.col("reason").str.split(",")
        only_missing = codes.list.set_difference(list(MISSING_ONLY)).list.len() == 0
        return _cells_of(self.items.filter(~only_missing & (pl.col("attempts") == 0)))


def _cells_of(items: pl.DataFrame) -> pl.DataFrame:
    rows = [
        (symbol, timeframe, session)
        for symbol, timeframe, first, last in items.select(
            "symbol", "timeframe", "first_session", "last_session"
        ).iter_rows()
        for session in SessionSpan(first, last).sessions
    ]
    return pl.DataFrame(rows, schema=CELL_SCHEMA, orient="row")


@contextmanager
def claimed_work(tools: IngestionTools, span: SessionSpan) -> Iterator[ClaimedWork]:
    """Hold what is due of a span's queued work, with a heartbeat, until the block ends.

    A worker that dies holds it no longer than `lease_seconds`.
    """
    operations, seconds = tools.operations, tools.fetch.lease_seconds
    items = operations.claim(
        tools.owner, MOST_ITEMS, seconds, span=span, timeframes=list(tools.fetch.timeframes)
    )
    with heartbeat(lambda: operations.renew_claims(tools.owner, seconds), seconds):
        try:
            yield ClaimedWork(items)
        finally:
            operations.release_claims(tools.owner)


def newest_window(
    tools: IngestionTools, width: int, within: SessionSpan | None = None
) -> SessionSpan | None:
    """Sessions of the most urgent queued work that is due: at most `width` of them, ending with it.

    A longer item makes its own window. None when nothing is due.
    """
    due = tools.operations.due(MOST_ITEMS, span=within, timeframes=list(tools.fetch.timeframes))
    if due.is_empty():
        return None
    most_urgent = due.row(0, named=True)
    last = most_urgent["last_session"]
    begin = offset_session(last, 1 - width)
    if within is not None:
        begin = max(begin, within.first)
    return SessionSpan(min(most_urgent["first_session"], begin), last)


def budget_pressure(tools: IngestionTools) -> float:
    """How much of the fullest vendor budget is in use, from 0 to 1; 1 while a vendor cools off."""
    shares = [0.0]
    for vendor in tools.vendors:
        if vendor.name not in tools.config.budgets:
            continue
        use = tools.budget.remaining(vendor.name)
        if use.cooling_off is not None:
            return 1.0
        shares += [min(1.0, rule.used / rule.limit) for rule in use.rules]
    return max(shares)


def calls_by_vendor(tools: IngestionTools, requests: list[Request]) -> dict[str, int]:
    """Calls that the requests take of each vendor's budget if it is the one that answers."""
    return {
        vendor.name: sum(vendor.candle_calls(request) for request in requests)
        for vendor in tools.vendors
    }
