"""Fetching candles: what is missing is asked for, compared with what is stored, and handed over.

Nothing is written here. Each batch goes to the master writer; once it is stored, the questions
behind it are settled, and no later run asks them again.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.contracts.payload import payload_digests
from turbomode_assets.contracts.quality_log import FAILOVER, NO_DATA
from turbomode_assets.contracts.tables import CANDLES, DATA_QUALITY_LOG
from turbomode_assets.contracts.timeframes import DERIVED_FROM, INTRADAY_MINUTES
from turbomode_assets.curation import resample_intraday
from turbomode_assets.ingestion.backfilling import QueueSelection, claimed_work
from turbomode_assets.ingestion.calendar_bars import calendar_bars
from turbomode_assets.ingestion.fetched import Batch
from turbomode_assets.ingestion.heartbeat import heartbeat
from turbomode_assets.ingestion.progress import Progress
from turbomode_assets.ingestion.settled import SettledCells
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.vendors import Candles, NoData, VendorFailure
from turbomode_assets.vendors.asking import VendorAnswer, ask, unanswered
from turbomode_assets.vendors.candle_rows import (
    absent_sessions,
    candle_rows,
    differences,
    noticed,
)
from turbomode_assets.vendors.questions import Question, plan_questions, require_ended

CALLER = "raw_candles"
POLL_SECONDS = 1.0
"""How often a question that another worker holds is looked at again."""

Answer = tuple[Question, VendorAnswer[Candles]]


@dataclass
class CandleFetch:
    """The candles of the instruments (rows of `symbol_metadata`) over a span, batch by batch."""

    tools: IngestionTools
    instruments: pl.DataFrame
    splits: pl.DataFrame
    span: SessionSpan
    progress: Progress
    describe: Callable[[], Mapping[str, Any]]
    """What else there is to tell of the span once it is stored."""
    queued_only: QueueSelection | None = None
    """Fetch what the backfill queue has of this in the span, and nothing else."""
    _asked: int = 0
    _unanswered: list[tuple[str, VendorFailure]] = field(default_factory=list)

    def __iter__(self) -> Iterator[Batch]:
        """Ask, and hand over what was answered.

        Raises:
            InputError: the span's last session has not ended.
            VendorError: more questions than tolerated were left without an answer; all others are
                stored, and what was not answered is queued.
            MissingDataError: nobody has a candle in the span.
        """
        require_ended(self.span, self.instruments, self.tools.now())
        try:
            if self.queued_only is not None:
                with claimed_work(self.tools, self.span, self.queued_only) as work:
                    settled = SettledCells(self.tools, self.instruments, self.span, work)
                    yield from self._fetch(settled)
                    settled.finish(work)
            else:
                yield from self._fetch(SettledCells(self.tools, self.instruments, self.span))
        finally:
            for vendor in self.tools.vendors:
                vendor.close()
        tolerated = self.tools.data_quality.backfill.tolerated_unanswered_share
        if len(self._unanswered) > tolerated * self._asked:
            raise unanswered(self._unanswered, f"candles, {self.span}")
        if self.queued_only is None:
            self._refuse_emptiness()

    def _fetch(self, settled: SettledCells) -> Iterator[Batch]:
        waiting = plan_questions(settled.open_cells(), self.instruments, self.tools.fetch)
        self.progress.begin(len(waiting))
        while waiting:
            contested: set[str] = set()
            for _, group in itertools.groupby(waiting, key=lambda question: question.block):
                yield from self._ask_block(list(group), settled, contested)
            waiting = self._after_the_others(contested, settled)
        yield from calendar_bars(self.tools, self.instruments, self.splits, self.span)

    def metadata(self) -> Mapping[str, Any]:
        """What was asked, of whom, how long it took, and what is stored now."""
        unanswered_questions = {"unanswered": [about for about, _ in self._unanswered]}
        return {**self.progress.summary(), **unanswered_questions, **self.describe()}

    def _ask_block(
        self, group: list[Question], settled: SettledCells, contested: set[str]
    ) -> Iterator[Batch]:
        """Ask the questions of one block that no other worker holds; note those it holds."""
        tools, seconds = self.tools, self.tools.fetch.lease_seconds
        if not tools.spares_vendors:
            yield from self._ask_in_turn(group, settled)
            return
        names = [question.lease for question in group]
        mine = tools.operations.lease_many(names, tools.owner, seconds)
        contested |= set(names) - mine
        with heartbeat(lambda: tools.operations.renew(mine, tools.owner, seconds), seconds):
            try:
                # Another worker may have asked, stored and let go since the plan was made.
                cells = settled.open_cells_of([q.request for q in group if q.lease in mine])
                questions = plan_questions(cells, self.instruments, tools.fetch)
                self.progress.settled(len(mine) - len(questions))
                yield from self._ask_in_turn(questions, settled)
            finally:
                tools.operations.release(mine, tools.owner)

    def _ask_in_turn(self, questions: Sequence[Question], settled: SettledCells) -> Iterator[Batch]:
        tools, fetch = self.tools, self.tools.fetch
        answers: list[Answer] = []
        rows, since = 0, time.monotonic()
        for question in questions:
            with self.progress.asking():
                asked = ask(
                    tools.vendors,
                    question.request,
                    lambda vendor, request: vendor.fetch_candles(request),
                    fetch,
                    tools.sleep,
                )
            self.progress.answered(question, asked)
            answers.append((question, asked))
            rows += asked.answer.frame.height if isinstance(asked.answer, Candles) else 0
            if rows >= fetch.rows_per_commit or time.monotonic() - since > fetch.seconds_per_commit:
                yield from self._batches(answers, settled)
                answers, rows, since = [], 0, time.monotonic()
        yield from self._batches(answers, settled)

    def _batches(self, answers: Sequence[Answer], settled: SettledCells) -> Iterator[Batch]:
        """Hand answers over together; settle their questions once they are stored."""
        failed = [(q, a.answer) for q, a in answers if isinstance(a.answer, VendorFailure)]
        self._asked += len(answers)
        self._unanswered += [(question.about, failure) for question, failure in failed]
        settled.leave_open(failed)
        answered = [each for each in answers if not isinstance(each[1].answer, VendorFailure)]
        if answered:
            yield self._batch(answered)
            settled.settle([question for question, _ in answered])

    def _batch(self, answers: Sequence[Answer]) -> Batch:
        """Answers about one block as one commit: from the first session asked about to the last.

        What is stored of a symbol inside that stretch, but outside its question, stays.
        """
        requests = [question.request for question, _ in answers]
        timeframe = requests[0].timeframe
        span = SessionSpan(
            min(request.span.first for request in requests),
            max(request.span.last for request in requests),
        )
        stored = self._stored(answers, span, timeframe)
        candles, notes, replaced = [CANDLES.empty()], [DATA_QUALITY_LOG.empty()], []
        for question, asked in answers:
            rows, said = self._rows(question, asked, stored)
            notes.append(said)
            if rows is not None:
                candles.append(rows)
                replaced.append(question.request.symbol)
        base = pl.concat(candles)
        derived = [
            name
            for name in self.tools.fetch.derived_timeframes
            if DERIVED_FROM[name] == timeframe and name in INTRADAY_MINUTES
        ]
        whole = [base, *(resample_intraday(base, name, self.instruments) for name in derived)]
        self.progress.stored(sum(frame.height for frame in whole))
        return Batch(pl.concat(whole), span, replaced, [timeframe, *derived], pl.concat(notes))

    def _stored(self, answers: Sequence[Answer], span: SessionSpan, timeframe: str) -> pl.DataFrame:
        master = self.tools.master
        if not master.exists("candles"):
            return CANDLES.empty()
        symbols = [question.request.symbol for question, _ in answers]
        return master.read(
            "candles", caller=CALLER, span=span, symbols=symbols, timeframes=[timeframe]
        ).rows

    def _rows(
        self, question: Question, asked: VendorAnswer[Candles], stored: pl.DataFrame
    ) -> tuple[pl.DataFrame | None, pl.DataFrame]:
        """What a symbol's rows become (None: they stay), and what is to be logged."""
        request, now = question.request, self.tools.now()
        notes = [
            noticed(
                request,
                FAILOVER,
                asked.vendor,
                f"{failure.kind}: {failure.message}",
                now,
                other_vendor=name,
            )
            for name, failure in asked.failures
        ]
        asked_about = pl.col("session").is_between(request.span.first, request.span.last)
        own = stored.filter(pl.col("symbol") == request.symbol)
        before, beside = own.filter(asked_about), own.filter(~asked_about)
        if isinstance(asked.answer, NoData):
            notes.append(noticed(request, NO_DATA, asked.vendor, asked.answer.reason, now))
            rows = None if self.tools.spares_vendors else beside
            return rows, pl.concat(notes)
        assert isinstance(asked.answer, Candles)
        rows = candle_rows(asked.vendor, asked.answer, request, now)
        notes.append(absent_sessions(asked.vendor, rows, request, now))
        if before.height:
            rows, revised = self._compared(before, rows)
            notes.append(revised)
        return pl.concat([rows, beside]).sort(CANDLES.sort_by), pl.concat(notes)

    def _compared(
        self, before: pl.DataFrame, rows: pl.DataFrame
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Keep stored sessions of which the answer has none, and rows that say nothing new.

        Damaged rows give way to what is told now, also where no price differs.
        """
        again = before.join(rows, on="session", how="semi")
        told = rows.join(before, on="session", how="semi")
        found = differences(again, told, self.splits, self.tools.fetch.disagreement_tolerance_bps)
        if not self.tools.spares_vendors:
            return rows, found
        says_the_same = found.is_empty() and set(again["vendor"]) == set(told["vendor"])
        is_whole = (payload_digests(again) == again["payload_sha256"]).all()
        kept = again if says_the_same and is_whole and not _rebased(again, told) else told
        new = rows.join(before, on="session", how="anti")
        silent = before.join(rows, on="session", how="anti")
        return pl.concat([kept, new, silent]).sort(CANDLES.sort_by), found

    def _after_the_others(self, contested: set[str], settled: SettledCells) -> list[Question]:
        """Questions that other workers held and have not settled, after a pause."""
        if not contested:
            return []
        self.tools.sleep(POLL_SECONDS)
        cells = settled.open_cells()
        return [
            question
            for question in plan_questions(cells, self.instruments, self.tools.fetch)
            if question.lease in contested
        ]

    def _refuse_emptiness(self) -> None:
        if not self.tools.master.has_rows("candles", self.span):
            names = ", ".join(vendor.name for vendor in self.tools.vendors)
            raise MissingDataError(
                f"no candle of any of {self.instruments.height} symbols",
                where=f"candles, {self.span}; vendors {names}",
                fix="ask for sessions that the vendors cover",
            )


def _rebased(stored: pl.DataFrame, delivered: pl.DataFrame) -> bool:
    """Tell whether equal values stand in another share basis, because a split came between."""
    return not stored.select("ts", "close", "volume").equals(
        delivered.select("ts", "close", "volume")
    )
