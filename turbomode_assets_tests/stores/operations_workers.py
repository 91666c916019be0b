"""Clocks, budgets and counters for the operations store's tests, and what their processes do.

Every process imports this module: it stays light.
"""

import datetime as dt
import heapq
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

import sqlalchemy as sa

from turbomode_assets.config.budgets import BucketConfig, BudgetConfig, WindowConfig
from turbomode_assets.rationing.protocol import Call
from turbomode_assets.stores.operations import Operations, RationedBudget, utc_now

NOON = dt.datetime(2024, 1, 2, 12, tzinfo=dt.UTC)
START_TOGETHER_SECONDS = 60


class SimulatedClock:
    """A clock that only sleeping moves; threads that share it sleep side by side."""

    def __init__(self, start: dt.datetime = NOON, threads: int = 1) -> None:
        self._time = start
        self._awake = threads
        self._alarms: list[dt.datetime] = []
        self._moved = threading.Condition()

    def now(self) -> dt.datetime:
        return self._time

    def sleep(self, seconds: float) -> None:
        with self._moved:
            alarm = self._time + dt.timedelta(seconds=seconds)
            heapq.heappush(self._alarms, alarm)
            self.leave()
            while self._time < alarm:
                self._moved.wait()

    def leave(self) -> None:
        """Say that a thread sleeps or is done: when all do, the next alarm goes off."""
        with self._moved:
            self._awake -= 1
            if self._awake == 0 and self._alarms:
                self._time = self._alarms[0]
                while self._alarms and self._alarms[0] <= self._time:
                    heapq.heappop(self._alarms)
                    self._awake += 1
                self._moved.notify_all()


def budget_config(
    *windows: tuple[str, int, float], bucket: tuple[int, float] | None = None, **values: float
) -> BudgetConfig:
    """Limits given as (per, limit, seconds) and a bucket as (capacity, per second)."""
    defaults = {
        "open_calls": None,
        "margin_seconds": 0.0,
        "longest_wait_seconds": 3600,
        "cool_off_seconds": 60,
    }
    return BudgetConfig(
        windows=[WindowConfig(per=per, limit=limit, seconds=s) for per, limit, s in windows],
        bucket=bucket and BucketConfig(capacity=bucket[0], per_second=bucket[1]),
        **(defaults | values),
    )


def heaviest(made: Iterable[tuple[float, int]], seconds: float) -> int:
    """Count the most weight in any stretch of time, both ends included."""
    rows = sorted(made)
    first, total, most = 0, 0, 0
    for at, weight in rows:
        total += weight
        while at - rows[first][0] > seconds:
            total -= rows[first][1]
            first += 1
        most = max(most, total)
    return most


def share(
    worker: str,
    url: str,
    config: BudgetConfig,
    names: Sequence[str],
    barrier: Barrier,
    results: Connection,
) -> None:
    """Start with the others, take leases, make ten calls, and send what was got."""
    operations = Operations(url)
    budget = RationedBudget(operations, {"v": config}, clock=utc_now, sleep=time.sleep)
    barrier.wait(START_TOGETHER_SECONDS)
    leases = {name for name in names[::2] if operations.try_lease(name, worker, 3600)}
    leases |= operations.lease_many(names[1::2], worker, 3600)
    made = 0
    for number in range(10):
        with budget.spend(Call("v", f"{worker} {number}", worker)) as spent:
            made += spent is None
    results.send((leases, made))


def hold_everything(url: str, config: BudgetConfig, ready: Connection) -> None:
    """Take a lease, keep a call open, say so, and wait to be killed."""
    operations = Operations(url)
    budget = RationedBudget(operations, {"v": config}, clock=utc_now, sleep=time.sleep)
    operations.lease_many(["AAPL", "MSFT"], "doomed", 3600)
    with budget.spend(Call("v", "doomed", "doomed")) as spent:
        ready.send(spent)
        time.sleep(START_TOGETHER_SECONDS)


def die_in_migration(url: str) -> None:
    """Open a store of an older version and be killed before its last step is committed."""

    def kill_at_the_last_step(_connection: object, _cursor: object, said: str, *_: object) -> None:
        if said.startswith("UPDATE operations_schema"):
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", kill_at_the_last_step)
    with Operations(url).reading():
        pass


def fill(
    url: str, worker: str, diary: Path, is_doomed: bool, barrier: Barrier, others_died: Event
) -> None:
    """Do the queue's work, five items at a time, until nothing is free; write down what was done.

    A doomed worker hangs in its second five, between writing an item down and taking it off the
    queue. The others do ten fives and then wait until it is dead.
    """
    operations = Operations(url)
    barrier.wait(START_TOGETHER_SECONDS)
    with diary.open("a", encoding="utf-8", buffering=1) as lines:
        for number in itertools.count(1):
            if number > 10:
                others_died.wait(START_TOGETHER_SECONDS)
            taken = operations.claim(worker, 5, 3600)
            if taken.is_empty():
                return
            keys = taken.select("symbol", "timeframe", "first_session", "last_session").rows()
            for place, (symbol, timeframe, first, last) in enumerate(keys):
                lines.write(f"{symbol} {first}\n")
                if is_doomed and (number, place) == (2, 1):
                    time.sleep(START_TOGETHER_SECONDS)
                operations.dequeue([(symbol, timeframe, first, last)])


def fill_until_killed(
    url: str, diaries: Sequence[Path], barrier: Barrier, others_died: Event, _results: Connection
) -> None:
    """Be a process of doomed workers, one for each diary and named like it."""
    threads = [
        threading.Thread(target=fill, args=(url, diary.name, diary, True, barrier, others_died))
        for diary in diaries
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
