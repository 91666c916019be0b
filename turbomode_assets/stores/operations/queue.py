"""Statements for the backfill queue: stretches of the candles grid to be fetched again."""

import datetime as dt
from collections.abc import Iterable

import polars as pl
import sqlalchemy as sa

from turbomode_assets.contracts.tables import UTC_TIME
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.operations.database import insert_into
from turbomode_assets.stores.operations.schema import BACKFILL_QUEUE
from turbomode_assets.vendors.rationing import to_microseconds

Work = tuple[str, str, SessionSpan, str, dt.datetime | None]
"""Symbol, timeframe, sessions, why, and when at the earliest (an aware time)."""

WorkKey = tuple[str, str, dt.date, dt.date]
"""Symbol, timeframe, first and last session."""

QUEUE_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "timeframe": pl.String(),
        "first_session": pl.Date(),
        "last_session": pl.Date(),
        "reason": pl.String(),
        "not_before": UTC_TIME,
        "attempts": pl.Int64(),
        "enqueued_at": UTC_TIME,
    }
)
"""Queued work; `attempts` counts how often it was enqueued, `enqueued_at` is the first time."""

_KEY = ("symbol", "timeframe", "first_session", "last_session")
_AS_STORED = {
    name: pl.Int64() if dtype == UTC_TIME else dtype for name, dtype in QUEUE_SCHEMA.items()
}


def add(connection: sa.Connection, items: Iterable[Work], now: int) -> None:
    """Add work; what is there already gets the newest reason and one attempt more."""
    newest = {
        (symbol, timeframe, span.first, span.last): (reason, not_before)
        for symbol, timeframe, span, reason, not_before in items
    }
    rows = [
        {
            **dict(zip(_KEY, key, strict=True)),
            "reason": reason,
            "not_before": None if not_before is None else to_microseconds(not_before),
            "attempts": 1,
            "enqueued_at": now,
        }
        for key, (reason, not_before) in sorted(newest.items(), key=lambda item: item[0])
    ]
    entry = insert_into(connection, BACKFILL_QUEUE)
    again = entry.on_conflict_do_update(
        index_elements=list(_KEY),
        set_={
            "reason": entry.excluded.reason,
            "not_before": entry.excluded.not_before,
            "attempts": BACKFILL_QUEUE.c.attempts + 1,
        },
    )
    if rows:
        connection.execute(again, rows)


def read(connection: sa.Connection) -> pl.DataFrame:
    """Read all of it, longest waiting first."""
    columns = BACKFILL_QUEUE.c
    query = sa.select(*(columns[name] for name in QUEUE_SCHEMA)).order_by(
        columns.enqueued_at, *(columns[name] for name in _KEY)
    )
    rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=_AS_STORED, orient="row").cast(QUEUE_SCHEMA)


def remove(connection: sa.Connection, keys: Iterable[WorkKey]) -> None:
    """Take work out."""
    same = (BACKFILL_QUEUE.c[name] == sa.bindparam(f"of_{name}") for name in _KEY)
    rows = [
        {f"of_{name}": value for name, value in zip(_KEY, key, strict=True)}
        for key in sorted(set(keys))
    ]
    if rows:
        connection.execute(sa.delete(BACKFILL_QUEUE).where(*same), rows)
