"""CPU seconds until a room is imported and until a command has answered, each in a new process.

    python -m turbomode_assets_tests.benchmarks.starting [--installation FOLDER]

`package` is the import of a room's package, `modules` of all its modules. Commands that read stores
run on an installation: a folder with `configs` and `data`; without one they are left out. Each
figure is the least of three, less that of an empty Python process (the first line).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from turbomode_assets_tests.builders import REPOSITORY

REPEATS = 3
ALL_MODULES = """
import importlib, pkgutil
package = importlib.import_module("turbomode_assets.{room}")
for each in pkgutil.walk_packages(getattr(package, "__path__", []), "turbomode_assets.{room}."):
    if not each.name.endswith("__main__"):
        importlib.import_module(each.name)
"""
WITHOUT_STORES = ("--help", "--version", "status --help", "run --help", "features list --json")
READING = ("signals --json", "models list --json", "config check --json")
TENANT = "default"


def cpu_seconds(arguments: Sequence[str], places: dict[str, str], *, folder: Path) -> float:
    """User and system time of a process that must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        check=True,
        capture_output=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | places,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def least(arguments: Sequence[str], places: dict[str, str] | None = None) -> float:
    """Least CPU time of some processes that do the same."""
    return min(cpu_seconds(arguments, places or {}, folder=REPOSITORY) for _ in range(REPEATS))


def rooms() -> list[str]:
    """Names of the rooms."""
    found = (REPOSITORY / "turbomode_assets").iterdir()
    names = {path.stem for path in found if path.is_dir() or path.suffix == ".py"}
    return sorted(names - {"__init__", "__pycache__", "resources"})


def places_of(installation: Path) -> dict[str, str]:
    """What a command finds in its environment."""
    home = installation / "data" / "dagster" / TENANT
    return {
        "DAGSTER_HOME": str(home),
        "TURBOMODE_DAGSTER_STORAGE": str(home),
        "TURBOMODE_DATA_ROOT": str(installation / "data"),
        "TURBOMODE_CONFIG_DIR": str(installation / "configs"),
        "TURBOMODE_TENANT": TENANT,
        "TURBOMODE_INGESTS": "yes",
    }


def explained(places: dict[str, str]) -> str:
    """Say how the newest signal of an installation is explained."""
    printed = subprocess.run(
        [sys.executable, "-m", "turbomode_assets.cli", "signals", "--json"],
        check=True,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | places,
    )
    newest = json.loads(printed.stdout)[0]
    return f"explain {newest['symbol']} {newest['session']} --json"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--installation", type=Path, default=None)
    # The caller may have options of its own: `python -m turbomode_assets_tests.benchmarks`.
    installation = parser.parse_known_args()[0].installation
    empty = least(["-c", "pass"])
    print(f"empty process {empty:.2f} CPU s\n{'room':<16}{'package':>9}{'modules':>9}")
    for room in rooms():
        package = least(["-c", f"import turbomode_assets.{room}"]) - empty
        modules = least(["-c", ALL_MODULES.format(room=room)]) - empty
        print(f"{room:<16}{package:>9.2f}{modules:>9.2f}", flush=True)
    commands, places = list(WITHOUT_STORES), {}
    if installation is not None:
        places = places_of(installation.resolve())
        commands += [*READING, explained(places)]
    for command in commands:
        taken = least(["-m", "turbomode_assets.cli", *command.split()], places) - empty
        print(f"turbomode {command:<40}{taken:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
