"""Maintenance beside writers and readers in other processes, and maintenance that is killed."""

import datetime as dt
import multiprocessing
import random
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from turbomode_assets.maintenance.tables import TableKeeper
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.delta import open_table
from turbomode_assets_tests.faults.delta_keepers import (
    lake_at,
    maintain_for_ever,
    maintain_until,
)
from turbomode_assets_tests.faults.delta_writers import (
    OWNER,
    generations,
    join_barrier,
    read_until,
    write_generation,
    write_many,
)

SPAWN = multiprocessing.get_context("spawn")
SPRING = SessionSpan(dt.date(2024, 3, 1), dt.date(2024, 4, 12)).sessions
PATIENCE_SECONDS = 120


@pytest.fixture
def root(tmp_path):
    """A lake with a spring of bars, written night by night."""
    for session in SPRING:
        write_generation(lake_at(str(tmp_path)).uri("bars"), session, 0)
    return str(tmp_path)


def test_a_writer_loses_nothing_and_a_reader_sees_whole_sessions_while_files_are_merged(root):
    uri = lake_at(root).uri("bars")
    pinned = open_table(uri, lake_at(root).contract("bars"), OWNER)
    with ProcessPoolExecutor(
        3, mp_context=SPAWN, initializer=join_barrier, initargs=(SPAWN.Barrier(3),)
    ) as pool:
        writing = pool.submit(write_many, uri, SPRING, 1)
        reading = pool.submit(read_until, uri, SPRING, 1, PATIENCE_SECONDS)
        keeping = pool.submit(maintain_until, root, 1, PATIENCE_SECONDS)
        writing.result(PATIENCE_SECONDS)
        assert reading.result(PATIENCE_SECONDS) > 0
        merges, _ = keeping.result(PATIENCE_SECONDS)
    assert merges > 0
    assert generations(uri) == dict.fromkeys(SPRING, 1)
    # What was found before any of this can still be read.
    assert set(pl.scan_delta(pinned).collect()["volume"]) == {0.0}


def test_maintenance_that_is_killed_leaves_every_session_whole(root):
    uri, chance = lake_at(root).uri("bars"), random.Random(7)
    for generation in (1, 2):
        for session in SPRING[:12]:
            write_generation(uri, session, generation)
        here, there = SPAWN.Pipe()
        victim = SPAWN.Process(target=maintain_for_ever, args=(there, root))
        victim.start()
        assert here.poll(PATIENCE_SECONDS)
        assert here.recv() == "ready"
        here.send("go")
        time.sleep(chance.uniform(0, 0.08))
        victim.kill()
        victim.join(PATIENCE_SECONDS)
        expected = dict.fromkeys(SPRING, 0) | dict.fromkeys(SPRING[:12], generation)
        assert generations(uri) == expected
    keeper = TableKeeper(lake_at(root))
    assert keeper.compact("bars", above_files=1).files == 1
    keeper.vacuum("bars", keep_versions=set(), after_hours=0)
    assert generations(uri) == expected
    assert {path.name for path in files_on_disk(uri)} == names_in_table(uri)


def files_on_disk(uri):
    return Path(uri).rglob("part-*.parquet")


def names_in_table(uri):
    return {path.rsplit("/", 1)[1] for path in DeltaTable(uri).file_uris()}
