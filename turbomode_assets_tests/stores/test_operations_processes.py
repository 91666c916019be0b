"""Real processes on one store: they share its limits, and one that is killed blocks nobody."""

import contextlib
import datetime as dt
import itertools
import multiprocessing
import signal
import threading
import time
from collections import Counter

import pytest
import sqlalchemy as sa

from turbomode_assets.rationing.protocol import Call
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.operations import NewWork, Operations, RationedBudget, utc_now
from turbomode_assets.stores.operations.schema import VENDOR_CALLS
from turbomode_assets_tests.stores.operations_workers import (
    START_TOGETHER_SECONDS,
    SimulatedClock,
    budget_config,
    fill,
    fill_until_killed,
    heaviest,
    hold_everything,
    share,
)

PROCESSES = multiprocessing.get_context("spawn")


@contextlib.contextmanager
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


def queue_of(count, url):
    """A queue of so many items: 20 symbols on each of some sessions."""
    days = SessionSpan(dt.date(2024, 1, 8), dt.date(2024, 12, 31)).sessions[: count // 20]
    operations = Operations(url)
    operations.enqueue(
        NewWork(f"S{n:02d}", "1d", SessionSpan(day, day), "absent", 0.0)
        for n in range(20)
        for day in days
    )
    return operations, [f"S{n:02d} {day}" for day in reversed(days) for n in range(20)]


def lines_of(diary):
    return diary.read_text(encoding="utf-8").split("\n")[:-1] if diary.exists() else []


def wait_for_lines(diary, count):
    """Wait until a worker has written so much down."""
    for _ in range(START_TOGETHER_SECONDS * 100):
        if len(lines_of(diary)) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"{diary.name} did not get to item {count}")


def test_what_killed_workers_held_is_done_by_others_and_nothing_else_twice(
    operations_url, tmp_path
):
    operations, items = queue_of(400, operations_url)
    diaries = [tmp_path / f"worker {n}" for n in range(4)]
    doomed = diaries[:2]
    together = (PROCESSES.Barrier(4), PROCESSES.Event())
    heirs = [
        threading.Thread(target=fill, args=(operations_url, diary.name, diary, False, *together))
        for diary in diaries[2:]
    ]
    with running(fill_until_killed, operations_url, doomed, *together) as (process, _):
        for heir in heirs:
            heir.start()
        for diary in doomed:
            wait_for_lines(diary, 7)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    together[1].set()
    for heir in heirs:
        heir.join(START_TOGETHER_SECONDS)
    held = operations.queued().group_by("claimed_by").len()
    assert dict(held.iter_rows()) == {diary.name: 4 for diary in doomed}
    assert operations.due(1).is_empty()
    clock = SimulatedClock(utc_now() + dt.timedelta(hours=1))
    taken = Operations(operations_url, clock=clock.now).claim("heir", 99, 60)
    inherited = [
        f"{symbol} {day}" for symbol, day in taken.select("symbol", "first_session").rows()
    ]
    counts = Counter(itertools.chain(inherited, *map(lines_of, diaries)))
    assert sorted(counts) == sorted(items)
    in_flight = [lines_of(diary)[-1] for diary in doomed]
    assert {item: n for item, n in counts.items() if n > 1} == dict.fromkeys(in_flight, 2)


def test_one_worker_does_the_newest_first(operations_url, tmp_path):
    _, items = queue_of(60, operations_url)
    others_died = PROCESSES.Event()
    others_died.set()
    diary = tmp_path / "worker"
    fill(operations_url, diary.name, diary, False, PROCESSES.Barrier(1), others_died)
    assert lines_of(diary) == items
