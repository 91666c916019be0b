"""The audit: what should exist against what does, cell by cell, for the ledger.

Looked at are the sessions that were asked for and whatever changed since the last audit. Nothing is
written here: each batch goes to the master writer. The holes it shows are queued before: an audit
that breaks off in between finds them again, one that breaks off after would not.
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from turbomode_assets.completeness import corrupted, expected_grid, judge, plan_backfill
from turbomode_assets.completeness.reasons import CHECKSUM_MISMATCH
from turbomode_assets.contracts.quality_log import LATE_CANDLES, log_rows
from turbomode_assets.contracts.tables import (
    AUDITS,
    CELL,
    DATA_QUALITY_LOG,
    PARTITION_STATUS,
    VERDICTS,
)
from turbomode_assets.curation import find_defects
from turbomode_assets.ingestion.audit_scope import MasterState, sessions_to_audit
from turbomode_assets.ingestion.fetched import Batch
from turbomode_assets.ingestion.heartbeat import heartbeat
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.sessions import (
    SessionSpan,
    last_closed_session,
    offset_session,
    session_opens,
)
from turbomode_assets.stores.operations import NewWork

CALLER = "audit"
LEASE = "audit"
POLL_SECONDS = 1.0
"""How often an audit that waits for another looks whether that is over."""
SESSIONS_PER_BATCH = {"1d": 252, "1h": 63, "1m": 5}
"""A year of days, a quarter of hours, a week of minutes."""
LIQUIDITY_SESSIONS = 21
_SAID = ["expected_rows", "actual_rows", "verdict", "reasons", "delivered_by"]


@dataclass
class AuditRun:
    """An audit under way, batch by batch."""

    tools: IngestionTools
    span: SessionSpan
    say: Callable[[str], None]
    describe: Callable[[], Mapping[str, Any]]
    """What else there is to tell of the span once it is stored."""
    _verdicts: Counter[str] = field(default_factory=Counter)
    _changed: int = 0
    _queued: int = 0

    def __iter__(self) -> Iterator[Batch]:
        """Judge, and hand over what was found."""
        with self._alone():
            yield from self._audit()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for an audit under way: of two at once, the later would not see what one missed."""
        operations, owner = self.tools.operations, self.tools.owner
        seconds = self.tools.fetch.lease_seconds
        while not operations.try_lease(LEASE, owner, seconds):
            self.say("another audit is under way; waiting for it")
            self.tools.sleep(POLL_SECONDS)
        with heartbeat(lambda: operations.renew([LEASE], owner, seconds), seconds):
            try:
                yield
            finally:
                operations.release([LEASE], owner)

    def _audit(self) -> Iterator[Batch]:
        began, known = self.tools.now(), MasterState.read(self.tools)
        stretches, late_actions = sessions_to_audit(self.tools, known, self.span)
        yield from self._given_up()
        for timeframe in self.tools.fetch.timeframes:
            for stretch in stretches:
                for piece in _cut(stretch, SESSIONS_PER_BATCH[timeframe]):
                    batch, news = self._judge(known, timeframe, piece, began)
                    self._queue_holes(known, batch, news)
                    yield batch
        whole = SessionSpan(stretches[0].first, stretches[-1].last)
        entry = self._entry(known, whole, began)
        yield Batch(PARTITION_STATUS.empty(), whole, [], [], late_actions, audit=entry)

    def metadata(self) -> Mapping[str, Any]:
        """What was looked at and found, and what the ledger says now."""
        counts = {f"cells_{verdict.lower()}": self._verdicts[verdict] for verdict in VERDICTS}
        more = {"cells_changed": self._changed, "stretches_queued": self._queued}
        return {**counts, **more, **self.describe()}

    def _given_up(self) -> Iterator[Batch]:
        """Take timeframes out of the ledger that are fetched no more."""
        master = self.tools.master
        ledger = master.stored_span("partition_status")
        if ledger is None:
            return
        stored = master.count("partition_status", "timeframe", span=ledger)
        for timeframe in sorted(set(stored) - set(self.tools.fetch.timeframes)):
            rows = self._stored(ledger, timeframe)
            symbols = rows["symbol"].unique().sort().to_list()
            noticed = DATA_QUALITY_LOG.empty()
            yield Batch(rows.clear(), ledger, symbols, [timeframe], noticed, "partition_status")

    def _judge(
        self, known: MasterState, timeframe: str, span: SessionSpan, began: dt.datetime
    ) -> tuple[Batch, pl.DataFrame]:
        """The ledger's rows of a span, and those of them that say something new."""
        rules = self.tools.data_quality
        look_back = rules.curation.look_back_sessions if timeframe == "1d" else 0
        candles = known.candles(span.trailing(look_back), timeframe)
        grid = expected_grid(known.instruments, span, [timeframe], rules.ledger)
        rows = judge(
            _with_all_calendars(grid, known.instruments, span, timeframe),
            candles.filter(pl.col("session") >= span.first),
            self._defects(known, candles, span, timeframe),
            known.log(span, timeframe),
            self.tools.operations.queued().filter(pl.col("timeframe") == timeframe),
            now=began,
            config=rules.ledger,
            store_version=known.versions.get("candles", 0),
            checked_at=began,
        ).filter(pl.col("session") >= span.first)
        stored = self._stored(span, timeframe)
        rows = _with_earlier_findings(rows, stored)
        changed = rows.join(stored, on=[*CELL, *_SAID], how="anti", nulls_equal=True)
        self._changed += changed.height
        self._verdicts.update(dict(rows.group_by("verdict").len().iter_rows()))
        self.say(f"{timeframe} {span}: {rows.height:,} cells, {changed.height:,} changed")
        symbols = sorted({*rows["symbol"], *stored["symbol"]})
        late = _late_candles(stored, rows, began)
        batch = Batch(rows, span, symbols, [timeframe], late, table="partition_status")
        return batch, changed

    def _defects(
        self, known: MasterState, candles: pl.DataFrame, span: SessionSpan, timeframe: str
    ) -> pl.DataFrame:
        """What curation makes of the candles (it reads daily ones only), and damaged ones."""
        damaged = corrupted(self._to_be_digested(candles, span, timeframe))
        if timeframe != "1d" or candles.is_empty():
            return damaged
        # Candles of a symbol that nobody knows any more make no bar; the ledger calls them so.
        defects = find_defects(
            candles.join(known.instruments, on="symbol", how="semi", maintain_order="left"),
            known.instruments,
            known.splits,
            known.dividends,
            self.tools.data_quality.curation,
            since=span.first,
        )
        return pl.concat([damaged, defects])

    def _to_be_digested(
        self, candles: pl.DataFrame, span: SessionSpan, timeframe: str
    ) -> pl.DataFrame:
        """Candles whose digests are made anew: some microseconds each.

        In a run that is longer than a sweep only those that were damaged before; the sweep comes to
        all of them in its time.
        """
        inside = candles.filter(pl.col("session") >= span.first)
        if len(self.span.sessions) <= self.tools.data_quality.backfill.sweep_sessions:
            return inside
        damaged = self._stored(span, timeframe).filter(
            pl.col("reasons").str.split(",").list.contains(CHECKSUM_MISMATCH)
        )
        return inside.join(damaged, on=CELL, how="semi", maintain_order="left")

    def _stored(self, span: SessionSpan, timeframe: str) -> pl.DataFrame:
        master = self.tools.master
        if not master.exists("partition_status"):
            return PARTITION_STATUS.empty()
        read = master.read("partition_status", caller=CALLER, span=span, timeframes=[timeframe])
        return read.rows

    def _queue_holes(self, known: MasterState, batch: Batch, news: pl.DataFrame) -> None:
        """Queue what fetching can cure, the newest and most traded first.

        A cell that has candles is queued when its fault is found, and not again: fetched once more
        it would be the same.
        """
        empty = batch.rows.filter(pl.col("actual_rows") == 0)
        holes = pl.concat([empty, news.filter(pl.col("actual_rows") > 0)])
        if holes.is_empty():
            return
        rules = self.tools.data_quality.backfill
        newest = SessionSpan(batch.span.last, batch.span.last).trailing(LIQUIDITY_SESSIONS - 1)
        daily = known.candles(newest, "1d")
        dollar_volume = (pl.col("close") * pl.col("volume")).median()
        liquidity = daily.group_by("symbol").agg(median_dollar_volume=dollar_volume)
        work = plan_backfill(
            holes,
            liquidity,
            window_sessions=rules.window_sessions,
            leave_out=self.tools.operations.queued(),
        )
        self.tools.operations.enqueue(
            NewWork(symbol, timeframe, SessionSpan(first, last), reason, importance)
            for symbol, timeframe, first, last, reason, importance in work.iter_rows()
        )
        self._queued += work.height

    def _entry(self, known: MasterState, span: SessionSpan, began: dt.datetime) -> pl.DataFrame:
        row = {
            "audited_at": began,
            "as_of_session": last_closed_session(began),
            "first_session": span.first,
            "session": span.last,
            "cells": self._verdicts.total(),
            "changed": self._changed,
            **{verdict.lower(): self._verdicts[verdict] for verdict in VERDICTS},
            "rules_digest": known.rules_digest,
            "store_versions": json.dumps(known.versions, sort_keys=True),
        }
        return pl.DataFrame([row], schema=AUDITS.schema)


