"""What happens to a table when processes collide or die. Real processes, real kills."""

import contextlib
import datetime as dt
import multiprocessing
import random
import time
from concurrent.futures import ProcessPoolExecutor

import pytest
from deltalake import DeltaTable

from turbomode_assets.contracts.tables import BARS, CANDLES
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.delta import Scope, open_table, scan_table
from turbomode_assets_tests.faults.delta_writers import (
    OWNER,
    SYMBOLS,
    candles_of,
    generations,
    join_barrier,
    read_until,
    write_and_tell,
    write_candles,
    write_generation,
    write_many,
    write_when_all_are_ready,
    write_year,
)

SPAWN = multiprocessing.get_context("spawn")
YEAR = SessionSpan(dt.date(2024, 1, 2), dt.date(2024, 12, 31))
SPRING = SessionSpan(dt.date(2024, 3, 1), dt.date(2024, 5, 31)).sessions
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def pair():
    """Two processes that are loaded and start each task together."""
    with ProcessPoolExecutor(
        2, mp_context=SPAWN, initializer=join_barrier, initargs=(SPAWN.Barrier(2),)
    ) as pool:
        yield pool


def finish(*tasks):
    return [task.result(PATIENCE_SECONDS) for task in tasks]


def write_compacted_year(uri):
    write_year(uri, YEAR, 0)
    assert len(open_table(uri, BARS, OWNER).file_uris()) == 1


def test_two_first_writers_lose_nothing(pair, tmp_path):
    uris = [str(tmp_path / f"table_{number}") for number in range(12)]
    first, second = YEAR.sessions[:2]
    finish(
        pair.submit(write_when_all_are_ready, uris, first, 1),
        pair.submit(write_when_all_are_ready, uris, second, 2),
    )
    for uri in uris:
        assert generations(uri) == {first: 1, second: 2}


def test_two_writers_of_one_compacted_year_lose_nothing(pair, tmp_path):
    uri = str(tmp_path / "bars")
    write_compacted_year(uri)
    even, odd = SPRING[0:30:2], SPRING[1:30:2]
    finish(pair.submit(write_many, uri, even, 1), pair.submit(write_many, uri, odd, 2))
    expected = dict.fromkeys(YEAR.sessions, 0) | dict.fromkeys(even, 1) | dict.fromkeys(odd, 2)
    assert generations(uri) == expected


def test_two_fetches_of_different_symbols_in_the_same_sessions_lose_nothing(pair, tmp_path):
    uri = str(tmp_path / "candles")
    sessions = SPRING[:8]
    finish(
        pair.submit(write_candles, uri, SYMBOLS[:3], sessions),
        pair.submit(write_candles, uri, SYMBOLS[3:], sessions),
    )
    stored = scan_table(open_table(uri, CANDLES, OWNER), CANDLES, Scope()).collect()
    expected = candles_of(SYMBOLS, SessionSpan(sessions[0], sessions[-1]))
    key = ["symbol", "session"]
    assert stored.select(key).sort(key).equals(expected.select(key).sort(key))


def test_readers_beside_a_live_writer_never_fail_and_see_whole_sessions(pair, tmp_path):
    uri = str(tmp_path / "bars")
    write_compacted_year(uri)
    reading = pair.submit(read_until, uri, YEAR.sessions, 2, PATIENCE_SECONDS)
    writing = pair.submit(write_many, uri, SPRING[:30], 1)
    finish(writing)
    write_year(uri, YEAR, 2)
    (reads,) = finish(reading)
    assert reads > 3


class Victim:
    """A writing process that is loaded, waits for its generation, and can be killed."""

    def __init__(self, uri, sessions):
        self.pipe, remote = SPAWN.Pipe()
        self.process = SPAWN.Process(
            target=write_and_tell, args=(remote, uri, sessions), daemon=True
        )
        self.process.start()
        remote.close()

    def kill(self, generation, *, told, seconds):
        """Send SIGKILL some time after it told of so many commits; return how many it told of."""
        assert self.pipe.recv() == "ready"
        self.pipe.send(generation)
        for _ in range(told):
            self.pipe.recv()
        time.sleep(seconds)
        self.process.kill()
        self.process.join(PATIENCE_SECONDS)
        assert self.process.exitcode == -9
        with contextlib.suppress(EOFError):
            while self.pipe.poll():
                told = self.pipe.recv() + 1
        return told


def test_writers_killed_at_random_leave_whole_sessions_and_a_rerun_completes_them(tmp_path):
    uri = str(tmp_path / "bars")
    chance = random.Random(20240701)
    victims = [Victim(uri, YEAR.sessions) for _ in range(4)]
    before = {}
    for generation, victim in enumerate(victims, start=1):
        # The first dies around the creation of the table, the others within some later commit.
        least = 0 if generation == 1 else chance.randint(1, 12)
        told = victim.kill(generation, told=least, seconds=chance.uniform(0, 0.06))
        after = generations(uri) if DeltaTable.is_deltatable(uri) else {}
        replaced = sorted(day for day, found in after.items() if found == generation)
        # What it told of is there; one commit more may be, untold.
        assert told <= len(replaced) <= told + 1
        assert replaced == YEAR.sessions[: len(replaced)]
        assert after == before | dict.fromkeys(replaced, generation)
        before = after
    assert len(before) > 1
    rerun = YEAR.sessions[: len(before) + 10]
    for session in rerun:
        write_generation(uri, session, 9)
    assert generations(uri) == dict.fromkeys(rerun, 9)
