"""A plain model of the backfill queue, and what may be done to it."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from hypothesis import strategies as st

from turbomode_assets.config.completeness import BackfillConfig
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.operations import NewWork, Operations, WorkKey
from turbomode_assets_tests.stores.operations_workers import SimulatedClock

DAYS = [dt.date(2024, 1, day) for day in (8, 9)]
SPANS = [SessionSpan(first, last) for first in DAYS for last in DAYS if first <= last]
CLAIM_SECONDS = 90

spans = st.sampled_from(SPANS)
cells = st.tuples(st.sampled_from(["AAPL", "MSFT"]), st.just("1d"), spans)
keys = st.sets(cells.map(lambda cell: (*cell[:2], cell[2].first, cell[2].last)), min_size=2)
owners = st.sampled_from(["ann", "bob", "eve"])
reasons = st.sampled_from(["absent", "timeout", "spent"])
seconds = st.sampled_from([0, 30, 60, 90, 200])  # ends of claims and pauses among them
new_work = st.builds(
    lambda cell, reason, importance: NewWork(*cell, reason, float(importance)),
    cells,
    reasons,
    st.integers(0, 3),
)
actions = st.one_of(
    st.tuples(st.just("enqueue"), st.lists(new_work, min_size=2, max_size=8)),
    st.tuples(st.just("fail"), keys, reasons, st.none() | seconds),
    st.tuples(st.just("postpone"), keys, reasons, seconds),
    st.tuples(st.just("dequeue"), keys),
    st.tuples(st.just("revive"), st.none() | keys),
    st.tuples(st.just("claim"), owners, st.integers(1, 5), st.none() | spans),
    st.tuples(st.just("renew"), owners),
    st.tuples(st.just("release"), owners, st.none() | keys),
    st.tuples(st.just("wait"), seconds),
)


@dataclass
class Item:
    """Work as the model keeps it."""

    reason: str
    importance: float
    since: dt.datetime
    attempts: int = 0
    not_before: dt.datetime | None = None
    dead_at: dt.datetime | None = None
    owner: str | None = None
    until: dt.datetime | None = None

    def is_due(self, now: dt.datetime) -> bool:
        waits = [time for time in (self.not_before, self.until) if time is not None and time > now]
        return self.dead_at is None and not waits


class QueueModel:
    """Does everything to a dictionary and to the queue alike, and compares the answers."""

    def __init__(
        self, operations: Operations, clock: SimulatedClock, policy: BackfillConfig
    ) -> None:
        self.operations, self.clock, self.policy = operations, clock, policy
        self.items: dict[WorkKey, Item] = {}

    def enqueue(self, items: list[NewWork]) -> None:
        self.operations.enqueue(items)
        for new in items:
            fresh = Item(new.reason, new.importance, self.clock.now())
            item = self.items.setdefault(new.key, fresh)
            if new.importance > item.importance:
                item.importance = new.importance
                item.reason = item.reason if item.attempts else new.reason

    def fail(self, keys: Collection[WorkKey], reason: str, retry_after: int | None) -> None:
        retry_at = None if retry_after is None else self._in(retry_after)
        self.operations.fail(keys, reason, retry_at=retry_at, policy=self.policy)
        for item in self._of(keys):
            item.attempts += 1
            pause = self.policy.backoff_seconds * 2 ** (item.attempts - 1)
            next_try = self._in(min(pause, self.policy.longest_backoff_seconds))
            item.not_before = max(retry_at or next_try, next_try)
            item.reason = reason
            if item.attempts >= self.policy.attempts and item.dead_at is None:
                item.dead_at = self.clock.now()

    def postpone(self, keys: Collection[WorkKey], reason: str, after: int) -> None:
        until = self._in(after)
        self.operations.postpone(keys, reason, until)
        for item in self._of(keys):
            if item.dead_at is None:
                item.reason, item.not_before = reason, max(item.not_before or until, until)

    def dequeue(self, keys: Collection[WorkKey]) -> None:
        self.operations.dequeue(keys)
        for key in keys:
            self.items.pop(key, None)

    def revive(self, keys: Collection[WorkKey] | None) -> None:
        self.operations.revive(keys)
        for item in self._of(self.items if keys is None else keys):
            if item.dead_at is not None:
                item.attempts, item.not_before, item.dead_at = 0, None, None

    def claim(self, owner: str, limit: int, span: SessionSpan | None) -> None:
        due = self._due(span)[:limit]
        assert keys_of(self.operations.due(limit, span=span)) == due
        assert keys_of(self.operations.claim(owner, limit, CLAIM_SECONDS, span=span)) == due
        for item in self._of(due):
            item.owner, item.until = owner, self._in(CLAIM_SECONDS)

    def renew(self, owner: str) -> None:
        held = {key for key, item in self.items.items() if item.owner == owner}
        assert self.operations.renew_claims(owner, CLAIM_SECONDS) == held
        for item in self._of(held):
            item.until = self._in(CLAIM_SECONDS)

    def release(self, owner: str, keys: Collection[WorkKey] | None) -> None:
        self.operations.release_claims(owner, keys)
        for item in self._of(self.items if keys is None else keys):
            if item.owner == owner:
                item.owner, item.until = None, None

    def wait(self, seconds: int) -> None:
        self.clock.sleep(seconds)

    def compare(self) -> None:
        """Compare the whole queue."""
        queued = self.operations.queued()
        assert keys_of(queued) == self._in_order()
        told = {
            key: Item(
                *queued.select("reason", "importance", "enqueued_at").row(number),
                *queued.select("attempts", "not_before", "dead_at").row(number),
                *queued.select("claimed_by", "claimed_until").row(number),
            )
            for number, key in enumerate(keys_of(queued))
        }
        assert told == self.items
        dead = [key for key in self._in_order() if self.items[key].dead_at is not None]
        assert keys_of(self.operations.queued().filter("is_dead")) == dead
        assert keys_of(queued.filter("is_dead")) == dead

    def _in_order(self) -> list[WorkKey]:
        by_key = sorted(self.items)
        by_importance = sorted(by_key, key=lambda key: -self.items[key].importance)
        return sorted(by_importance, key=lambda key: key[3], reverse=True)

    def _due(self, span: SessionSpan | None) -> list[WorkKey]:
        now = self.clock.now()
        return [
            key
            for key in self._in_order()
            if self.items[key].is_due(now)
            and (span is None or (span.first <= key[2] and key[3] <= span.last))
        ]

    def _of(self, keys: Collection[WorkKey]) -> list[Item]:
        return [self.items[key] for key in keys if key in self.items]

    def _in(self, seconds: float) -> dt.datetime:
        return self.clock.now() + dt.timedelta(seconds=seconds)


def keys_of(frame) -> list[WorkKey]:
    return frame.select("symbol", "timeframe", "first_session", "last_session").rows()
