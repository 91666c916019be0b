"""Builds a small installation with the program found on PYTHONPATH, and packs it into one file.

    PYTHONPATH=/path/to/a/checkout python make_fixture.py --out NAME.tar.xz

The archive holds what a user of that version has after some weeks on a small simulated market:
configuration, stores, Dagster home. Beside them `expected.json` is what that version said about
them. Everything is done by the commands `dagster` and `turbomode`, so that it can be built with
any version of the program. It takes some minutes.
"""

import argparse
import importlib.util
import io
import json
import lzma
import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

# Of the folder of this script, whichever version of the package PYTHONPATH names.
from installations import (
    EXPECTED,
    TABLES,
    Installation,
    Row,
    last_runs,
    missing_cells,
    printed_figures,
    printed_signals,
    tasks_on,
)

HOLE = "2015-08-28"
"""The first session of the market. Nothing but an audit ever looked at it: backfills fill it."""
HISTORY = ("2015-08-31", "2015-12-31")
CATCH_UP = ("2016-01-04", "2016-01-12")
"""Sessions that `nightly` does as one range: enough of them that the first signals have outcomes.

With them a year begins, and tables are written anew by the year: the nights stay small."""
NIGHT = "2016-01-13"
LAST = "2016-01-14"
"""The session that the tasks do one by one, the scanner at its second attempt."""
NEXT = "2016-01-15"
"""The session after it, which nobody did."""
SWITCHED_ON = ("ingestion", "scanner")
EXPLAINED = "SIM001"
REASON = "demonstration"

CHANGES: Mapping[str, Mapping[str, object]] = {
    "vendors.json": {
        "simulated.first_session": HOLE,
        "simulated.stocks": 6,
        "simulated.crypto": 1,
    },
    "turbomode_training_config.json": {
        "data_sources.training_sessions": 252,
        "data_sources.minimum_labels": 100,
        "data_sources.minimum_labels_per_class": 5,
        "triple_barrier.horizon_sessions": 5,
        "ensemble_config.models.lightgbm_gbdt.rounds": 25,
        "ensemble_config.models.lightgbm_dart.rounds": 8,
        "ensemble_config.models.lightgbm_goss.rounds": 40,
        "ensemble_config.models.lightgbm_forest.rounds": 8,
        "ensemble_config.models.mlp.epochs": 1,
        "ensemble_config.models.gru.epochs": 1,
        "ensemble_config.models.tcn.epochs": 1,
        "validation_strategy.walk_forward.folds": 2,
        "validation_strategy.walk_forward.test_sessions": 14,
        "validation_strategy.walk_forward.minimum_train_sessions": 20,
        "validation_strategy.walk_forward.embargo_sessions": 2,
        "validation_strategy.inner_validation_sessions": 5,
        "validation_strategy.maximum_feature_auc": 0.9,
        "validation_strategy.combinatorial.models": ["logistic"],
        "validation_strategy.combinatorial.groups": 3,
        "validation_strategy.combinatorial.test_groups": 1,
        "validation_strategy.cscv.blocks": 4,
        "shap_analysis.sample_rows": 50,
        "signals.buy_threshold": 0.45,
        "signals.sell_threshold": 0.45,
    },
}
"""What a user changed of the files as shipped: all that makes the market and its models small."""

_NOT_NEEDED = ("*.png", "compute_logs", "*.lock", "*.db-shm", "*.db-wal", ".telemetry", ".nux")
"""Pictures, what steps printed, locks of commands that ended, and SQLite's own."""
_PACKED_AT = 1_767_225_600


