"""Every formula against an independent slow loop in float64, on every symbol of a panel."""

import functools

import numpy as np
import polars as pl
import pytest

from turbomode_assets.features import compute_features, feature_names
from turbomode_assets.sessions import sessions_between
from turbomode_assets_tests.builders import real_data_folder
from turbomode_assets_tests.features.comparison import INPUTS, assert_alike
from turbomode_assets_tests.features.panels import panel, with_dollar_volume
from turbomode_assets_tests.features.reference_alpha158 import alpha158
from turbomode_assets_tests.features.reference_beyond import (
    SYMBOL_FEATURES,
    beyond,
    rank_return,
    returns_of_session,
    sector_return,
)

BENCHMARK = "S000"


@functools.cache
def generated() -> pl.DataFrame:
    """Smooth, coarsely quantised (ties) and constant symbols with holes, zero and null volumes."""
    smooth = panel(
        4, 400, seed=1, missing=0.001, null_volume=0.004, zero_volume=0.004, volumes=(1e2, 1e11)
    )
    coarse = panel(3, 400, seed=2, tick=1.0, missing=0.0005)
    flat = coarse.filter(pl.col("symbol") == "S001").with_columns(
        pl.lit(20.0).alias(name) for name in ("open", "high", "low", "close")
    )
    rows = [smooth, coarse.with_columns(symbol="T" + pl.col("symbol"))]
    rows.append(flat.with_columns(symbol=pl.lit("U"), sector=pl.lit(None, pl.String)))
    return pl.concat(rows)


@functools.cache
def real() -> pl.DataFrame:
    bars = (
        pl.read_parquet(real_data_folder() / "daily.parquet")
        .rename({"date": "session"})
        .filter(pl.col("session").dt.year().is_between(2011, 2012))
        .with_columns(pl.col("volume").cast(pl.Float64))
        .sort("symbol", "session")
    )
    sector = (bars["symbol"].rank("dense") % 9).cast(pl.String)
    return with_dollar_volume(bars.with_columns(sector=sector))


class Grid:
    """The bars of a panel as arrays [symbols, sessions] on the grid of its sessions."""

    def __init__(self, bars: pl.DataFrame, benchmark: str) -> None:
        sessions = sessions_between(bars["session"].min(), bars["session"].max())
        at = {session: number for number, session in enumerate(sessions)}
        self.symbols = bars["symbol"].unique(maintain_order=True).to_list()
        self.columns = np.array([at[session] for session in bars["session"]])
        self.rows = np.array([self.symbols.index(symbol) for symbol in bars["symbol"]])
        shape = len(self.symbols), len(sessions)
        self.values = {name: np.full(shape, np.nan) for name in INPUTS}
        for name in INPUTS:
            flat = bars[name].fill_null(np.nan).to_numpy()
            self.values[name][self.rows, self.columns] = flat
        self.benchmark = self.symbols.index(benchmark)
        self.sector = np.full(shape, None, dtype=object)
        self.sector[self.rows, self.columns] = bars["sector"].to_list()

    def history(self, row: int) -> dict[str, np.ndarray]:
        """Everything known of a row's symbol and the benchmark up to its session."""
        until = slice(max(0, self.columns[row] - 259), self.columns[row] + 1)
        known = {name: values[self.rows[row], until] for name, values in self.values.items()}
        return known | {"benchmark": self.values["close"][self.benchmark, until]}

    def cross_section(self, name: str, row: int) -> float:
        end, symbol = self.columns[row], self.rows[row]
        closes = self.values["close"].copy()
        closes[self.benchmark] = np.nan
        returns = returns_of_session(closes, end)
        if name == "rank_return_20":
            return rank_return(returns)[symbol]
        return sector_return(returns, list(self.sector[:, end]))[symbol]


def expected_values(name: str, grid: Grid, rows: np.ndarray) -> np.ndarray:
    if name in ("rank_return_20", "sector_return_20"):
        return np.array([grid.cross_section(name, row) for row in rows])
    value = beyond if name in SYMBOL_FEATURES else alpha158
    return np.array([value(name, grid.history(row)) for row in rows])


@functools.cache
def prepared(kind: str) -> tuple[pl.DataFrame, Grid, np.ndarray]:
    bars = {"generated": generated, "real": real}[kind]()
    benchmark = BENCHMARK if kind == "generated" else "SPY"
    step = 17 if kind == "generated" else 331
    rows = np.arange(0, bars.height, step)
    computed = compute_features(bars, benchmark=benchmark)
    return computed[rows.tolist()], Grid(bars, benchmark), rows


@pytest.mark.parametrize("name", feature_names())
def test_equals_the_slow_loop_on_generated_bars(name):
    computed, grid, rows = prepared("generated")
    actual = computed[name].to_numpy().astype(np.float64)
    assert_alike(name, actual, expected_values(name, grid, rows))
    assert np.isfinite(actual).sum() > 10


@pytest.mark.real_data
@pytest.mark.parametrize("name", feature_names())
def test_equals_the_slow_loop_on_every_symbol_of_a_real_panel(name):
    computed, grid, rows = prepared("real")
    actual = computed[name].to_numpy().astype(np.float64)
    assert_alike(name, actual, expected_values(name, grid, rows))
    assert np.isfinite(actual).sum() > 30
