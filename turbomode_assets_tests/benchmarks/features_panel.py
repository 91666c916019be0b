"""Generated bars for the benchmarks of features: the same for every rival."""

import datetime as dt

import numpy as np
import polars as pl

from turbomode_assets.sessions import sessions_between


def generated_bars(symbols: int, sessions: int, seed: int = 7) -> pl.DataFrame:
    """Random walks without holes: symbol, session, open, high, low, close, volume, sector."""
    rng = np.random.default_rng(seed)
    days = sessions_between(dt.date(2003, 1, 2), dt.date(2032, 12, 31))[:sessions]
    shape = symbols, sessions
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=1))
    opened = close * np.exp(rng.normal(0, 0.01, shape))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 0.008, shape)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 0.008, shape)))
    volume = np.exp(rng.normal(14, 1, shape))
    names = pl.Series([f"S{number:04d}" for number in range(symbols)])
    prices = {"open": opened, "high": high, "low": low, "close": close, "volume": volume}
    return pl.DataFrame(
        {
            "symbol": names.gather(np.repeat(np.arange(symbols), sessions)),
            "session": pl.Series(days * symbols, dtype=pl.Date),
            **{name: values.ravel() for name, values in prices.items()},
            "sector": pl.Series([f"sector {number % 11}" for number in range(symbols)]).gather(
                np.repeat(np.arange(symbols), sessions)
            ),
        }
    )
