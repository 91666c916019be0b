"""Which cells of a fetch are still open: not stored, not known to be empty, or due once more."""

import datetime as dt
from collections.abc import Sequence

import polars as pl

from turbomode_assets.resources.ingestion import IngestionTools
from turbomode_assets.sessions import SessionSpan, last_closed_session, session_indices
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.operations import WorkKey
from turbomode_assets.vendors import Request, VendorFailure
from turbomode_assets.vendors.candle_rows import NO_DATA
from turbomode_assets.vendors.questions import CELL, CELL_SCHEMA, Question, listed_cells

CHECKED = "candles"
CALLER = "raw_candles"


class SettledCells:
    """What the master store and the operations store know of the cells of a fetch."""

    def __init__(self, tools: IngestionTools, instruments: pl.DataFrame, span: SessionSpan) -> None:
        self._tools = tools
        self._instruments = instruments
        self._span = span
        self._as_of = last_closed_session(tools.now())

    def open_cells(self) -> pl.DataFrame:
        """Cells to ask for: the span's own, and those shortly before it that are due once more."""
        return self._open(self._instruments, self._span, self._tools.fetch.timeframes)

    def open_cells_of(self, requests: Sequence[Request]) -> pl.DataFrame:
        """Cells of these requests that are open now."""
        if not requests:
            return CELL_SCHEMA.to_frame()
        symbols = [request.symbol for request in requests]
        instruments = self._instruments.filter(pl.col("symbol").is_in(symbols))
        span = SessionSpan(
            min(request.span.first for request in requests),
            max(request.span.last for request in requests),
        )
        timeframes = sorted({request.timeframe for request in requests})
        return self._open(instruments, span, timeframes).join(
            _cells(requests), on=CELL, how="semi", maintain_order="left"
        )

    def missing_cells(self, timeframe: str) -> pl.DataFrame:
        """Listed cells of the span that are neither stored nor known to be empty."""
        symbols = self._instruments["symbol"].to_list()
        return listed_cells(self._instruments, self._span, [timeframe]).join(
            self._known(self._span, symbols, [timeframe]), on=CELL, how="anti"
        )

    def settle(self, questions: Sequence[Question]) -> None:
        """Remember that these questions were answered, and when, and take them off the queue."""
        requests = [question.request for question in questions]
        operations = self._tools.operations
        operations.dequeue(_answered_by(requests, operations.queued()))
        if not self._tools.spares_vendors:
            return
        cells = _cells(requests)
        age = session_indices(cells["session"]) - session_indices(pl.Series([self._as_of]))[0]
        recent = cells.filter(age >= -self._tools.fetch.recheck_sessions)
        known = cells.join(self._checks(cells), on=CELL, how="semi")
        rows = pl.concat([recent, known]).unique(maintain_order=True)
        operations.record_checks(
            CHECKED, rows.with_columns(as_of=pl.lit(self._as_of)).iter_rows(named=True)
        )

    def leave_open(self, failed: Sequence[tuple[Question, VendorFailure]]) -> None:
        """Queue questions that nobody answered, with the reason."""
        self._tools.operations.enqueue(
            [
                (
                    q.request.symbol,
                    q.request.timeframe,
                    q.request.span,
                    failure.message,
                    failure.retry_at,
                )
                for q, failure in failed
            ]
        )

    def _open(
        self, instruments: pl.DataFrame, span: SessionSpan, timeframes: Sequence[str]
    ) -> pl.DataFrame:
        listed = listed_cells(instruments, span, timeframes)
        if not self._tools.spares_vendors:
            return listed
        shortly_before = span.trailing(self._tools.fetch.recheck_sessions)
        due = self._due(listed_cells(instruments, shortly_before, timeframes))
        symbols = instruments["symbol"].to_list()
        settled = self._known(span, symbols, timeframes).join(due, on=CELL, how="anti")
        missing = listed.join(settled, on=CELL, how="anti", maintain_order="left")
        earlier = due.filter(pl.col("session") < span.first)
        return pl.concat([missing, earlier]).unique(maintain_order=True)

    def _known(
        self, span: SessionSpan, symbols: Sequence[str], timeframes: Sequence[str]
    ) -> pl.DataFrame:
        """Cells that are stored, or that a vendor said are empty."""
        return pl.concat(
            [self._stored(span, symbols, timeframes), self._facts(span, symbols, timeframes)]
        )

    def _due(self, listed: pl.DataFrame) -> pl.DataFrame:
        """Cells that were fetched so soon that the vendor may have corrected them since."""
        checks = self._checks(listed)
        age = session_indices(checks["as_of"]) - session_indices(checks["session"])
        is_young = age < self._tools.fetch.recheck_sessions
        return checks.filter(is_young & (pl.col("as_of") < self._as_of)).select(CELL)

    def _checks(self, cells: pl.DataFrame) -> pl.DataFrame:
        """When each of these cells was last fetched, as far as that is remembered."""
        if cells.is_empty():
            return cells.with_columns(as_of=pl.lit(None, dtype=pl.Date))
        first, last = cells.select(first=pl.col("session").min(), last=pl.col("session").max()).row(
            0
        )
        found = self._tools.operations.checks(CHECKED, first, last)
        return found.join(cells, on=CELL, how="semi", maintain_order="left")

    def _stored(
        self, span: SessionSpan, symbols: Sequence[str], timeframes: Sequence[str]
    ) -> pl.DataFrame:
        if not self._tools.master.exists("candles"):
            return CELL_SCHEMA.to_frame()
        return self._tools.master.distinct(
            "candles", CELL, span=span, symbols=symbols, timeframes=timeframes
        )

    def _facts(
        self, span: SessionSpan, symbols: Sequence[str], timeframes: Sequence[str]
    ) -> pl.DataFrame:
        """Cells of which a vendor said that there is nothing."""
        master: MasterReader = self._tools.master
        if not master.exists("data_quality_log"):
            return CELL_SCHEMA.to_frame()
        # A fact is stored under its last session: one that begins in the span may end after it.
        columns = [*CELL, "first_session", "kind"]
        after = SessionSpan(span.first, max(span.last, self._as_of))
        rows = master.read(
            "data_quality_log",
            caller=CALLER,
            span=after,
            symbols=symbols,
            timeframes=timeframes,
            columns=columns,
        ).rows
        facts = rows.filter((pl.col("kind") == NO_DATA) & (pl.col("first_session") <= span.last))
        sessions = pl.DataFrame({"day": span.sessions})
        return (
            facts.join_where(
                sessions,
                pl.col("day") >= pl.col("first_session"),
                pl.col("day") <= pl.col("session"),
            )
            .select("symbol", "timeframe", session="day")
            .unique()
        )


def _answered_by(requests: Sequence[Request], queued: pl.DataFrame) -> list[WorkKey]:
    """Queued work whose sessions all lie in one of the requests."""
    spans = {(request.symbol, request.timeframe): request.span for request in requests}
    keys = queued.select("symbol", "timeframe", "first_session", "last_session").iter_rows()
    return [
        (symbol, timeframe, first, last)
        for symbol, timeframe, first, last in keys
        if (span := spans.get((symbol, timeframe))) and span.first <= first and last <= span.last
    ]


def _cells(requests: Sequence[Request]) -> pl.DataFrame:
    """Every cell of the requests."""
    rows: list[tuple[str, str, dt.date]] = [
        (request.symbol, request.timeframe, session)
        for request in requests
        for session in request.span.sessions
    ]
    return pl.DataFrame(rows, schema=CELL_SCHEMA, orient="row")
