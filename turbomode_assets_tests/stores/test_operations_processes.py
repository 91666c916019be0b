"""Real processes on one store: they share its limits, and one that is killed blocks nobody."""

import datetime as dt
import multiprocessing
import signal
from collections import Counter
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from turbomode_assets.stores.operations import Operations, RationedBudget, utc_now
from turbomode_assets.stores.operations.schema import VENDOR_CALLS
from turbomode_assets.vendors.budgets import Call
from turbomode_assets_tests.stores.operations_workers import (
    START_TOGETHER_SECONDS,
    SimulatedClock,
    budget_config,
    heaviest,
    hold_everything,
    share,
)

PROCESSES = multiprocessing.get_context("spawn")


@contextmanager
def running(target, *arguments):
    """Run a process with one end of a pipe; whatever happens, it does not outlive the block."""
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=target, args=(*arguments, there))
    process.start()
    there.close()
    try:
        yield process, here
    finally:
        process.kill()
        process.join()


def receive(pipe):
    assert pipe.poll(START_TOGETHER_SECONDS), "the process said nothing"
    return pipe.recv()


def test_processes_share_limits_and_leases_of_a_store_that_none_has_made(operations_url):
    config = budget_config(("vendor", 6, 0.3), margin_seconds=0.2)
    names = [f"question {number}" for number in range(60)]
    common = (operations_url, config, names, PROCESSES.Barrier(3))
    with (
        running(share, "a", *common) as (_, a),
        running(share, "b", *common) as (_, b),
        running(share, "c", *common) as (_, c),
    ):
        got = [receive(pipe) for pipe in (a, b, c)]
    assert sorted(name for leases, _ in got for name in leases) == sorted(names)
    assert [calls for _, calls in got] == [10, 10, 10]
    with Operations(operations_url).reading() as connection:
        rows = connection.execute(sa.select(VENDOR_CALLS)).all()
    assert Counter(row.call_group for row in rows) == {"a": 10, "b": 10, "c": 10}
    assert all(row.finished_at >= row.granted_at for row in rows)
    assert heaviest([(row.granted_at, 1) for row in rows], 500_000) <= 6


def test_a_killed_worker_blocks_nobody_for_ever(operations_url):
    config = budget_config(open_calls=1, longest_wait_seconds=0)
    with running(hold_everything, operations_url, config) as (process, ready):
        assert receive(ready) is None
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    clock = SimulatedClock(utc_now())
    operations = Operations(operations_url, clock=clock.now)
    budget = RationedBudget(operations, {"v": config}, clock=clock.now, sleep=clock.sleep)
    call = Call("v", "next", "next")
    with budget.spend(call) as spent:
        assert spent is not None
        assert spent.reason == "at most 1 calls open at once"
    assert operations.lease_many(["AAPL", "GOOG"], "heir", 60) == {"GOOG"}
    clock.sleep((spent.retry_at - clock.now()).total_seconds())
    with budget.spend(call) as spent:
        assert spent is None
    clock.sleep(dt.timedelta(hours=1).total_seconds())
    assert operations.lease_many(["AAPL", "MSFT"], "heir", 60) == {"AAPL", "MSFT"}


def test_a_forked_child_opens_the_store_anew(operations_url):
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    operations = Operations(operations_url)
    assert operations.try_lease("parent's", "parent", 60)
    child = multiprocessing.get_context("fork").Process(
        target=operations.lease_many, args=(["child's", "parent's"], "child", 60)
    )
    child.start()
    child.join(START_TOGETHER_SECONDS)
    assert child.exitcode == 0
    assert operations.lease_many(["child's", "parent's"], "parent", 60) == {"parent's"}
