"""The operations store: who may do what when, shared by every worker of a platform.

Vendor budgets, leases, the backfill queue and what was fetched when. No market data.
"""

import contextlib
import datetime as dt
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import polars as pl
import sqlalchemy as sa

from turbomode_assets.config.completeness import BackfillConfig
from turbomode_assets.rationing.rules import to_microseconds
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.operations import checks as check_rows
from turbomode_assets.stores.operations import claims, leases, queue
from turbomode_assets.stores.operations.claims import Selection
from turbomode_assets.stores.operations.database import OperationsDatabase, serialise
from turbomode_assets.stores.operations.queue import NewWork, WorkKey


def utc_now() -> dt.datetime:
    """Read the wall clock."""
    return dt.datetime.now(dt.UTC)


class Operations(OperationsDatabase):
    """The operations store's leases, queue and checks; each method is one transaction.

    Raises:
        StoreError: from every method, when the store cannot be used.
    """

    def __init__(self, url: str, *, clock: Callable[[], dt.datetime] = utc_now) -> None:
        super().__init__(url)
        self._clock = clock

    def __reduce__(self) -> tuple[object, ...]:
        return functools.partial(Operations, clock=self._clock), (self._text,)

    def try_lease(self, name: str, owner: str, seconds: float) -> bool:
        """Take or renew one lease; false while somebody else holds it."""
        return bool(self.lease_many([name], owner, seconds))

    def lease_many(self, names: Iterable[str], owner: str, seconds: float) -> set[str]:
        """Take or renew leases, those that are free, and name what the owner now holds of them."""
        with self.transaction() as connection:
            return leases.take(connection, names, owner, self._now(), seconds)

    def renew(self, names: Iterable[str], owner: str, seconds: float) -> set[str]:
        """Prolong the owner's leases and name those that it still holds.

        One that ran out but that nobody took since is still the owner's.
        """
        with self.transaction() as connection:
            return leases.prolong(connection, names, owner, self._now(), seconds)

    def release(self, names: Iterable[str], owner: str) -> None:
        """Give leases back; those of others stay."""
        with self.transaction() as connection:
            leases.give_back(connection, names, owner)

    def enqueue(self, items: Iterable[NewWork]) -> None:
        """Queue work that is absent; of what is queued, dead or not, only the importance rises.

        A higher importance brings its reason along, unless an attempt failed: its reason stays.
        """
        with self._changing_queue() as (connection, now):
            queue.add(connection, items, now)

    def queued(self) -> pl.DataFrame:
        """Read all work, dead letters too, in `QUEUE_SCHEMA`; most urgent first, as `due` does."""
        with self.reading() as connection:
            return queue.read(connection)

    def queued_within(
        self, stretches: Iterable[tuple[str, str, SessionSpan]], *, wholly: bool = True
    ) -> list[WorkKey]:
        """Name the work that lies, wholly or in part, in one of these (symbol, timeframe, span)."""
        with self.reading() as connection:
            return queue.keys_within(connection, stretches, wholly=wholly)

    def dequeue(self, keys: Iterable[WorkKey]) -> None:
        """Take work off the queue that is done, whoever holds it."""
        with self._changing_queue() as (connection, _):
            queue.remove(connection, keys)

    def fail(
        self,
        keys: Iterable[WorkKey],
        reason: str,
        *,
        retry_at: dt.datetime | None,
        policy: BackfillConfig,
    ) -> None:
        """Count one failed attempt; the work waits, or is dead after `attempts` of them.

        The pause doubles with every attempt, from `backoff_seconds` to `longest_backoff_seconds`,
        and ends no earlier than `retry_at`. Claims stay.
        """
        with self._changing_queue() as (connection, now):
            queue.fail(connection, keys, reason, now, retry_at, policy)

    def postpone(self, keys: Iterable[WorkKey], reason: str, not_before: dt.datetime) -> None:
        """Let live work wait that was not tried, until then at least. Claims stay."""
        with self._changing_queue() as (connection, _):
            queue.postpone(connection, keys, reason, not_before)

    def revive(self, keys: Iterable[WorkKey] | None = None) -> None:
        """Make dead letters (None: all) fresh work, due at once; what is alive is left alone."""
        with self._changing_queue() as (connection, _):
            queue.revive(connection, keys)

    def due(
        self,
        limit: int,
        *,
        span: SessionSpan | None = None,
        symbols: Sequence[str] | None = None,
        timeframes: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Read live work whose `not_before` has passed and that nobody holds.

        Latest last session first, then highest importance, then key. With `span`: work all of
        whose sessions lie in it.
        """
        selection = Selection(span, symbols, timeframes)
        with self.reading() as connection:
            return claims.read_due(connection, limit, self._now(), selection)

    def claim(
        self,
        owner: str,
        limit: int,
        seconds: float,
        *,
        span: SessionSpan | None = None,
        symbols: Sequence[str] | None = None,
        timeframes: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Take what `due` would read, so that nobody else is given it for so long."""
        selection = Selection(span, symbols, timeframes)
        with self._changing_queue() as (connection, now):
            return claims.take(connection, owner, limit, now, seconds, selection)

    def renew_claims(self, owner: str, seconds: float) -> set[WorkKey]:
        """Prolong the owner's claims and name the work that it still holds.

        One that ran out but that nobody took since is still the owner's.
        """
        with self._changing_queue() as (connection, now):
            return claims.prolong(connection, owner, now, seconds)

    def release_claims(self, owner: str, keys: Iterable[WorkKey] | None = None) -> None:
        """Give back the owner's claims on this work (None: on all); those of others stay."""
        with self._changing_queue() as (connection, _):
            claims.give_back(connection, owner, keys)

    def record_checks(self, kind: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Remember fetches of cells, as in `CHECK_SCHEMA`; a later `as_of` stays."""
        with self.transaction() as connection:
            check_rows.record(connection, kind, rows)

    def checks(
        self,
        kind: str,
        first: dt.date,
        last: dt.date,
        *,
        symbols: Sequence[str] | None = None,
        timeframe: str | None = None,
    ) -> pl.DataFrame:
        """Read what is remembered of the cells of some sessions, in `CHECK_SCHEMA`, by cell."""
        with self.reading() as connection:
            return check_rows.read(connection, kind, first, last, symbols, timeframe)

    @contextlib.contextmanager
    def _changing_queue(self) -> Iterator[tuple[sa.Connection, int]]:
        """Begin a transaction that alone changes the queue, and read the clock in it."""
        with self.transaction() as connection:
            serialise(connection, "backfill queue")
            yield connection, self._now()  # read inside: the wait for the queue is over

    def _now(self) -> int:
        return to_microseconds(self._clock())
