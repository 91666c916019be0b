"""A small platform of one tenant for tests of backups, and a process that writes its nights.

The process imports this module: it stays light.
"""

import datetime as dt
import json
from multiprocessing.synchronize import Event
from pathlib import Path

import polars as pl

from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.maintenance.platform import Platform
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Lake, ModelMemory
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets_tests.faults.delta_writers import SYMBOLS, bars_of, candles_of
from turbomode_assets_tests.stores.model_rows import predictions

FIRST = dt.date(2019, 12, 2)


def silent(name: str, size: int) -> None:
    """Hear of a copied file, and say nothing."""


def platform_at(root: Path, tenant: str = "alpha") -> Platform:
    """The stores of a tenant under a root."""
    root.mkdir(parents=True, exist_ok=True)
    return Platform(
        root=root,
        tenant=tenant,
        lake_tables=lake_tables(["kmid"]),
        master_root=root / "master",
        lake_root=root / "lake" / tenant,
        memory=root / "memory" / tenant / "turbomode.duckdb",
        artifacts=root / "artifacts" / tenant,
        history=root / "dagster" / tenant,
        operations=root / "operations" / "operations.sqlite",
    )


def lake_of(platform: Platform) -> Lake:
    """The tenant's lake, to write into."""
    return Lake(str(platform.lake_root), platform.tenant, platform.lake_tables)


def memory_of(platform: Platform) -> ModelMemory:
    """The tenant's memory."""
    return ModelMemory(platform.memory, platform.tenant)


def write_night(platform: Platform, number: int) -> None:
    """One night: candles, bars, a stored prediction made from them, and its signal in memory."""
    session = offset_session(FIRST, number)
    one = SessionSpan(session, session)
    master = MasterWriter(str(platform.master_root))
    master.replace("candles", candles_of(SYMBOLS, one), span=one, symbols=SYMBOLS, caller="test")
    lake = lake_of(platform)
    lake.replace("bars", bars_of(one, number), span=one, caller="test")
    versions = json.dumps({"bars": lake.version("bars"), "candles": master.version("candles")})
    row = predictions(session).with_columns(store_versions=pl.lit(versions))
    lake.replace("predictions", row, span=one, caller="test")
    with memory_of(platform).transaction() as connection:
        connection.register("row", row)
        connection.execute("INSERT OR REPLACE INTO signal_history BY NAME SELECT * FROM row")


def write_nights(root: Path, number: int, begun: Event, stop: Event) -> None:
    """Write night after night into a platform until told to stop."""
    platform = platform_at(root)
    while not stop.is_set():
        write_night(platform, number)
        number += 1
        begun.set()
        stop.wait(0.1)
