"""Statements for claims: who works on which part of the backfill queue, and until when.

A claim is two columns of the work's own row. Every change of the queue is made by one transaction
at a time, so that what one worker finds free no other can take meanwhile.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl
import sqlalchemy as sa

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.rationing.rules import to_time
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.operations import queue
from turbomode_assets.stores.operations.leases import expiry
from turbomode_assets.stores.operations.queue import WORK_KEY, WorkKey
from turbomode_assets.stores.operations.schema import BACKFILL_QUEUE

_COLUMNS = BACKFILL_QUEUE.c


@dataclass(frozen=True)
class Selection:
    """Which work is meant: all of whose sessions lie in `span`; None leaves a question open."""

    span: SessionSpan | None = None
    symbols: Sequence[str] | None = None
    timeframes: Sequence[str] | None = None


def read_due(connection: sa.Connection, limit: int, now: int, selection: Selection) -> pl.DataFrame:
    """Read live work whose time has come and that nobody holds, most urgent first."""
    if limit < 1:
        raise InputError(
            f"at most {limit} items of work", where="backfill queue", fix="ask for one at least"
        )
    return queue.read(connection, _is_free(now) & _is_in(selection), limit)


def take(
    connection: sa.Connection,
    owner: str,
    limit: int,
    now: int,
    seconds: float,
    selection: Selection,
) -> pl.DataFrame:
    """Hold the most urgent work that is due and free, and read it as it now stands."""
    until = expiry(now, seconds, owner)
    found = read_due(connection, limit, now, selection)
    update = sa.update(BACKFILL_QUEUE).values(claimed_by=owner, claimed_until=until)
    queue.execute_for(connection, update, found.select(WORK_KEY).iter_rows())
    return found.with_columns(
        claimed_by=pl.lit(owner),
        claimed_until=pl.lit(to_time(until), dtype=found.schema["claimed_until"]),
    )


def prolong(connection: sa.Connection, owner: str, now: int, seconds: float) -> set[WorkKey]:
    """Prolong every claim of the owner's, also one that ran out, and name what it holds."""
    update = sa.update(BACKFILL_QUEUE).where(_COLUMNS.claimed_by == owner)
    connection.execute(update.values(claimed_until=expiry(now, seconds, owner)))
    held = sa.select(*(_COLUMNS[name] for name in WORK_KEY)).where(_COLUMNS.claimed_by == owner)
    return {
        (symbol, timeframe, first, last)
        for symbol, timeframe, first, last in connection.execute(held)
    }


def give_back(connection: sa.Connection, owner: str, keys: Iterable[WorkKey] | None) -> None:
    """End the owner's claims on this work (None: on all of it)."""
    free = sa.update(BACKFILL_QUEUE).where(_COLUMNS.claimed_by == owner)
    free = free.values(claimed_by=None, claimed_until=None)
    if keys is None:
        connection.execute(free)
    else:
        queue.execute_for(connection, free, keys)


def _is_free(now: int) -> sa.ColumnElement[bool]:
    return sa.and_(
        ~queue.is_dead(),
        sa.or_(_COLUMNS.not_before.is_(None), _COLUMNS.not_before <= now),
        sa.or_(_COLUMNS.claimed_until.is_(None), _COLUMNS.claimed_until <= now),
    )


def _is_in(selection: Selection) -> sa.ColumnElement[bool]:
    conditions: list[sa.ColumnElement[bool]] = []
    if selection.span is not None:
        conditions.append(_COLUMNS.first_session >= selection.span.first)
        conditions.append(_COLUMNS.last_session <= selection.span.last)
    if selection.symbols is not None:
        conditions.append(_COLUMNS.symbol.in_(selection.symbols))
    if selection.timeframes is not None:
        conditions.append(_COLUMNS.timeframe.in_(selection.timeframes))
    return sa.and_(sa.true(), *conditions)
