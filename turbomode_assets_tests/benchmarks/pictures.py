"""How long the picture of a whole ledger takes, and how much memory, against plain matplotlib.

    python -m turbomode_assets_tests.benchmarks.pictures [--symbols N] [--sessions N]

Prints a table: best and median seconds, most memory above the ledger itself, bytes of the PNG, and
how many times our time and memory a rival takes. Rivals pivot the ledger with polars and hand the
whole matrix to `imshow` or `pcolormesh` on an Agg canvas of the same size; they draw neither
strips nor shares, and may leave out a single RED cell; they take so long that once is enough. Each
way runs in a process of its own.
"""

import argparse
import datetime as dt
import io
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from turbomode_assets.contracts.tables import PARTITION_STATUS
from turbomode_assets.contracts.tables.master import VERDICTS
from turbomode_assets.reports import coverage_heatmap
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets_tests.builders import fill_columns

LAST_SESSION = dt.date(2025, 6, 30)
CHECKED = dt.datetime(2025, 7, 1, tzinfo=dt.UTC)
COLOURS = ListedColormap(["#eceff2", "#b4dcc8", "#de8a00", "#7f0d1c"])
HOLES = 0.02


def generated_ledger(symbols: int, sessions: int, *, holes: float = HOLES) -> pl.DataFrame:
    """Daily cells of every symbol and session; of `holes`, half are AMBER and half RED."""
    days = SessionSpan(offset_session(LAST_SESSION, 1 - sessions), LAST_SESSION).sessions
    names = pl.Series([f"S{number:04d}" for number in range(symbols)])
    drawn = np.random.default_rng(5).random(symbols * sessions)
    codes = (drawn < holes).astype(np.uint32) + (drawn < holes / 2)
    frame = pl.DataFrame(
        {
            "symbol": names.gather(np.repeat(np.arange(symbols), sessions)),
            "session": pl.Series(days, dtype=pl.Date).gather(np.tile(np.arange(sessions), symbols)),
            "verdict": pl.Series(VERDICTS).gather(codes),
            "reasons": pl.Series(["", "zero_volume", "missing"]).gather(codes),
            "actual_rows": (codes < 2).astype(np.int32),
        }
    )
    cells = {"delivered_by": "simulated", "checked_at": CHECKED}
    return fill_columns(PARTITION_STATUS, frame, **cells)


def plain_picture(ledger: pl.DataFrame, *, mesh: bool) -> bytes:
    """Draw the whole matrix as most people would."""
    codes = pl.col("verdict").replace_strict(dict(zip(VERDICTS, (1, 2, 3), strict=True)))
    wide = ledger.with_columns(code=codes).pivot(on="session", index="symbol", values="code")
    matrix = wide.drop("symbol").fill_null(0).to_numpy()
    figure = Figure(figsize=(11.02, 7.58), dpi=100)
    plot = figure.subplots()
    if mesh:
        plot.pcolormesh(matrix, cmap=COLOURS, vmin=0, vmax=3)
    else:
        plot.imshow(matrix, cmap=COLOURS, vmin=0, vmax=3, aspect="auto", interpolation="nearest")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


WAYS: dict[str, Callable[[pl.DataFrame], bytes]] = {
    "coverage_heatmap": coverage_heatmap,
    "imshow": lambda ledger: plain_picture(ledger, mesh=False),
    "pcolormesh": lambda ledger: plain_picture(ledger, mesh=True),
}


def measure(who: str, symbols: int, sessions: int, times: int) -> tuple[float, float, float, int]:
    """Best and median seconds, most megabytes above the ledger, and bytes of the picture."""
    draw = WAYS[who]
    draw(generated_ledger(3, 5))
    ledger = generated_ledger(symbols, sessions)
    begin_memory = _memory_mb("VmRSS")
    # From here on the kernel's high-water mark is of the drawing alone.
    Path("/proc/self/clear_refs").write_text("5")
    taken, size = [], 0
    for _ in range(times):
        begin = time.perf_counter()
        size = len(draw(ledger))
        taken.append(time.perf_counter() - begin)
    return min(taken), statistics.median(taken), _memory_mb("VmHWM") - begin_memory, size


def _memory_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def main() -> None:
    """Draw the ledger in each way and print the table."""
    parser = argparse.ArgumentParser(description="Cost of the picture of a ledger")
    parser.add_argument("--symbols", type=int, default=1_030)
    parser.add_argument("--sessions", type=int, default=5_040)
    parser.add_argument("--times", type=int, default=3)
    asked = parser.parse_args()
    print(
        f"{asked.symbols:,} symbols x {asked.sessions:,} sessions; {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'who':<20}{'best s':>8}{'median s':>10}{'MB':>8}{'PNG kB':>8}{'x time':>8}{'x MB':>7}")
    ours: tuple[float, float] | None = None
    for who in WAYS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            times = asked.times if ours is None else 1
            arguments = (who, asked.symbols, asked.sessions, times)
            best, median, most, size = pool.apply(measure, arguments)
        ours = ours or (best, most)
        print(
            f"{who:<20}{best:>8.2f}{median:>10.2f}{most:>8.0f}{size / 1000:>8.0f}"
            f"{best / ours[0]:>8.1f}{most / ours[1]:>7.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
