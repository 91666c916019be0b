"""A data root with a Dagster home of its own, on which the real `dagster` runs and can be killed.

Importing takes seconds: one process imports the libraries, and each command is a fork of it. Not
the platform itself, for what polars computes during an import starts threads that no fork has.
"""

import contextlib
import logging
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import dagster as dg
import polars as pl
import psutil
import pytest

from turbomode_assets.contracts.tables import MASTER_TABLES, lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Lake, MasterReader, ModelMemory, TableReader
from turbomode_assets_tests.builders import REPOSITORY, small_settings

FORKSERVER = multiprocessing.get_context("forkserver")
LIBRARIES = [
    *("dagster._cli.asset", "dagster._core.storage.event_log.sqlite.sqlite_event_log"),
    *("polars", "deltalake", "torch", "lightgbm", "sklearn.linear_model", "numba", "scipy.stats"),
    *("matplotlib.backends.backend_agg", "turbomode_assets_tests.faults.ib_ingestion"),
]
PATIENCE_SECONDS = 180
KILLED = -signal.SIGKILL
STAMPS = ("ingested_at", "knowledge_ts", "checked_at", "store_version")
"""When something arrived or was found: of another run, another time."""


class Platform:
    """A small simulated market under `root`; commands run on it as processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = small_settings(root)
        self.home = root / "home"
        self.home.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / "dagster.yaml", self.home)

    @property
    def environment(self) -> dict[str, str]:
        """What a command finds in its environment."""
        return {
            "DAGSTER_HOME": str(self.home),
            "TURBOMODE_DAGSTER_STORAGE": str(self.home),
            "TURBOMODE_DATA_ROOT": str(self.settings.data_root),
            "TURBOMODE_CONFIG_DIR": str(self.settings.config_dir),
            "TURBOMODE_TENANT": str(self.settings.tenant),
            "PYTHONWARNINGS": "ignore",
        }

    def copy(self, root: Path) -> "Platform":
        """Make a platform of its own out of everything that this one holds."""
        shutil.copytree(self.root, root)
        return Platform(root)

    def start(
        self, assets: Sequence[str], span: SessionSpan, *, die_at: str | None = None
    ) -> BaseProcess:
        """Start `dagster asset materialize` for a range; give it a log line to die at."""
        FORKSERVER.set_forkserver_preload(LIBRARIES)
        arguments = ["asset", "materialize", "-m", "turbomode_assets"]
        arguments += ["--select", ",".join(assets)]
        arguments += ["--partition-range", f"{span.first}...{span.last}"]
        process = FORKSERVER.Process(
            target=be_dagster, args=(arguments, self.environment, self.root, die_at), daemon=True
        )
        process.start()
        return process

    def finish(self, process: BaseProcess) -> int | None:
        """Wait for a command; return its exit code: 0, or that of a killed process."""
        process.join(PATIENCE_SECONDS)
        if process.exitcode not in (0, KILLED):
            pytest.fail((self.root / "output.txt").read_text(encoding="utf-8"))
        return process.exitcode

    def reader_of(self, table: str) -> TableReader:
        """Open the store that holds a table."""
        if table in MASTER_TABLES:
            return MasterReader(self.settings.master_root)
        tables = lake_tables(feature_names())
        return Lake(self.settings.lake_root, self.settings.tenant_name, tables)

    def rows(self, table: str, *, version: int | None = None) -> pl.DataFrame:
        """Rows of a table, but for when they arrived."""
        rows = self.reader_of(table).read(table, caller="test", version=version).rows
        return rows.drop(name for name in STAMPS if name in rows.columns)

    def memory(self, table: str) -> pl.DataFrame:
        """Rows of a table of model memory."""
        memory = ModelMemory(self.settings.memory_path, self.settings.tenant_name)
        return memory.query(f"SELECT * FROM {table} ORDER BY ALL")

    def arrivals(self) -> pl.DataFrame:
        """Key of every candle, and when it arrived."""
        candles = self.reader_of("candles").read("candles", caller="test").rows
        return candles.select("symbol", "timeframe", "ts", "session", "ingested_at")

    def materialized(self, asset: str) -> set[str]:
        """Partitions of an asset that Dagster holds for materialized."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TURBOMODE_DAGSTER_STORAGE", str(self.home))
            with dg.DagsterInstance.from_config(str(self.home)) as instance:
                return set(instance.get_materialized_partitions(dg.AssetKey(asset)))


def be_dagster(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, die_at: str | None
) -> None:
    """Be the command `dagster ARGUMENTS` in a folder; what it prints goes to output.txt there."""
    with (folder / "output.txt").open("ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    os.environ.update(environment)
    os.chdir(folder)
    if die_at is not None:
        logging.getLogger("turbomode_assets").addHandler(DieAt(die_at))
    from dagster._cli import main

    sys.argv = ["dagster", *arguments]
    main()


class DieAt(logging.Handler):
    """Kills its own process at the first log line that begins like the pattern."""

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._pattern = re.compile(pattern)

    def emit(self, record: logging.LogRecord) -> None:
        """Die, if this is the line."""
        if self._pattern.match(record.getMessage()):
            os.kill(os.getpid(), signal.SIGKILL)


def kill_while(process: BaseProcess, condition: Callable[[], bool]) -> bool:
    """Kill a process while a condition holds; tell whether it was caught there.

    It is stopped before the condition is looked at again: a process that has already passed by
    goes on, and is caught the next time or not at all.
    """
    victim = psutil.Process(process.pid)
    deadline = time.monotonic() + PATIENCE_SECONDS
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.is_alive() and time.monotonic() < deadline:
            if condition():
                victim.suspend()
                while victim.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                    pass
                if condition():
                    process.kill()
                    return True
                victim.resume()
    return False
