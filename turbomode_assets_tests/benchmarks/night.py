"""How long one night takes for 80 symbols, from the vendor's answers to the page, and who takes it.

    python -m turbomode_assets_tests.benchmarks.night [--nights N] [--symbols N]

A simulated market (a vendor that answers at once) with three years of history and a champion from a
small training, and then the job `nightly`, session by session, each as one run in this process with
a real Dagster instance. Prints the seconds of each run, and of the median one each step's share;
`between steps` is what Dagster takes for itself. Shown apart: the same job started as the daemon
starts it, in a process of its own, where the difference is what a launch costs; and how long the
sensors of all six tasks take to see that nothing is to be started.
"""

import argparse
import datetime as dt
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg

from turbomode_assets.orchestration.automation.jobs import TASK_JOBS
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets_tests.builders import (
    QUICK_TRAINING,
    REPOSITORY,
    run_assets,
    write_configs,
)
from turbomode_assets_tests.market import DERIVED, INGESTION

FIRST = dt.date(2014, 11, 10)
TRAINED = dt.date(2017, 11, 3)
COINS = 3
DAY = dt.timedelta(days=1)


def prepare(root: Path, symbols: int) -> SettingsResource:
    """Store the history of a market and train its first champion."""
    (root / "data").mkdir()
    market = {
        "simulated.stocks": symbols - COINS,
        "simulated.crypto": COINS,
        "simulated.edge_information_coefficient": 0.1,
    }
    configs = write_configs(root / "configs", training=QUICK_TRAINING, **market)
    settings = SettingsResource(
        data_root=str(root / "data"), tenant="default", config_dir=str(configs)
    )
    run_assets(settings, INGESTION + DERIVED, SessionSpan(FIRST, TRAINED))
    run_assets(settings, ["ensemble"], SessionSpan(TRAINED, TRAINED))
    return settings


def run_night(
    settings: SettingsResource, instance: dg.DagsterInstance, session: dt.date
) -> tuple[float, dict[str, float]]:
    """Run the nightly job for a session; return its seconds, and those of each step."""
    started = time.perf_counter()
    result = (
        build(settings)
        .resolve_job_def("nightly")
        .execute_in_process(
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            instance=instance,
            partition_key=str(session),
        )
    )
    seconds = time.perf_counter() - started
    steps = {
        stats.step_key: (stats.end_time or 0.0) - (stats.start_time or 0.0)
        for stats in instance.get_run_step_stats(result.run_id)
    }
    return seconds, steps


def launch_night(settings: SettingsResource, home: Path, session: dt.date) -> float:
    """Run the nightly job for a session in a process of its own; return its seconds."""
    environment = os.environ | {
        "DAGSTER_HOME": str(home),
        "TURBOMODE_DAGSTER_STORAGE": str(home),
        "TURBOMODE_DATA_ROOT": str(settings.root),
        "TURBOMODE_TENANT": settings.tenant_name,
        "TURBOMODE_CONFIG_DIR": str(settings.configs),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "turbomode_assets"]
    tags = f'{{"dagster/partition": "{session}"}}'
    started = time.perf_counter()
    subprocess.run(
        [*command, "-j", "nightly", "--tags", tags],
        # Dagster lets a .env of the folder it is started in overrule the environment.
        cwd=home,
        env=environment,
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - started


def look(settings: SettingsResource, instance: dg.DagsterInstance, now: dt.datetime) -> float:
    """Ask the sensors of all tasks, once to warm up and once more; return the seconds of that."""
    definitions = build(settings, now=lambda: now)
    for _ in range(2):
        started = time.perf_counter()
        for name in TASK_JOBS:
            context = dg.build_sensor_context(
                instance=instance, definitions=definitions, sensor_name=name
            )
            with context:
                definitions.get_sensor_def(name).evaluate_tick(context)
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nights", type=int, default=5)
    parser.add_argument("--symbols", type=int, default=80)
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = prepare(root, asked.symbols)
        home = root / "home"
        home.mkdir()
        shutil.copy(REPOSITORY / "dagster.yaml", home)
        os.environ["TURBOMODE_DAGSTER_STORAGE"] = str(home)
        nights = []
        with dg.DagsterInstance.from_config(str(home)) as instance:
            for number in range(asked.nights):
                session = offset_session(TRAINED, 1 + number)
                nights.append((*run_night(settings, instance, session), session))
            morning = dt.datetime.combine(session + DAY, dt.time(17), tzinfo=dt.UTC)
            looked = look(settings, instance, morning)
        launched = launch_night(settings, home, offset_session(TRAINED, 1 + asked.nights))
    print(f"\none night of {asked.symbols} symbols (vendor=simulated), in this process:")
    for seconds, _, session in nights:
        print(f"  {session}  {seconds:6.1f} s")
    seconds, steps, session = sorted(nights, key=lambda night: night[0])[len(nights) // 2]
    print(f"shares of the median night, {session}:")
    for name, taken in sorted(steps.items(), key=lambda step: -step[1]):
        print(f"  {name:<18} {taken:6.2f} s  {taken / seconds:5.0%}")
    between = seconds - sum(steps.values())
    print(f"  {'between steps':<18} {between:6.2f} s  {between / seconds:5.0%}")
    print(f"the next night as a process of its own: {launched:.1f} s")
    print(f"a look of the sensors of all tasks: {looked:.2f} s")


if __name__ == "__main__":
    main()
