"""Holes of a year that a queue fills: workers that share, budgets across a restart, kill -9."""

import itertools
import random
import time

import polars as pl
import pytest

from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.operations import Operations
from turbomode_assets_tests.faults.platforms import FORKSERVER, KILLED, LIBRARIES
from turbomode_assets_tests.faults.queue_workers import (
    CALLS_PER_SECOND,
    LEASE_SECONDS,
    SYMBOLS,
    WINDOW_SESSIONS,
    YEAR,
    audit,
    store,
    whole_year,
    work,
)

PATIENCE_SECONDS = 120
CALLS = pl.Schema(
    {
        "at": pl.Float64,
        "owner": pl.String,
        "symbol": pl.String,
        "first": pl.Date,
        "last": pl.Date,
    }
)


def start(root, owner, seconds=0.0):
    FORKSERVER.set_forkserver_preload(LIBRARIES)
    worker = FORKSERVER.Process(target=work, args=(root, owner, seconds), daemon=True)
    worker.start()
    return worker


def finish(*workers):
    for worker in workers:
        worker.join(PATIENCE_SECONDS)
        assert worker.exitcode == 0


def calls_of(root):
    return pl.read_csv(
        root / "calls.txt", separator=" ", has_header=False, schema=CALLS, try_parse_dates=True
    ).sort("at")


def busiest_second(calls):
    """Most calls in any second, counted call by call."""
    times = calls["at"].to_list()
    return max(sum(1 for later in times[i:] if later < at + 1) for i, at in enumerate(times))


def wait_for_calls(root, count):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (root / "calls.txt").exists() or calls_of(root).height < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def candles_of(root):
    stored = MasterReader(str(root / "master")).read("candles", caller="test", timeframes=["1d"])
    return stored.rows.drop("ingested_at")


def verdicts_of(root):
    ledger = MasterReader(str(root / "master")).read("partition_status", caller="test").rows
    return dict(ledger.group_by("verdict").len().iter_rows())


@pytest.fixture
def holed(tmp_path):
    """A year of 80 symbols of which one cell in twenty is gone, audited."""
    year = whole_year(tmp_path)
    chance = random.Random(20191231)
    cells = list(itertools.product(SYMBOLS, YEAR.sessions))
    gone = pl.DataFrame(
        chance.sample(cells, len(cells) // 20), schema=["symbol", "session"], orient="row"
    )
    store(tmp_path, year.join(gone, on=["symbol", "session"], how="anti"))
    audit(tmp_path)
    return tmp_path, year, gone


def test_two_workers_and_an_heir_restore_a_year_newest_first_within_the_budget(holed):
    root, year, gone = holed
    assert verdicts_of(root) == {"GREEN": len(SYMBOLS) * 252 - gone.height, "RED": gone.height}
    operations = Operations(f"sqlite:///{root / 'operations.sqlite'}")
    queued = operations.queued()
    assert sum(queued["reason"] == "missing") == queued.height > 0
    first, second = start(root, "first"), start(root, "second")
    wait_for_calls(root, 100)
    first.kill()
    finish(start(root, "heir"), second)
    assert candles_of(root).equals(year.sort("symbol", "ts").drop("ingested_at"))
    assert operations.queued().is_empty()
    calls = calls_of(root)
    assert busiest_second(calls) <= CALLS_PER_SECOND
    assert set(calls["owner"]) == {"first", "second", "heir"}
    audit(root)
    assert verdicts_of(root) == {"GREEN": len(SYMBOLS) * 252}


def test_a_worker_alone_fills_the_newest_sessions_first(holed):
    root, _, gone = holed
    finish(start(root, "alone"))
    asked = calls_of(root)["last"]
    newest_so_far = asked.cum_min().shift(1)
    behind = pl.DataFrame({"asked": asked, "bound": newest_so_far}).drop_nulls()
    late = behind.filter(
        pl.col("asked") > pl.col("bound") + pl.duration(days=2 * WINDOW_SESSIONS)
    )
    assert late.is_empty()
    assert asked[0] == gone["session"].max()


def test_what_a_killed_worker_held_is_taken_over_after_expiry_and_nothing_else_twice(holed):
    root, year, _ = holed
    slow = start(root, "killed", 0.05)
    wait_for_calls(root, 10)
    slow.kill()
    slow.join()
    assert slow.exitcode == KILLED
    died = time.time()
    in_flight = calls_of(root).row(-1, named=True)
    finish(start(root, "heir"))
    calls = calls_of(root)
    again = calls.filter(pl.struct("symbol", "first", "last").is_duplicated())
    held = calls.filter((pl.col("owner") == "heir") & (pl.col("symbol") == in_flight["symbol"]))
    assert candles_of(root).equals(year.sort("symbol", "ts").drop("ingested_at"))
    assert held.filter(pl.col("last") == in_flight["last"])["at"].min() > died
    assert again.height <= 2 * len(SYMBOLS)
    assert LEASE_SECONDS > 0
