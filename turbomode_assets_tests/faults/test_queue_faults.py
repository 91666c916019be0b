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
    MOST_SYMBOLS,
    WINDOW_SESSIONS,
    YEAR,
    audit,
    store,
    symbols_of,
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


def make_holes(root, count):
    """A year of so many symbols without one cell in twenty, audited: the year, and what is gone."""
    year = whole_year(root, count)
    cells = list(itertools.product(symbols_of(count), YEAR.sessions))
    chance = random.Random(20191231)
    gone = pl.DataFrame(
        chance.sample(cells, len(cells) // 20), schema=["symbol", "session"], orient="row"
    )
    store(root, year.join(gone, on=["symbol", "session"], how="anti"))
    audit(root)
    return year.sort("symbol", "ts").drop("ingested_at"), gone


@pytest.mark.slow
def test_two_workers_and_an_heir_restore_a_year_within_the_budget(tmp_path):
    year, gone = make_holes(tmp_path, MOST_SYMBOLS)
    cells = MOST_SYMBOLS * len(YEAR.sessions)
    assert verdicts_of(tmp_path) == {"GREEN": cells - gone.height, "RED": gone.height}
    operations = Operations(f"sqlite:///{tmp_path / 'operations.sqlite'}")
    assert set(operations.queued()["reason"]) == {"missing"}
    first, second = start(tmp_path, "first"), start(tmp_path, "second")
    wait_for_calls(tmp_path, 3 * MOST_SYMBOLS)
    first.kill()
    first.join()
    finish(start(tmp_path, "heir"), second)
    assert candles_of(tmp_path).equals(year)
    assert operations.queued().is_empty()
    calls = calls_of(tmp_path)
    print(f"{calls.height} calls, at most {busiest_second(calls)} in a second")
    assert busiest_second(calls) <= CALLS_PER_SECOND
    audit(tmp_path)
    assert verdicts_of(tmp_path) == {"GREEN": cells}


def test_a_worker_alone_fills_the_newest_sessions_first(tmp_path):
    _, gone = make_holes(tmp_path, 6)
    finish(start(tmp_path, "alone"))
    asked = calls_of(tmp_path)["last"]
    newest_so_far = asked.cum_min().shift(1)
    behind = pl.DataFrame({"asked": asked, "bound": newest_so_far}).drop_nulls()
    slack = pl.duration(days=2 * WINDOW_SESSIONS)
    assert behind.filter(pl.col("asked") > pl.col("bound") + slack).is_empty()
    assert asked[0] >= gone["session"].sort()[-WINDOW_SESSIONS]


def test_what_a_killed_worker_held_is_taken_over_after_expiry_and_stored_work_is_not(tmp_path):
    year, _ = make_holes(tmp_path, 6)
    slow = start(tmp_path, "killed", 0.05)
    wait_for_calls(tmp_path, 12)
    slow.kill()
    slow.join()
    assert slow.exitcode == KILLED
    died, stored = time.time(), candles_of(tmp_path)
    finish(start(tmp_path, "heir"))
    calls = calls_of(tmp_path)
    assert candles_of(tmp_path).equals(year)
    taken_over = calls.filter(pl.struct("symbol", "first", "last").is_duplicated())
    fresh = taken_over.filter(pl.col("owner") == "heir").select("symbol", session="first")
    assert fresh.join(stored, on=["symbol", "session"], how="semi").is_empty()
    assert fresh.height <= 6
    assert calls.filter(pl.col("owner") == "heir")["at"].min() > died
