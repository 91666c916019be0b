"""Seeded panels of bars for the tests of features."""

import datetime as dt

import numpy as np
import polars as pl

from turbomode_assets.sessions import sessions_between

FIRST = dt.date(2018, 1, 2)
PRICES = ("open", "high", "low", "close")


def sessions(count: int) -> list[dt.date]:
    """The first sessions from 2018 on."""
    return sessions_between(FIRST, dt.date(2030, 1, 2))[:count]


def panel(
    symbols: int = 3,
    count: int = 300,
    *,
    seed: int = 0,
    missing: float = 0.0,
    zero_volume: float = 0.0,
    null_volume: float = 0.0,
    halts: float = 0.0,
    late_start: int = 0,
    tick: float | None = None,
    volumes: tuple[float, float] = (1e4, 1e9),
    sectors: int = 1,
) -> pl.DataFrame:
    """Random walks of prices, volumes spread evenly over the decades of `volumes`.

    `missing` is the share of bars left out, `halts` that of bars which repeat the one before,
    `late_start` how many sessions each symbol starts after the one before it; `tick` rounds prices,
    which makes ties.
    """
    rng = np.random.default_rng(seed)
    days = sessions(count)
    frames = []
    for number in range(symbols):
        prices = _prices(rng, 50.0 * (number + 1), count, tick)
        _repeat(prices, rng.random(count) < halts)
        volume = np.exp(rng.uniform(*np.log(volumes), count))
        volume[rng.random(count) < zero_volume] = 0.0
        volume[rng.random(count) < null_volume] = np.nan
        columns = dict(zip(PRICES, prices, strict=True))
        frame = pl.DataFrame(
            {"symbol": [f"S{number:03d}"] * count, "session": days}
            | columns
            | {"volume": volume, "sector": [f"sector {number % sectors}"] * count}
        ).with_columns(pl.col("volume").fill_nan(None))
        kept = rng.random(count) >= missing
        frames.append(frame.filter(pl.Series(kept))[late_start * number :])
    return with_dollar_volume(pl.concat(frames))


def with_dollar_volume(bars: pl.DataFrame) -> pl.DataFrame:
    """Add a dollar volume that is not quite close x volume."""
    return bars.with_columns(dollar_volume=1.1 * pl.col("close") * pl.col("volume"))


def rescaled(bars: pl.DataFrame, factor: pl.Expr | float) -> pl.DataFrame:
    """Prices times `factor`, volumes divided by it."""
    return bars.with_columns(
        *(pl.col(name) * factor for name in PRICES), volume=pl.col("volume") / factor
    )


def _prices(rng: np.random.Generator, start: float, count: int, tick: float | None) -> np.ndarray:
    close = start * np.exp(np.cumsum(rng.normal(0, 0.02, count)))
    opened = close * np.exp(rng.normal(0, 0.01, count))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 0.008, count)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 0.008, count)))
    prices = np.stack([opened, high, low, close])
    return prices if tick is None else np.maximum(np.round(prices / tick), 1) * tick


def _repeat(prices: np.ndarray, repeated: np.ndarray) -> None:
    for at in np.flatnonzero(repeated[1:]) + 1:
        prices[:, at] = prices[:, at - 1]
