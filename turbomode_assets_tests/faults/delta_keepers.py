"""What the maintaining processes of the fault tests do. Light, as `delta_writers` is."""

import time
from multiprocessing.connection import Connection

from turbomode_assets.contracts.tables import BARS
from turbomode_assets.maintenance.tables import TableKeeper
from turbomode_assets.stores.lake import Lake
from turbomode_assets_tests.faults import delta_writers


def lake_at(root: str) -> Lake:
    """The lake whose bars the fault tests write."""
    return Lake(root, delta_writers.OWNER.removeprefix("lake/"), {"bars": BARS})


def maintain_until(root: str, last_generation: int, seconds: float) -> tuple[int, int]:
    """Compact and vacuum until every session is of a generation; count merges and what gave up."""
    barrier = delta_writers._barrier
    assert barrier is not None
    barrier.wait(delta_writers.START_TOGETHER_SECONDS)
    lake, merges, given_up = lake_at(root), 0, 0
    keeper, deadline = TableKeeper(lake), time.monotonic() + seconds
    while time.monotonic() < deadline:
        compacted = keeper.compact("bars", above_files=2)
        merges += compacted.files < compacted.files_before
        given_up += compacted.given_up
        keeper.vacuum("bars", keep_versions=set(), after_hours=24)
        if set(delta_writers.generations(lake.uri("bars")).values()) == {last_generation}:
            return merges, given_up
    raise AssertionError(f"generation {last_generation} was not complete after {seconds} s")


def maintain_for_ever(connection: Connection, root: str) -> None:
    """Compact and vacuum until killed, and tell when it begins."""
    keeper = TableKeeper(lake_at(root))
    connection.send("ready")
    connection.recv()
    while True:
        keeper.compact("bars", above_files=2)
        keeper.vacuum("bars", keep_versions=set(), after_hours=0)
        connection.send("round")
