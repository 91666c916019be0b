"""How fast features are computed, against pandas, qlib's own expression engine and TA-Lib.

    python -m turbomode_assets_tests.benchmarks.features [--small] [--qlib-python PATH]

Prints a table. `cold` is the first call into a fresh output buffer, whose first touch costs time;
`warm` the best of three into the same buffer. Compiling (once for each machine, then cached) comes
before both. Rivals run on fewer symbols and are compared by values per second. qlib 0.9.7 is
measured when `--qlib-python` names the interpreter of a virtual environment that has it.
"""

import argparse
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch

from turbomode_assets.features import LONGEST_WINDOW, compute_features, feature_names
from turbomode_assets.features.engine import compute_columns
from turbomode_assets.features.panel import build_panel, check_bars
from turbomode_assets.features.registry import select_features
from turbomode_assets_tests.benchmarks.features_pandas import alpha158_in_pandas
from turbomode_assets_tests.benchmarks.features_panel import generated_bars
from turbomode_assets_tests.features.talib_formulas import TALIB

BENCHMARK = "S0000"
CPU = torch.device("cpu")
ALPHA158 = feature_names()[:158]
HEADER = (
    f"{'what':<34}{'bars':>10}{'n':>5}{'cold s':>10}{'warm s':>10}{'M values/s':>12}{'ratio':>9}"
)
QLIB_SCRIPT = Path(__file__).with_name("features_qlib.py")


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def batch(bars: pl.DataFrame, names: tuple[str, ...]) -> tuple[float, float]:
    """Cold and warm time of the arithmetic: from arrays to all columns."""
    features, panel = select_features(names), build_panel(bars, BENCHMARK)
    columns = np.empty((len(features), bars.height), dtype=np.float32)
    cold = seconds(lambda: compute_columns(panel, features, CPU, columns))
    warm = min(seconds(lambda: compute_columns(panel, features, CPU, columns)) for _ in range(3))
    return cold, warm


def nightly(bars: pl.DataFrame) -> tuple[float, float, float]:
    """One new session: cold and warm time of the arithmetic, and of the whole public call."""
    days = bars["session"].unique().sort()
    recent = bars.filter(pl.col("session") >= days[-LONGEST_WINDOW])
    features, panel = select_features(None), build_panel(recent, BENCHMARK, days[-1])
    columns = np.empty((len(features), panel.shape[0]), dtype=np.float32)
    cold = seconds(lambda: compute_columns(panel, features, CPU, columns))
    warm = min(seconds(lambda: compute_columns(panel, features, CPU, columns)) for _ in range(9))
    whole = min(
        seconds(lambda: compute_features(recent, benchmark=BENCHMARK, since=days[-1]))
        for _ in range(3)
    )
    return cold, warm, whole


def row(what: str, bars: int, features: int, cold: float, warm: float, slowest: float) -> str:
    """One line of the table; `slowest` is what 1.0 means, in values per second."""
    rate = bars * features / warm
    sizes = f"{what:<34}{bars:>10,}{features:>5}"
    return f"{sizes}{cold:>10.3f}{warm:>10.3f}{rate / 1e6:>12.2f}{rate / slowest:>9.1f}"


def qlib_time(python: str, bars: pl.DataFrame) -> float:
    """Seconds that qlib's Alpha158 expressions take at two processes, in qlib's own interpreter."""
    sessions = bars["session"].unique().sort().cast(pl.String)
    arrays = {
        name: bars[name].to_numpy().reshape(-1, len(sessions))
        for name in ("open", "high", "low", "close", "volume")
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.npz"
        np.savez(path, sessions=np.array(sessions.to_list()), **arrays)
        command = [python, str(QLIB_SCRIPT), str(path), "2"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert result["values"] == bars.height * len(ALPHA158)
    return float(result["seconds"])


def talib_time(bars: pl.DataFrame) -> float:
    """Seconds that TA-Lib takes for the features it has, symbol after symbol on one thread."""
    symbols = [
        [part[name].to_numpy().copy() for name in ("open", "high", "low", "close", "volume")]
        for part in bars.partition_by("symbol")
    ]
    return seconds(lambda: [formula(*arrays) for arrays in symbols for formula in TALIB.values()])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="leave out 1,030 symbols x 5,040")
    parser.add_argument("--qlib-python", help="interpreter with pyqlib 0.9.7")
    options = parser.parse_args()
    compute_features(generated_bars(4, 300), benchmark=BENCHMARK)  # compiles, or reads the cache

    few = generated_bars(3, 2520)
    pandas_time = seconds(lambda: alpha158_in_pandas(few.to_pandas()))
    pandas_rate = few.height * len(ALPHA158) / pandas_time
    print(HEADER)
    print(row("pandas, Alpha158", few.height, 158, pandas_time, pandas_time, pandas_rate))
    if options.qlib_python:
        some = generated_bars(40, 2520)
        elapsed = qlib_time(options.qlib_python, some)
        what = "qlib 0.9.7, Alpha158, 2 processes"
        print(row(what, some.height, 158, elapsed, elapsed, pandas_rate))
    medium = generated_bars(200, 2520)
    elapsed = min(talib_time(medium) for _ in range(3))
    print(row("TA-Lib, what it has", medium.height, len(TALIB), elapsed, elapsed, pandas_rate))
    print(
        row("ours, the same", medium.height, len(TALIB), *batch(medium, tuple(TALIB)), pandas_rate)
    )
    print(row("ours, Alpha158", medium.height, 158, *batch(medium, ALPHA158), pandas_rate))
    print(row("ours, all", medium.height, 179, *batch(medium, feature_names()), pandas_rate))
    if not options.small:
        large = generated_bars(1030, 5040)
        print(row("ours, all", large.height, 179, *batch(large, feature_names()), pandas_rate))
        print(f"checking and laying out {large.height:,} bars: {prepare(large):.3f} s")
        cold, warm, whole = nightly(large)
        print(row("ours, one session of 1,030", 1030, 179, cold, warm, pandas_rate))
        print(f"the same through compute_features, reading 252 sessions: {whole:.3f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory {peak:.2f} GB; {torch.get_num_threads()} torch threads outside")


def prepare(bars: pl.DataFrame) -> float:
    """Time of what precedes the arithmetic."""
    return seconds(lambda: (check_bars(bars, BENCHMARK), build_panel(bars, BENCHMARK)))


if __name__ == "__main__":
    main()