def main() -> None:
    """Build the installation, ask it what it says, and pack both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the .tar.xz to write")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory(prefix="turbomode-") as temporary:
        installation = Installation(Path(temporary) / "installation")
        os.environ |= installation.environment
        lay_out(installation, program_folder())
        use(installation)
        expected = said_by(installation)
        settle(installation)
        expected["next_night"] = night_after(installation, Path(temporary) / "copy")
        text = f"{json.dumps(expected, indent=1)}\n"
        (installation.folder / EXPECTED).write_text(text, encoding="utf-8")
        pack(installation.folder, out)
    print(f"{out}: {out.stat().st_size:,} bytes")


def program_folder() -> Path:
    """Find the checkout that holds the program: the folder of its configuration files."""
    found = importlib.util.find_spec("turbomode_assets")
    if found is None or found.origin is None:
        sys.exit("no turbomode_assets is found: set PYTHONPATH to a checkout")
    return Path(found.origin).parents[1]


def lay_out(installation: Installation, program: Path) -> None:
    """Write what a user has before the first command: configuration, an empty home."""
    installation.home.mkdir(parents=True)
    shutil.copy(program / "dagster.yaml", installation.home)
    shutil.copytree(program / "configs", installation.configs)
    for name, changes in CHANGES.items():
        path = installation.configs / name
        content = json.loads(path.read_text(encoding="utf-8"))
        for place, value in changes.items():
            *parents, key = place.split(".")
            section = content
            for parent in parents:
                section = section[parent]
            if key not in section:
                sys.exit(f"{name} has no key {place}: adapt CHANGES to this version")
            section[key] = value
        path.write_text(f"{json.dumps(content, indent=2)}\n", encoding="utf-8")


def use(installation: Installation) -> None:
    """Do what a user does in the first weeks: history, a model, nights, tasks, a hole."""
    turbomode, job = installation.turbomode, installation.job
    job("ingestion", *HISTORY)
    turbomode("run", "training", "--session", HISTORY[1])
    # So small a model passes no gate worth the name: it is promoted by hand.
    (model,) = (row["model_version"] for row in installation.rows("FROM model_metadata"))
    turbomode("models", "promote", str(model), "--reason", REASON, "--session", HISTORY[1])
    job("nightly", *CATCH_UP)
    job("nightly", NIGHT, NIGHT)
    turbomode("run", "scanner", "--session", LAST, code=1)  # nothing of the session is there yet
    for task in ("ingestion", "scanner", "backtest", "drift_monitor"):
        turbomode("run", task, "--session", LAST)
    turbomode("resume", *SWITCHED_ON)
    job("sweep", HOLE, HOLE)


def said_by(installation: Installation) -> dict[str, object]:
    """Ask the program everything that a later version must say too."""
    turbomode = installation.turbomode
    status, signals = turbomode("status"), turbomode("signals")
    explained = turbomode("explain", EXPLAINED, LAST)
    # Without an answer to its question the command shows the plan and ends.
    plan = turbomode("backfill", "--from", HOLE, "--to", HOLE, code=1)
    printed = {
        "status": status,
        "signals": signals,
        "explain": explained,
        "backfill": plan,
        "models list": turbomode("models", "list"),
        "models live": turbomode("models", "live"),
    }
    return {
        "sessions": {"hole": HOLE, "as_of": HISTORY[1], "last": LAST, "next": NEXT},
        "tables": {name: installation.rows(query) for name, query in TABLES.items()},
        "signals": printed_signals(signals),
        "explained": {"symbol": EXPLAINED, "session": LAST} | printed_figures(explained),
        "tasks_on": tasks_on(status),
        "last_runs": last_runs(status),
        "missing_cells": missing_cells(plan),
        "runs": installation.runs(),
        "printed": printed,
    }


def night_after(installation: Installation, folder: Path) -> dict[str, list[Row]]:
    """Do the night after the last one on a copy, and read what it signals."""
    shutil.copytree(installation.folder, folder)
    copy = Installation(folder)
    copy.job("nightly", NEXT, NEXT)
    return {name: copy.rows(TABLES[name]) for name in ("active_signals", "signal_outcomes")}


def settle(installation: Installation) -> None:
    """Bring every SQLite database into its one file, without what was deleted from it."""
    for path in sorted([*installation.data.rglob("*.db"), *installation.data.rglob("*.sqlite")]):
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()


def pack(folder: Path, out: Path) -> None:
    """Pack what is needed of a folder, in the same order and with the same times every time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=9 | lzma.PRESET_EXTREME) as archive:
        for path in needed(folder):
            entry = archive.gettarinfo(path, str(path.relative_to(folder)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = _PACKED_AT
            if path.is_file():
                with path.open("rb") as content:
                    archive.addfile(entry, content)
            else:
                archive.addfile(entry)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(buffer.getvalue())


def needed(folder: Path) -> Iterator[Path]:
    """Go through a folder, those of its folders that hold something included."""
    for path in sorted(folder.iterdir()):
        if any(path.match(pattern) for pattern in _NOT_NEEDED):
            continue
        yield path
        if path.is_dir():
            yield from needed(path)


if __name__ == "__main__":
    main()
