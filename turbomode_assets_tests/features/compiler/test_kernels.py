"""Compiled loops against the torch versions that CUDA uses; both against numbers worked by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from turbomode_assets.features import devices
from turbomode_assets.features.compiler import programs
from turbomode_assets.features.compiler.programs import INPUTS, assembled, run_program, write
from turbomode_assets.features.compiler.tracing import Trace, is_traced
from turbomode_assets.features.vocabulary import smoothing
from turbomode_assets.features.vocabulary.elementwise import difference, lagged, undefined_where
from turbomode_assets.features.vocabulary.merging import (
    decaying_sum,
    trailing_codeviation,
    trailing_max,
    trailing_min,
    trailing_sum,
    trailing_third_moment,
    trailing_trend,
)
from turbomode_assets.features.vocabulary.ordering import (
    trailing_mean_deviation,
    trailing_position_of_max,
    trailing_position_of_min,
    trailing_rank,
)
from turbomode_assets.features.vocabulary.sharing import shared, shared_results
from turbomode_assets.features.vocabulary.sorting import trailing_quantile

WINDOWS = [3, 5, 14, 20, 30, 60]
NAN = math.nan
Formula = Callable[..., torch.Tensor]
ARITHMETIC: list[Formula] = [
    lambda x, y: (x + y) * (x - y) / x,
    lambda x, y: 2 - (3 + x) * 4 / 5 + 6 / y - (-x) - 7,
    lambda x, y: torch.maximum(x, y) - 2 * torch.minimum(y, x),
    lambda x, y: (x > y) * 1.0 + 2 * (x < y) + (x > 0.9) * 3 + (y < 0.9) * 4 + (x - x),
    lambda x, y: (x - y).abs().sqrt() + (x / y).log() + x.log1p() + (x - y).tanh() + x.square(),
    lambda x, y: (x - y).clamp(min=0.0) - (2 * x - y).clamp(0.5, 1.0),
    lambda x, y: x.isfinite() * 1.0 + y.nan_to_num(nan=0.0),
    lambda x, y: undefined_where(x + y, (x > 1) | (y < 0.95)),
    lambda x, y: difference(x, y, 1e5 * x) + lagged(x, 3) * lagged(lagged(y, 1), 2),
]


def walk(seed: int, tick: float | None = None) -> torch.Tensor:
    """Three series of 140 prices with holes."""
    rng = np.random.default_rng(seed)
    series = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (3, 140)), axis=1))
    if tick is not None:
        series = np.round(series / tick) * tick
    series[0, 70] = series[1, :7] = series[2, 139] = np.nan
    return torch.from_numpy(series)


def assert_close(actual: torch.Tensor, expected: torch.Tensor, rtol: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=1e-9, equal_nan=True)


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def compiled(formula: Formula, *series: torch.Tensor) -> torch.Tensor:
    """Trace a formula of up to seven series and run its program over them."""
    trace = Trace(INPUTS)
    inputs = [trace.input(name) for name in INPUTS]
    values = formula(*inputs[: len(series)])
    assert is_traced(values)
    write(trace, values, 0, 0)
    given = np.full((len(INPUTS) - 1, *series[0].shape), np.nan)
    given[: len(series)] = [each.numpy() for each in series]
    symbols, sessions = series[0].shape
    out = np.empty((1, symbols * sessions), dtype=np.float32)
    present = np.ones((symbols, sessions), dtype=np.bool_)
    nothing = np.full(sessions, np.nan)
    run_program(assembled(trace), given, nothing, present, 0, 0, out)
    return torch.from_numpy(out).view(symbols, sessions).to(torch.float64)


def assert_compiled_alike(formula: Formula, *series: torch.Tensor) -> None:
    """Compiled and by torch alone, a formula differs by the rounding of its result to float32."""
    assert_close(compiled(formula, *series), formula(*series), 1e-6)


@pytest.mark.parametrize("window", WINDOWS)
def test_compiled_merges_equal_torch(window):
    x, y = walk(1), walk(2)
    for operation in (trailing_sum, trailing_max, trailing_min, trailing_trend):
        assert_compiled_alike(lambda x, operation=operation: operation(x, window), x)
    assert_compiled_alike(lambda x: trailing_third_moment(x, window) / 100, x)
    assert_compiled_alike(lambda x: trailing_codeviation(x, x, window), x)
    assert_compiled_alike(lambda x, y: trailing_codeviation(x, y, window), x, y)
    assert_compiled_alike(lambda x: decaying_sum(x, 0.9, window), x)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("tick", [None, 2.0])
def test_compiled_order_equals_torch(window, tick):
    price, close = walk(3, tick), walk(4, tick)
    for quantile in (0.2, 0.8):
        assert_compiled_alike(lambda x, share=quantile: trailing_quantile(x, share, window), price)
    assert_compiled_alike(lambda x: trailing_rank(x, window), price)
    assert_compiled_alike(lambda x, c: trailing_position_of_max(x, c, window), price, close)
    assert_compiled_alike(lambda x, c: trailing_position_of_min(x, c, window), price, close)
    assert_compiled_alike(lambda x: trailing_mean_deviation(x, window), price)


@pytest.mark.parametrize("operation", ARITHMETIC)
def test_compiled_arithmetic_equals_torch(operation):
    assert_compiled_alike(operation, walk(6, 2.0) / 50, walk(7, 2.0) / 50)


def test_the_compiled_directional_index_equals_torch_within_single_precision():
    moves = walk(5).diff(dim=1)
    up, down = moves.clamp(min=0), (-moves).clamp(min=0)
    actual = compiled(lambda x, y: smoothing.wilder_directional_index(x, y, 5, 40), up, down)
    expected = smoothing.wilder_directional_index(up, down, 5, 40)
    torch.testing.assert_close(actual, expected, rtol=0, atol=3e-6, equal_nan=True)


@pytest.mark.parametrize("beside", [1, 2, 16])
@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_and_symbols_beside_change_nothing(block, beside, monkeypatch):
    def formula(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        position = trailing_position_of_max(x, y, 10)
        order = trailing_rank(x, 20) + trailing_quantile(y, 0.2, 10) + position
        moves = smoothing.wilder_directional_index(x, y, 3, 9) + trailing_mean_deviation(x, 20)
        return order + trailing_codeviation(x, y, 30) + moves

    x, y = walk(1), walk(2)
    whole = compiled(formula, x, y)
    monkeypatch.setattr(programs, "blocks_of", lambda _: (block, beside))
    assert torch.equal(compiled(formula, x, y).nan_to_num(-1.0), whole.nan_to_num(-1.0))


def test_operations_by_hand():
    x = row(1, 2, 4, 8, 9)
    by_hand: list[tuple[Formula, torch.Tensor, torch.Tensor]] = [
        (lambda x: trailing_sum(x, 3), x, row(NAN, NAN, 7, 14, 21)),
        (lambda x: trailing_max(x, 2), x, row(NAN, 2, 4, 8, 9)),
        (lambda x: trailing_codeviation(x, x, 3), x, row(NAN, NAN, 14 / 3, 56 / 3, 14)),
        (lambda x: trailing_trend(x, 3), x, row(NAN, NAN, 3, 6, 5)),
        (lambda x: decaying_sum(x, 0.5, 3), x, row(NAN, NAN, 5.25, 10.5, 14)),
        (lambda x: trailing_third_moment(x, 3), row(0, 0, 3), row(NAN, NAN, 6)),
        (lambda x: trailing_quantile(x, 0.8, 5), x, row(NAN, NAN, NAN, NAN, 8.2)),
        (lambda x: trailing_rank(x, 5), row(2, 1, 2, 3, 2), row(NAN, NAN, NAN, NAN, 3 / 5)),
        (
            lambda x: trailing_position_of_max(x, x / 9, 5),
            row(5, 9, 9, 1, 2),
            row(NAN, NAN, NAN, NAN, 2),
        ),
        (lambda x: trailing_mean_deviation(x, 3), row(1, 2, 6), row(NAN, NAN, 2)),
        (lambda x: smoothing.exponential_mean(x, 3, 3), row(2, 4, 8), row(NAN, NAN, 5.5)),
        (lambda x: smoothing.wilder_mean(x, 2, 3), row(2, 4, 8), row(NAN, NAN, 5.5)),
    ]
    for formula, series, expected in by_hand:
        assert_close(formula(series), expected)
        assert_close(compiled(formula, series), expected, 1e-6)


def test_a_hole_makes_only_its_own_windows_undefined():
    x = row(1, 2, NAN, 4, 5, 6, 7)
    assert_close(trailing_sum(x, 3), row(NAN, NAN, NAN, NAN, NAN, 15, 18))
    assert_close(trailing_quantile(x, 0.2, 3), row(NAN, NAN, NAN, NAN, NAN, 4.4, 5.4))


def test_a_window_longer_than_the_panel_is_undefined():
    x = row(1, 2, 3)
    formulas: list[Formula] = [
        lambda x: trailing_sum(x, 60),
        lambda x: trailing_rank(x, 60),
        lambda x: trailing_quantile(x, 0.2, 60),
        lambda x: trailing_position_of_max(x, x, 60),
        lambda x: smoothing.wilder_directional_index(x, x, 14, 249),
    ]
    for formula in formulas:
        assert torch.isnan(formula(x)).all()
        assert torch.isnan(compiled(formula, x)).all()


def test_windows_share_their_parts():
    trace = Trace(("close",))
    for window in (5, 10, 20, 30, 60):
        trailing_sum(trace.input("close"), window)
    assert len(trace.nodes) == 1 + len((2, 4, 5, 10, 20, 30, 60))


def test_a_node_is_computed_only_for_the_sessions_that_its_readers_read():
    trace = Trace(("close",))
    close = trace.input("close")
    values = trailing_max(close, 4) - lagged(close, 7)
    assert is_traced(values)
    write(trace, values, 0, 8)
    program = assembled(trace)
    # The close, its maximum over two bars and over four, the difference, the writing.
    assert program.before == (7, 2, 0, 0, 0)


def test_an_operation_is_computed_once_for_the_same_tensor_within_a_chunk():
    calls = []

    @shared
    def double(series: torch.Tensor) -> torch.Tensor:
        calls.append(series)
        return series * 2

    x, twin = row(1, 2), row(1, 2)
    with shared_results():
        assert double(x) is double(x)
        assert double(twin) is not double(x)
    double(x)
    assert len(calls) == 3


def test_running_out_of_memory_halves_the_chunk():
    worked = []

    def work(chunk: slice) -> None:
        if chunk.stop - chunk.start > 3:
            raise torch.OutOfMemoryError
        worked.append((chunk.start, chunk.stop))

    devices.halve_until_it_fits(work, slice(0, 10))
    assert worked == [(0, 2), (2, 5), (5, 7), (7, 10)]


def test_running_out_of_memory_on_the_smallest_chunk_is_said_with_the_remedy():
    def work(_: slice) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(devices.TurbomodeError, match=r"smallest chunk(.|\n)*device=cpu"):
        devices.halve_until_it_fits(work, slice(0, 2))
