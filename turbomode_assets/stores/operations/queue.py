"""Statements for the backfill queue: stretches of the candles grid to be fetched again.

Work is live until it is taken out, or dead after too many failed attempts. Who works on what is
said in `claims`.
"""

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl
import sqlalchemy as sa

from turbomode_assets.config.completeness import BackfillConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.tables import UTC_TIME
from turbomode_assets.rationing.rules import span_of, to_microseconds
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.operations.database import insert_into
from turbomode_assets.stores.operations.schema import BACKFILL_QUEUE

WorkKey = tuple[str, str, dt.date, dt.date]
"""Symbol, timeframe, first and last session: values of WORK_KEY."""
WORK_KEY = ("symbol", "timeframe", "first_session", "last_session")

QUEUE_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "timeframe": pl.String(),
        "first_session": pl.Date(),
        "last_session": pl.Date(),
        "reason": pl.String(),
        "importance": pl.Float64(),
        "attempts": pl.Int64(),
        "not_before": UTC_TIME,
        "enqueued_at": UTC_TIME,
        "dead_at": UTC_TIME,
        "is_dead": pl.Boolean(),
        "claimed_by": pl.String(),
        "claimed_until": UTC_TIME,
    }
)
"""Queued work.

`attempts` counts failures; `reason` says why it was queued, or what was said of it last. A claim
that ran out (`claimed_until`) still names who had it.
"""

SYMBOLS_PER_QUERY = 5000
"""SQLite takes 32,766 values in one statement."""


_COLUMNS = BACKFILL_QUEUE.c
_STORED = [name for name in QUEUE_SCHEMA if name != "is_dead"]
_AS_STORED = {
    name: pl.Int64() if QUEUE_SCHEMA[name] == UTC_TIME else QUEUE_SCHEMA[name] for name in _STORED
}


@dataclass(frozen=True)
class NewWork:
    """Cells of one symbol and timeframe to be fetched, why, and how much hangs on them."""

    symbol: str
    timeframe: str
    span: SessionSpan
    reason: str
    importance: float

    def __post_init__(self) -> None:
        """Refuse an importance that cannot be compared."""
        if not math.isfinite(self.importance):
            raise InputError(
                f"an importance of {self.importance}",
                where=f"backfill of {self.symbol} {self.timeframe} {self.span}",
                fix="give a finite number; the higher, the sooner",
            )

    @property
    def key(self) -> WorkKey:
        """What tells this work from other work."""
        return self.symbol, self.timeframe, self.span.first, self.span.last


def add(connection: sa.Connection, items: Iterable[NewWork], now: int) -> None:
    """Add work that is absent; of what is there, only the importance can rise.

    A higher importance brings its reason along, unless an attempt failed: what that said stays.
    """
    chosen: dict[WorkKey, NewWork] = {}
    for item in items:
        if item.key not in chosen or chosen[item.key].importance < item.importance:
            chosen[item.key] = item
    rows = [
        {
            **dict(zip(WORK_KEY, key, strict=True)),
            "reason": item.reason,
            "importance": item.importance,
            "attempts": 0,
            "enqueued_at": now,
        }
        for key, item in sorted(chosen.items(), key=lambda pair: pair[0])
    ]
    entry = insert_into(connection, BACKFILL_QUEUE)
    kept = sa.case((_COLUMNS.attempts > 0, _COLUMNS.reason), else_=entry.excluded.reason)
    raised = entry.on_conflict_do_update(
        index_elements=list(WORK_KEY),
        set_={"importance": entry.excluded.importance, "reason": kept},
        where=_COLUMNS.importance < entry.excluded.importance,
    )
    if rows:
        connection.execute(raised, rows)


def read(
    connection: sa.Connection,
    condition: sa.ColumnElement[bool] | None = None,
    limit: int | None = None,
) -> pl.DataFrame:
    """Read work in `QUEUE_SCHEMA`: latest last session first, then importance, then key."""
    query = sa.select(*(_COLUMNS[name] for name in _STORED)).order_by(
        _COLUMNS.last_session.desc(), _COLUMNS.importance.desc(), *_keys_in_order(connection)
    )
    if condition is not None:
        query = query.where(condition)
    rows = [tuple(row) for row in connection.execute(query.limit(limit))]
    found = pl.DataFrame(rows, schema=_AS_STORED, orient="row")
    marked = found.with_columns(is_dead=pl.col("dead_at").is_not_null())
    return marked.select(QUEUE_SCHEMA.names()).cast(QUEUE_SCHEMA)


def is_dead() -> sa.ColumnElement[bool]:
    """Condition of work that failed too often."""
    return _COLUMNS.dead_at.is_not(None)


