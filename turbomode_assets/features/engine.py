"""Evaluation of features over a panel, chunk by chunk. No formula lives here."""

import datetime as dt
import math
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import torch
from torch import Tensor

from turbomode_assets.contracts.columns import CLOSE, SESSION, SYMBOL
from turbomode_assets.contracts.devices import Device, choose_device
from turbomode_assets.features import registry
from turbomode_assets.features.compiler import kernels
from turbomode_assets.features.compiler.programs import INPUTS, program_of, run_program
from turbomode_assets.features.devices import (
    cuda_chunk_bars,
    cut,
    run_chunks,
)
from turbomode_assets.features.evaluation import evaluate_all
from turbomode_assets.features.formulas import ColumnFormula
from turbomode_assets.features.panel import (
    Panel,
    build_panel,
    check_bars,
    fill_first_sector,
    keep_look_back,
)
from turbomode_assets.features.registry import select_features
from turbomode_assets.features.vocabulary.sharing import shared_results

Outputs = npt.NDArray[np.float32]

CPU_CHUNK_BARS = 64_000
"""Bars of one chunk on the CPU: what one thread works on before it takes the next."""
CPU_CHUNK_CROSS_SECTIONS = 128
"""Sessions of one chunk of cross-sections on the CPU."""
CUDA_BYTES_PER_BAR = 6_000
"""What a bar occupies on CUDA while its chunk is worked on: inputs and shared intermediates."""


def compute_features(
    bars: pl.DataFrame,
    *,
    benchmark: str | None = None,
    names: Sequence[str] | None = None,
    device: Device = "auto",
    since: dt.date | None = None,
) -> pl.DataFrame:
    """Compute features of daily bars.

    Args:
        bars: one row for each symbol and XNYS session, sorted by them: symbol, session, open,
            high, low, close, volume of forward-adjusted bars; optionally dollar_volume (unadjusted,
            USD; where null, close x volume) and sector (as mapped on that session; before its
            first mapping a symbol's first known sector holds). A session without a row is a
            missing bar: NaN in every window that holds it. Volume may be null.
        benchmark: symbol in `bars` that beta_60 is taken on and that no cross-section counts.
        names: which features; all for None.
        device: `auto` takes CUDA where torch sees it.
        since: return sessions from this date on, reading only the bars their windows need.

    Returns:
        symbol, session and the features as float32 in the order of `feature_names`, rows as given
        (from `since` on). NaN where a window is incomplete or the formula is undefined.

    Raises:
        InputError: the bars are no sorted daily panel, a name is unknown, or there is no CUDA.
    """
    return compute_formulas(
        bars, select_features(names), benchmark=benchmark, device=device, since=since
    )


def compute_formulas(
    bars: pl.DataFrame,
    formulas: Sequence[ColumnFormula],
    *,
    benchmark: str | None = None,
    device: Device = "auto",
    since: dt.date | None = None,
) -> pl.DataFrame:
    """Compute the columns of some formulas, of this program or another; see `compute_features`.

    Raises:
        InputError: the bars are no sorted daily panel, or there is no CUDA.
    """
    place = choose_device(device)
    check_bars(bars, benchmark)
    bars = fill_first_sector(bars)
    if since is not None:
        bars = keep_look_back(bars, since, max(each.bars for each in formulas))
    keys = bars.select(SYMBOL, SESSION)
    if since is not None:
        keys = keys.filter(pl.col(SESSION) >= since)
    columns = np.empty((len(formulas), keys.height), dtype=np.float32)
    if keys.height:
        compute_columns(build_panel(bars, benchmark, since), formulas, place, columns)
    # Arrow takes the columns as they are; polars would copy them.
    table = pa.table({each.name: pa.array(columns[i]) for i, each in enumerate(formulas)})
    return pl.concat([keys, pl.DataFrame(pl.from_arrow(table))], how="horizontal")


def compute_columns(
    panel: Panel, features: Sequence[ColumnFormula], place: torch.device, columns: Outputs
) -> None:
    """Evaluate features over the panel into `columns`, [features, rows from `panel.first` on]."""
    numbered = list(enumerate(features))
    by_symbol = tuple((i, each) for i, each in numbered if each.scope == "symbol")
    if by_symbol and place.type == "cpu":
        _run_by_symbol(panel, by_symbol, place, columns)
    elif by_symbol:
        _compute_by_symbol(panel, by_symbol, place, columns)
    across = [(i, each) for i, each in numbered if each.scope == "cross_section"]
    if across:
        _compute_across(panel, across, place, columns)


