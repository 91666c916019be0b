"""How fast features are computed on CUDA, with the data on the device.

    python -m turbomode_assets_tests.benchmarks.features_cuda [SYMBOLS SESSIONS]

First the largest difference between CUDA and the CPU, in standard deviations of the feature. Then
the best of five by CUDA events: all features that look at one symbol, and beside it how long a
plain copy of as many bytes as they read and write takes on this card.
"""

import sys
from collections.abc import Callable

import numpy as np
import torch

from turbomode_assets.contracts.devices import choose_device
from turbomode_assets.features import compute_features, device_name, feature_names
from turbomode_assets.features.engine import panel_inputs
from turbomode_assets.features.panel import build_panel
from turbomode_assets.features.registry import registered_features
from turbomode_assets.features.vocabulary.sharing import shared_results
from turbomode_assets_tests.benchmarks.features_panel import generated_bars

BENCHMARK = "S0000"


def milliseconds(work: Callable[[], object]) -> float:
    """Best of five by CUDA events, after one call to warm up."""
    work()
    best = float("inf")
    for _ in range(5):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        best = min(best, begin.elapsed_time(end))
    return best


def largest_difference() -> float:
    """Over all features of 50 symbols, in standard deviations of the feature."""
    bars = generated_bars(50, 600)
    columns = list(feature_names())
    on_cpu, on_cuda = (
        compute_features(bars, benchmark=BENCHMARK, device=device).select(columns).to_numpy()
        for device in ("cpu", "cuda")
    )
    return float(np.nanmax(np.abs(on_cuda - on_cpu) / np.nanstd(on_cpu, axis=0)))


def main() -> None:
    """Compare, measure, print."""
    symbols, sessions = (int(each) for each in sys.argv[1:] or ("200", "2520"))
    place = choose_device("cuda")
    print(f"{device_name('cuda')}: CPU and CUDA differ by {largest_difference():.1e} deviations")
    bars = generated_bars(symbols, sessions)
    panel = build_panel(bars, BENCHMARK)
    inputs = panel_inputs(panel, slice(0, symbols), slice(0, sessions), place)
    features = [each for each in registered_features() if each.scope == "symbol"]
    out = torch.empty((len(features), symbols, sessions), dtype=torch.float32, device=place)

    def evaluate() -> None:
        with shared_results():
            for number, each in enumerate(features):
                out[number] = each.evaluate(inputs)

    # A copy reads and writes: half of the bytes of inputs and results make a copy of as many.
    moved = sum(each.nbytes for each in inputs.values()) + out.nbytes
    block = torch.empty(moved // 2, dtype=torch.uint8, device=place)
    target = torch.empty_like(block)
    copying = milliseconds(lambda: target.copy_(block))
    computing = milliseconds(evaluate)
    print(f"{bars.height:,} bars x {len(features)} features: {computing:.2f} ms")
    print(f"copying the {moved / 1e9:.2f} GB they read and write: {copying:.2f} ms")


if __name__ == "__main__":
    main()