def keys_within(
    connection: sa.Connection,
    stretches: Iterable[tuple[str, str, SessionSpan]],
    *,
    wholly: bool = True,
) -> list[WorkKey]:
    """Name queued work, dead or not, that lies (`wholly`, or at least in part) in a stretch."""
    spans: dict[tuple[str, str], list[SessionSpan]] = {}
    for symbol, timeframe, span in stretches:
        spans.setdefault((symbol, timeframe), []).append(span)
    symbols = sorted({symbol for symbol, _ in spans})
    ends = [(span.first, span.last) for same in spans.values() for span in same]
    found: list[WorkKey] = []
    for start in range(0, len(symbols), SYMBOLS_PER_QUERY):
        query = sa.select(*(_COLUMNS[name] for name in WORK_KEY)).where(
            _COLUMNS.symbol.in_(symbols[start : start + SYMBOLS_PER_QUERY]),
            _COLUMNS.last_session >= min(first for first, _ in ends),
            _COLUMNS.first_session <= max(last for _, last in ends),
        )
        found += [
            (symbol, timeframe, first, last)
            for symbol, timeframe, first, last in connection.execute(query)
            if any(
                _lies_in(first, last, span, wholly) for span in spans.get((symbol, timeframe), ())
            )
        ]
    return found


def _lies_in(first: dt.date, last: dt.date, span: SessionSpan, wholly: bool) -> bool:
    if wholly:
        return span.first <= first and last <= span.last
    return span.first <= last and first <= span.last


def fail(
    connection: sa.Connection,
    keys: Iterable[WorkKey],
    reason: str,
    now: int,
    retry_at: dt.datetime | None,
    policy: BackfillConfig,
) -> None:
    """Count a failed attempt and set when the next may be made; the last one leaves it dead.

    Formula: not_before = max(retry_at, now + min(backoff * 2^(attempts - 1), longest backoff))
    """
    earliest = now if retry_at is None else to_microseconds(retry_at)
    longest = span_of(policy.longest_backoff_seconds)
    pauses = {
        before: min(span_of(policy.backoff_seconds * 2.0**before), longest)
        for before in range(policy.attempts)
    }
    not_before = {
        before: sa.literal(max(earliest, now + pause), sa.BigInteger)
        for before, pause in pauses.items()
    }
    latest = sa.literal(max(earliest, now + longest), sa.BigInteger)
    is_last = _COLUMNS.attempts + 1 >= policy.attempts
    died_at = sa.func.coalesce(_COLUMNS.dead_at, sa.literal(now, sa.BigInteger))
    values = {
        "attempts": _COLUMNS.attempts + 1,
        "not_before": sa.case(not_before, value=_COLUMNS.attempts, else_=latest),
        "dead_at": sa.case((is_last, died_at), else_=_COLUMNS.dead_at),
        "reason": reason,
    }
    execute_for(connection, sa.update(BACKFILL_QUEUE).values(values), keys)


def postpone(
    connection: sa.Connection, keys: Iterable[WorkKey], reason: str, not_before: dt.datetime
) -> None:
    """Let live work wait until then, or longer if it does already; no attempt was made."""
    until = sa.literal(to_microseconds(not_before), sa.BigInteger)
    waits_longer = _COLUMNS.not_before > until
    values = {"not_before": sa.case((waits_longer, _COLUMNS.not_before), else_=until)}
    update = sa.update(BACKFILL_QUEUE).where(_COLUMNS.dead_at.is_(None))
    execute_for(connection, update.values(**values, reason=reason), keys)


def revive(connection: sa.Connection, keys: Iterable[WorkKey] | None) -> None:
    """Make dead work (None: all of it) live as if it had never been tried; its reason stays."""
    fresh = sa.update(BACKFILL_QUEUE).where(is_dead())
    fresh = fresh.values(attempts=0, not_before=None, dead_at=None)
    if keys is None:
        connection.execute(fresh)
    else:
        execute_for(connection, fresh, keys)


def remove(connection: sa.Connection, keys: Iterable[WorkKey]) -> None:
    """Take work out."""
    execute_for(connection, sa.delete(BACKFILL_QUEUE), keys)


def execute_for(
    connection: sa.Connection, statement: sa.Update | sa.Delete, keys: Iterable[WorkKey]
) -> None:
    """Execute a statement for each of these keys, once."""
    same = (_COLUMNS[name] == sa.bindparam(f"of_{name}") for name in WORK_KEY)
    rows = [
        {f"of_{name}": value for name, value in zip(WORK_KEY, key, strict=True)}
        for key in sorted(set(keys))
    ]
    if rows:
        connection.execute(statement.where(*same), rows)


def _keys_in_order(connection: sa.Connection) -> list[sa.ColumnElement[Any]]:
    # A PostgreSQL database may be made with a language's order, in which BRK-B follows BRKA.
    order = "C" if connection.dialect.name == "postgresql" else "BINARY"
    symbol, timeframe, *sessions = (_COLUMNS[name] for name in WORK_KEY)
    return [sa.collate(symbol, order), sa.collate(timeframe, order), *sessions]