def _with_earlier_findings(rows: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Let a cell of which an audit says nothing new keep when, and of what, that was found."""
    found = ["checked_at", "store_version"]
    earlier = stored.select(*CELL, *_SAID, *(pl.col(name).alias(f"first_{name}") for name in found))
    return (
        rows.join(earlier, on=[*CELL, *_SAID], how="left", nulls_equal=True, validate="1:1")
        .with_columns(pl.coalesce(f"first_{name}", name).alias(name) for name in found)
        .select(PARTITION_STATUS.column_names)
    )


def _late_candles(stored: pl.DataFrame, rows: pl.DataFrame, now: dt.datetime) -> pl.DataFrame:
    """Log rows for cells that an earlier audit found empty when they were due, and that are not."""
    empty = stored.filter((pl.col("actual_rows") == 0) & (pl.col("verdict") == "RED"))
    filled = rows.filter(pl.col("actual_rows") > 0).join(empty, on=CELL, how="semi")
    if filled.is_empty():
        return DATA_QUALITY_LOG.empty()
    return log_rows(
        filled.select(
            *CELL,
            first_session="session",
            kind=pl.lit(LATE_CANDLES),
            ts=session_opens(filled["session"]),
            column=pl.lit("session"),
            vendor="delivered_by",
            detail=pl.lit("candles arrived after the session was found incomplete"),
            knowledge_ts=pl.lit(now),
        )
    )


def _with_all_calendars(
    grid: pl.DataFrame, instruments: pl.DataFrame, span: SessionSpan, timeframe: str
) -> pl.DataFrame:
    """Add a cell before the span for each symbol that is not listed in it.

    `judge` knows calendars from the grid, and takes others to be those of the exchange: candles of
    a delisted coin would be judged by how much of its listing lies in the same batch.
    """
    absent = instruments.join(grid, on="symbol", how="anti").select(
        "symbol",
        "calendar",
        timeframe=pl.lit(timeframe),
        session=pl.lit(offset_session(span.first, -1)),
        expected_rows=pl.lit(0, dtype=grid.schema["expected_rows"]),
        due_at=pl.lit(None, dtype=grid.schema["due_at"]),
    )
    return pl.concat([grid, absent])


def _cut(span: SessionSpan, length: int) -> Iterator[SessionSpan]:
    sessions = span.sessions
    for start in range(0, len(sessions), length):
        part = sessions[start : start + length]
        yield SessionSpan(part[0], part[-1])
