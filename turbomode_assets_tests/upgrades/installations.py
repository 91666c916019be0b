"""An installation in a folder of its own: its paths and environment, its commands, what it says.

It knows the program by its commands and files alone, for it runs with any version of it: nothing of
the package is imported here.
"""

import datetime as dt
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import dagster as dg
import duckdb

TENANT = "default"
EXPECTED = "expected.json"
CLASSES = ("SELL", "HOLD", "BUY")
TABLES = {
    "active_signals": "SELECT * FROM active_signals ORDER BY symbol",
    "signal_history": "SELECT * FROM signal_history ORDER BY session, symbol, model_version",
    "signal_outcomes": "SELECT * FROM signal_outcomes ORDER BY session, symbol, model_version",
    "promotions": "SELECT * EXCLUDE (rules) FROM promotions ORDER BY sequence",
    "model_metadata": "SELECT * EXCLUDE (metrics) FROM model_metadata ORDER BY model_version",
    "training_runs": "SELECT model_version, rows, symbols, seed, data_digest, store_versions, cause"
    " FROM training_runs ORDER BY model_version, finished_at",
    "configurations": "SELECT DISTINCT file, version, digest FROM config_audit_log ORDER BY ALL",
}
"""Tables of model memory that people rely on, and how their rows are read."""

_WIDTH = "100"
_KEPT_TAGS = ("dagster/partition", "dagster/asset_partition_range", "turbomode/")

Row = dict[str, object]


class Installation:
    """A folder with configuration, data root and Dagster home, and the commands that run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configs = folder / "configs"
        self.data = folder / "data"
        self.home = self.data / "dagster" / TENANT
        self.memory = self.data / "memory" / TENANT / "turbomode.duckdb"

    @property
    def environment(self) -> dict[str, str]:
        """What a command finds in its environment."""
        return {
            "DAGSTER_HOME": str(self.home),
            "TURBOMODE_DAGSTER_STORAGE": str(self.home),
            "TURBOMODE_DATA_ROOT": str(self.data),
            "TURBOMODE_CONFIG_DIR": str(self.configs),
            "TURBOMODE_TENANT": TENANT,
            "TURBOMODE_INGESTS": "yes",
            "PYTHONWARNINGS": "ignore",
            "COLUMNS": _WIDTH,
        }

    def expected(self) -> dict[str, object]:
        """What the version that built it said about it."""
        content: dict[str, object] = json.loads((self.folder / EXPECTED).read_text("utf-8"))
        return content

    def turbomode(self, *arguments: str, code: int = 0) -> str:
        """Run `turbomode` as a process that must end with an exit code; return what it printed."""
        return self.run("turbomode_assets.cli", *arguments, code=code)

    def job(self, name: str, first: str, last: str) -> str:
        """Run a job of the graph for a range of sessions, as `dagster job execute` does."""
        tags = {"dagster/partition": first}
        if first != last:
            tags = {
                "dagster/asset_partition_range_start": first,
                "dagster/asset_partition_range_end": last,
            }
        words = ("dagster", "job", "execute", "-m", "turbomode_assets", "-j", name)
        return self.run(*words, "--tags", json.dumps(tags))

    def run(self, module: str, *arguments: str, code: int = 0) -> str:
        """Run a module as a process in the installation's folder, without any input."""
        began = time.monotonic()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TURBOMODE_")}
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env=inherited | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        print(f"{time.monotonic() - began:6.1f} s  {module} {' '.join(arguments)}", flush=True)
        if done.returncode != code:
            said = f"{done.stdout}\n{done.stderr}"
            raise RuntimeError(f"{module} ended with {done.returncode}, not {code}:\n{said}")
        return done.stdout

    def rows(self, query: str) -> list[Row]:
        """Rows of model memory, of which every float keeps each of its bits."""
        with duckdb.connect(str(self.memory), read_only=True) as connection:
            found = connection.execute(query)
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, map(exact, row), strict=True)) for row in found.fetchall()]

    def runs(self) -> list[Row]:
        """List every run of the home, the oldest first; the process must be in its environment."""
        with dg.DagsterInstance.get() as instance:
            runs = instance.get_runs()
        return [
            {
                "run_id": run.run_id,
                "job": run.job_name,
                "status": run.status.value,
                "tags": {k: v for k, v in sorted(run.tags.items()) if k.startswith(_KEPT_TAGS)},
            }
            for run in reversed(runs)
        ]


def unpack(archive: Path, folder: Path) -> Installation:
    """Unpack an installation into a folder that does not exist yet."""
    folder.mkdir(parents=True)
    with tarfile.open(archive, "r:xz") as packed:
        packed.extractall(folder, filter="data")
    return Installation(folder)


def exact(value: object) -> object:
    """Write a value of a store for JSON, so that equal texts mean equal bits."""
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    return value


def tasks_on(status: str) -> list[str]:
    """Tasks that `turbomode status` shows as switched on."""
    return re.findall(r"^ +(\w+) +on +\S", status, re.MULTILINE)


def last_runs(status: str) -> dict[str, tuple[str, str]]:
    """Session and outcome of the last run of each task, as `turbomode status` shows them."""
    found = re.findall(
        r"^ +(\w+) +(?:on|off) .*?(\d{4}-\d\d-\d\d) +(succeeded|failed|under way)",
        status,
        re.MULTILINE,
    )
    return {task: (session, outcome) for task, session, outcome in found}


def missing_cells(plan: str) -> int:
    """How many cells a plan of `turbomode backfill` is about to fill."""
    found = re.search(r"([\d,]+) cells", plan)
    return int(found.group(1).replace(",", "")) if found else 0


def printed_signals(text: str) -> list[list[str]]:
    """Rows of the table of `turbomode signals`: rank if there is one, symbol, signal, figures."""
    rows = [line.split() for line in text.splitlines()]
    return [row for row in rows if any(word in CLASSES for word in row[1:3])]


def printed_figures(text: str) -> dict[str, object]:
    """Figures that `turbomode explain` prints.

    `probabilities` holds, for every model and the stack, what it gives each class; `features`, for
    every side, feature, value, percentile and contribution in their order.
    """
    probabilities: dict[str, list[str]] = {}
    features: list[list[str]] = []
    for line in text.splitlines():
        words = line.split()
        name, numbers = (words[0], words[1:]) if words else ("", [])
        if len(numbers) == len(CLASSES) and all(re.fullmatch(r"\d\.\d{6}", n) for n in numbers):
            probabilities[name] = numbers
        elif re.fullmatch(r"\S+ +\S+ +([\d.]+ of [\d,]+|missing) +[+-]\d+\.\d{4}", line.strip()):
            features.append(words)
    return {"probabilities": probabilities, "features": features}