def _run_by_symbol(
    panel: Panel,
    chosen: tuple[tuple[int, ColumnFormula], ...],
    place: torch.device,
    columns: Outputs,
) -> None:
    program = program_of(chosen)
    symbols, sessions = panel.shape
    benchmark = np.full(sessions, math.nan)
    if panel.benchmark is not None:
        benchmark[:] = panel.values[CLOSE][panel.benchmark]

    def work(chunk: slice) -> None:
        inputs = np.stack([panel.values[name][chunk] for name in INPUTS[:-1]])
        present = np.array(panel.present[chunk])
        row = int(panel.row_starts[chunk.start])
        run_program(program, inputs, benchmark, present, panel.first, row, columns)

    run_chunks(work, cut(symbols, CPU_CHUNK_BARS // sessions), place)


def _compute_by_symbol(
    panel: Panel, chosen: Sequence[tuple[int, ColumnFormula]], place: torch.device, columns: Outputs
) -> None:
    symbols, sessions = panel.shape
    begin = max(0, panel.first - max(each.bars for _, each in chosen) + 1)
    before = panel.first - begin

    def work(chunk: slice) -> None:
        inputs = panel_inputs(panel, chunk, slice(begin, sessions), place)
        in_a_row = _bars_in_a_row(panel, chunk)
        rows = slice(panel.row_starts[chunk.start], panel.row_starts[chunk.stop])
        with shared_results():
            for i, each, values in _evaluated(chosen, inputs, before):
                kernels.write_rows(values, in_a_row, each.bars, columns[i, rows])

    bars = cuda_chunk_bars(place, CUDA_BYTES_PER_BAR)
    run_chunks(work, cut(symbols, bars // (sessions - begin)), place)


def _compute_across(
    panel: Panel, chosen: Sequence[tuple[int, ColumnFormula]], place: torch.device, columns: Outputs
) -> None:
    symbols, sessions = panel.shape
    reach = max(each.bars for _, each in chosen) - 1
    everyone = slice(0, symbols)
    wanted = {name for _, each in chosen for name in each.inputs}
    found = {i: np.empty((symbols, sessions - panel.first)) for i, _ in chosen}

    def work(chunk: slice) -> None:
        begin, end = panel.first + chunk.start, panel.first + chunk.stop
        earliest = max(0, begin - reach)
        inputs = panel_inputs(panel, everyone, slice(earliest, end), place, wanted)
        with shared_results():
            for i, _, values in _evaluated(chosen, inputs, begin - earliest):
                found[i][:, chunk] = values

    count = CPU_CHUNK_CROSS_SECTIONS
    if place.type == "cuda":
        count = cuda_chunk_bars(place, CUDA_BYTES_PER_BAR) // symbols
    run_chunks(work, cut(sessions - panel.first, count), place)

    def write(chunk: slice) -> None:
        in_a_row = _bars_in_a_row(panel, chunk)
        rows = slice(panel.row_starts[chunk.start], panel.row_starts[chunk.stop])
        for i, each in chosen:
            kernels.write_rows(found[i][chunk], in_a_row, each.bars, columns[i, rows])

    run_chunks(write, cut(symbols, CPU_CHUNK_BARS // sessions), place)


def _evaluated(
    chosen: Sequence[tuple[int, ColumnFormula]], inputs: dict[str, Tensor], before: int
) -> Iterator[tuple[int, ColumnFormula, npt.NDArray[np.floating]]]:
    """Values of each feature from session `before` on; from CUDA they come in a single copy."""
    computed = evaluate_all([each for _, each in chosen], inputs)
    if inputs[CLOSE].is_cpu:
        for (i, _), (each, values) in zip(chosen, computed, strict=True):
            yield i, each, values[:, before:].contiguous().numpy()
        return
    single = [values[:, before:].to(torch.float32) for _, values in computed]
    for (i, each), stacked in zip(chosen, torch.stack(single).cpu().numpy(), strict=True):
        yield i, each, stacked


def panel_inputs(
    panel: Panel,
    symbols: slice,
    sessions: slice,
    place: torch.device,
    wanted: Collection[str] = registry.INPUTS,
) -> dict[str, Tensor]:
    """Tensors of those of `registry.INPUTS` that are wanted, for some symbols and sessions."""

    def tensor(values: npt.NDArray[np.generic]) -> Tensor:
        # A copy: the panel may lie in the frame's own memory, which is read-only.
        return torch.from_numpy(np.array(values, order="C")).to(place)

    known = {**panel.values, "tradeable": panel.tradeable, "sector": panel.sector}
    inputs = {
        name: tensor(values[symbols, sessions]) for name, values in known.items() if name in wanted
    }
    if "benchmark" in wanted:
        shape = panel.present[symbols, sessions].shape
        benchmark = torch.full((1, shape[1]), math.nan, dtype=torch.float64, device=place)
        if panel.benchmark is not None:
            benchmark = tensor(panel.values[CLOSE][panel.benchmark, sessions][None])
        inputs["benchmark"] = benchmark.expand(shape)
    return inputs


def _bars_in_a_row(panel: Panel, symbols: slice) -> npt.NDArray[np.int32]:
    """How many bars up to and including each session from `first` on follow without a gap."""
    present = panel.present[symbols]
    position = np.arange(present.shape[1], dtype=np.int32)
    last_missing = np.maximum.accumulate(np.where(present, np.int32(-1), position), axis=1)
    return np.ascontiguousarray((position - last_missing)[:, panel.first :])
