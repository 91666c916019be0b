"""Which cells of a fetch are still open: not stored, not known to be empty, or due once more."""

import datetime as dt
from collections.abc import Sequence
from functools import cached_property

import polars as pl

from turbomode_assets.completeness.gate import fetchable
from turbomode_assets.contracts.quality_log import NO_DATA
from turbomode_assets.contracts.tables import CELL, CELL_SCHEMA
from turbomode_assets.ingestion.backfilling import ClaimedWork
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.sessions import SessionSpan, last_closed_session, session_indices
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.operations import NewWork, WorkKey
from turbomode_assets.vendors import Request, VendorFailure
from turbomode_assets.vendors.asking import BUDGET
from turbomode_assets.vendors.questions import Question, listed_cells

CHECKED = "candles"
CALLER = "raw_candles"
LEAST_IMPORTANCE = 0.0
"""Of a question that failed: how much hangs on its cells is for the audit to say."""

Stretch = tuple[str, str, SessionSpan]
"""Symbol, timeframe and sessions."""


class SettledCells:
    """What the master store and the operations store know of the cells of a fetch.

    With `work`, its cells are all there is to fetch.
    """

    def __init__(
        self,
        tools: IngestionTools,
        instruments: pl.DataFrame,
        span: SessionSpan,
        work: ClaimedWork | None = None,
    ) -> None:
        self._tools = tools
        self._instruments = instruments
        self._span = span
        self._work = work
        self._fetched = CELL_SCHEMA.to_frame()
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
        operations.dequeue(operations.queued_within(map(_stretch, requests)))
        self._fetched = pl.concat([self._fetched, _cells(requests)])
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

    def finish(self, work: ClaimedWork) -> None:
        """Take claimed work off the queue of which no cell is open any more."""
        still_open = self.open_cells()
        lanes = still_open.group_by("symbol", "timeframe").agg(pl.col("session"))
        sessions = {(symbol, timeframe): days for symbol, timeframe, days in lanes.iter_rows()}
        done = [
            key
            for key in work.keys
            if not any(key[2] <= day <= key[3] for day in sessions.get(key[:2], []))
        ]
        self._tools.operations.dequeue(done)

    def leave_open(self, failed: Sequence[tuple[Question, VendorFailure]]) -> None:
        """Queue questions that nobody answered, with the reason and the time to ask again.

        Queued work that shares sessions with a question has failed with it; a question that shares
        none with any is queued itself. A spent budget is no failed attempt: nobody was asked.
        """
        stretches: dict[VendorFailure, list[Stretch]] = {}
        for question, failure in failed:
            stretches.setdefault(failure, []).append(_stretch(question.request))
        for failure, same in stretches.items():
            self._leave_open(same, failure)

    def _leave_open(self, stretches: Sequence[Stretch], failure: VendorFailure) -> None:
        operations, policy = self._tools.operations, self._tools.data_quality.backfill
        why, retry_at = failure.message, failure.retry_at
        keys = operations.queued_within(stretches, wholly=False)
        new = [stretch for stretch in stretches if not _is_queued(stretch, keys)]
        operations.enqueue(NewWork(*stretch, why, LEAST_IMPORTANCE) for stretch in new)
        keys += [(symbol, timeframe, span.first, span.last) for symbol, timeframe, span in new]
        if failure.kind == BUDGET:
            operations.postpone(keys, why, retry_at or self._tools.now())
        else:
            operations.fail(keys, why, retry_at=retry_at, policy=policy)

    def _open(
        self, instruments: pl.DataFrame, span: SessionSpan, timeframes: Sequence[str]
    ) -> pl.DataFrame:
        listed = listed_cells(instruments, span, timeframes)
        if self._work is not None:
            return self._open_work(listed)
        if not self._tools.spares_vendors:
            return listed
        shortly_before = span.trailing(self._tools.fetch.recheck_sessions)
        due = self._due(listed_cells(instruments, shortly_before, timeframes))
        symbols = instruments["symbol"].to_list()
        settled = self._known(span, symbols, timeframes).join(due, on=CELL, how="anti")
        missing = listed.join(settled, on=CELL, how="anti", maintain_order="left")
        earlier = due.filter(pl.col("session") < span.first)
        return pl.concat([missing, earlier]).unique(maintain_order=True)

    def _open_work(self, listed: pl.DataFrame) -> pl.DataFrame:
        """Cells of the claimed work that are missing, or faulty and not fetched by this run."""
        assert self._work is not None
        claimed = listed.join(self._work.cells, on=CELL, how="semi", maintain_order="left")
        symbols = claimed["symbol"].unique().to_list()
        timeframes = claimed["timeframe"].unique().to_list()
        known = self._known(self._span, symbols, timeframes)
        faulty = self._faulty.join(self._fetched, on=CELL, how="anti")
        settled = known.join(faulty, on=CELL, how="anti")
        return claimed.join(settled, on=CELL, how="anti", maintain_order="left")

    @cached_property
    def _faulty(self) -> pl.DataFrame:
        """Cells of which the ledger says that what is stored is to be fetched again.

        The queue does not: it tells what was said last, of a spent budget or a dead line.
        """
        if not self._tools.master.exists("partition_status"):
            return CELL_SCHEMA.to_frame()
        columns = [*CELL, "actual_rows", "reasons"]
        ledger = self._tools.master.read(
            "partition_status", caller=CALLER, span=self._span, columns=columns
        ).rows
        return fetchable(ledger.filter(pl.col("actual_rows") > 0)).select(CELL)

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


def _stretch(request: Request) -> Stretch:
    return request.symbol, request.timeframe, request.span


def _is_queued(stretch: Stretch, keys: Sequence[WorkKey]) -> bool:
    symbol, timeframe, span = stretch
    return any(
        key[:2] == (symbol, timeframe) and key[2] <= span.last and span.first <= key[3]
        for key in keys
    )


def _cells(requests: Sequence[Request]) -> pl.DataFrame:
    """Every cell of the requests."""
    rows: list[tuple[str, str, dt.date]] = [
        (request.symbol, request.timeframe, session)
        for request in requests
        for session in request.span.sessions
    ]
    return pl.DataFrame(rows, schema=CELL_SCHEMA, orient="row")
