"""Clocks, budgets and counters for the operations store's tests, and what their processes do.

Every process imports this module: it stays light.
"""

import datetime as dt
import heapq
import threading
import time
from collections.abc import Iterable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

from turbomode_assets.config.budgets import BucketConfig, BudgetConfig, WindowConfig
from turbomode_assets.stores.operations import Operations, RationedBudget, utc_now
from turbomode_assets.vendors.budgets import Call

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
