"""How fast stored features are written and read, against two other layouts of the same rows.

    python -m turbomode_assets_tests.benchmarks.feature_store [--symbols N] [--sessions N]

Prints a table: seconds, and how many times the chosen layout's time a rival takes. Rivals: `by
symbol` is the same Delta table with whole years sorted by symbol (ZSTD, groups of 65,536 rows),
`by session` one Parquet file for each session. All reads come from a warm page cache, and all give
rows sorted by (symbol, session). The sizes by default need 4 GB of memory for the frame, and
4 GB of disk for each layout in turn.
"""

import argparse
import dataclasses
import datetime as dt
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from turbomode_assets.contracts.ordering import sort_rows
from turbomode_assets.contracts.table import FileLayout, TableContract
from turbomode_assets.contracts.tables import features_table
from turbomode_assets.features import LONGEST_WINDOW, feature_names
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Lake, read_features

LAST_BULK_SESSION = dt.date(2025, 6, 30)
NIGHTS = 5
ASKED = feature_names()[3:163:8]
"""The 20 features of the narrow reads, from every part of the matrix."""
KEY = ["symbol", "session"]

Reads = dict[str, Callable[[], pl.DataFrame]]


def generated_features(symbols: int, sessions: list[dt.date], seed: int = 7) -> pl.DataFrame:
    """Random features with each window's warm-up, and 1 % holes, missing."""
    rng = np.random.default_rng(seed)
    shape = (symbols, len(sessions))
    noise = rng.standard_normal(symbols * len(sessions), dtype=np.float32)
    noise[rng.random(noise.size, dtype=np.float32) < 0.01] = np.nan
    names = pl.Series([f"S{i:04d}" for i in range(symbols)])
    days = pl.Series(sessions, dtype=pl.Date)
    columns = {
        "symbol": names.gather(np.repeat(np.arange(symbols), len(sessions))),
        "session": days.gather(np.tile(np.arange(len(sessions)), symbols)),
    }
    warm_ups = np.resize([0, 5, 10, 20, 30, 60, LONGEST_WINDOW], len(feature_names()))
    for number, (name, warm_up) in enumerate(zip(feature_names(), warm_ups, strict=True)):
        values = np.roll(noise, 977 * number)
        if len(sessions) > LONGEST_WINDOW:
            values.reshape(shape)[:, :warm_up] = np.nan
        columns[name] = pl.Series(values)
    return pl.DataFrame(columns)


def timed(work: Callable[[], object], times: int) -> tuple[float, float]:
    """Best and median wall time of several calls."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return min(taken), statistics.median(taken)


def peak_gigabytes() -> float:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def delta_store(
    root: Path, contract: TableContract
) -> tuple[Callable[[pl.DataFrame], None], Reads]:
    """Write and read functions of the lake's table, as an asset and a notebook call them."""
    lake = Lake(str(root / "lake" / "default"), "default", {"features": contract})

    def write(frame: pl.DataFrame) -> None:
        first, last = frame["session"].min(), frame["session"].max()
        lake.replace("features", frame, span=SessionSpan(first, last), caller="benchmark")

    session = offset_session(LAST_BULK_SESSION, -300)
    return write, {
        "one session, all symbols, all features": lambda: read_features(
            root, first=session, last=session
        ),
        "one symbol, all sessions, 20 features": lambda: read_features(
            root, names=ASKED, symbols=["S0003"]
        ),
        "all rows, 20 features": lambda: read_features(root, names=ASKED),
    }


def session_files(root: Path) -> tuple[Callable[[pl.DataFrame], None], Reads]:
    """Write and read functions of one Parquet file for each session."""
    root.mkdir(parents=True)

    def write(frame: pl.DataFrame) -> None:
        days = frame["session"].to_numpy()
        by_session = np.argsort(days, kind="stable")
        sessions, starts = np.unique(days[by_session], return_index=True)
        for session, rows in zip(sessions, np.split(by_session, starts[1:]), strict=True):
            frame[rows].write_parquet(root / f"{session}.parquet", compression_level=1)

    session = offset_session(LAST_BULK_SESSION, -300)
    whole = root / "*.parquet"
    return write, {
        "one session, all symbols, all features": lambda: sort_rows(
            pl.read_parquet(root / f"{session}.parquet"), KEY
        ),
        "one symbol, all sessions, 20 features": lambda: sort_rows(
            pl.scan_parquet(whole)
            .filter(pl.col("symbol") == "S0003")
            .select(*KEY, *ASKED)
            .collect(),
            KEY,
        ),
        "all rows, 20 features": lambda: sort_rows(
            pl.scan_parquet(whole).select(*KEY, *ASKED).collect(), KEY
        ),
    }


def measure(
    frame: pl.DataFrame,
    nights: list[pl.DataFrame],
    write: Callable[[pl.DataFrame], None],
    reads: Reads,
) -> Iterator[tuple[str, float, float]]:
    """Yield what was done, and its best and median time."""
    yield "write of all rows", *timed(lambda: write(frame), 1)
    remaining = iter(nights)
    yield "append of one session", *timed(lambda: write(next(remaining)), len(nights))
    for what, read in reads.items():
        read()
        yield what, *timed(read, 5 if what.startswith("all rows") else 15)


def main() -> None:
    """Measure the three layouts and print the table."""
    parser = argparse.ArgumentParser(description="Speed of the feature store's layouts")
    parser.add_argument("--symbols", type=int, default=1_030)
    parser.add_argument("--sessions", type=int, default=5_040)
    parser.add_argument("--rivals", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--folder", type=Path, help="where to put the stores meanwhile")
    asked = parser.parse_args()
    history = SessionSpan(
        offset_session(LAST_BULK_SESSION, 1 - asked.sessions), LAST_BULK_SESSION
    ).sessions
    frame = generated_features(asked.symbols, history)
    nights = [
        generated_features(asked.symbols, [offset_session(LAST_BULK_SESSION, 1 + night)], night)
        for night in range(NIGHTS)
    ]
    print(
        f"{asked.symbols:,} symbols x {asked.sessions:,} sessions x {len(feature_names())} features"
        f" = {frame.height:,} rows, {frame.estimated_size() / 1e9:.2f} GB; {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'layout':<12}{'what':<42}{'best s':>9}{'median s':>10}{'x chosen':>10}")
    contract = features_table(feature_names())
    earlier = dataclasses.replace(contract, layout=FileLayout())
    chosen: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        layouts = {"chosen": lambda root: delta_store(root, contract)}
        if asked.rivals:
            layouts["by symbol"] = lambda root: delta_store(root, earlier)
            layouts["by session"] = session_files
        for name, open_store in layouts.items():
            root = Path(folder) / name.replace(" ", "_")
            for what, best, median in measure(frame, nights, *open_store(root)):
                ratio = median / chosen.setdefault(what, median)
                peak = f"   peak {peak_gigabytes():.2f} GB" if what.startswith("write") else ""
                print(
                    f"{name:<12}{what:<42}{best:>9.3f}{median:>10.3f}{ratio:>10.1f}{peak}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
