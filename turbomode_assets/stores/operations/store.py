"""The operations store: who may do what when, shared by every worker of a platform.

Vendor budgets, leases, the backfill queue and what was fetched when. No market data.
"""

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

import polars as pl

from turbomode_assets.stores.operations import checks as check_rows
from turbomode_assets.stores.operations import leases, queue
from turbomode_assets.stores.operations.database import OperationsDatabase
from turbomode_assets.stores.operations.queue import Work, WorkKey
from turbomode_assets.vendors.rationing import to_microseconds


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

    def enqueue(self, items: Iterable[Work]) -> None:
        """Queue work. What is queued already counts one attempt more, with the newest reason."""
        with self.transaction() as connection:
            queue.add(connection, items, self._now())

    def queued(self) -> pl.DataFrame:
        """Read all queued work in `QUEUE_SCHEMA`, longest waiting first."""
        with self.reading() as connection:
            return queue.read(connection)

    def dequeue(self, keys: Iterable[WorkKey]) -> None:
        """Take work off the queue that is done."""
        with self.transaction() as connection:
            queue.remove(connection, keys)

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

    def clear_checks_before(self, session: dt.date, kind: str) -> int:
        """Forget the fetches of earlier sessions' cells and count them."""
        with self.transaction() as connection:
            return check_rows.clear_before(connection, kind, session)

    def _now(self) -> int:
        return to_microseconds(self._clock())
