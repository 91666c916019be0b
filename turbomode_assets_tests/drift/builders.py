"""Feature panels over real sessions."""

import datetime as dt

import numpy as np
import polars as pl

from turbomode_assets.config.training import DriftConfig
from turbomode_assets.sessions import SessionSpan

CONFIG = DriftConfig(
    bins=4, window_sessions=5, warn_psi=0.1, alert_psi=0.25, limit_factor=1.25, alarm_share=0.05
)


def column(values, name="x") -> pl.DataFrame:
    """Training rows of a single feature."""
    return pl.DataFrame({name: values}, schema={name: pl.Float64})


def window(values, session=dt.date(2024, 3, 4), name="x") -> pl.DataFrame:
    """One symbol for each value, all in one session."""
    return column(values, name).select(
        pl.Series("symbol", [f"S{i:04d}" for i in range(len(values))]),
        pl.lit(session).alias("session"),
        name,
    )


def panel(first, last, symbols=6, seed=1) -> pl.DataFrame:
    """Four features of different kinds: continuous, constant, zero-inflated, half missing."""
    sessions = SessionSpan(dt.date.fromisoformat(first), dt.date.fromisoformat(last)).sessions
    rng = np.random.default_rng(seed)
    rows = len(sessions) * symbols
    noise = rng.normal(size=rows).astype(np.float32)
    counts = rng.poisson(0.4, size=rows).astype(np.float32)
    gappy = np.where(rng.random(rows) < 0.5, np.nan, noise).astype(np.float32)
    return pl.DataFrame(
        {
            "symbol": np.repeat([f"S{i}" for i in range(symbols)], len(sessions)),
            "session": sessions * symbols,
            "noise": noise,
            "constant": np.ones(rows, dtype=np.float32),
            "counts": counts,
            "gappy": gappy,
        }
    )


FEATURES = ["noise", "constant", "counts", "gappy"]
