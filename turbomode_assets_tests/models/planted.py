"""A made-up panel whose labels hold a weak linear and a weak non-linear signal."""

import datetime as dt

import numpy as np
import polars as pl

from turbomode_assets.contracts.tables import LABELS
from turbomode_assets.sessions import offset_session, sessions_between

FIRST = dt.date(2015, 1, 5)
HORIZON = 14


def feature_names(count: int) -> list[str]:
    return [f"f{number}" for number in range(count)]


def families(count: int) -> dict[str, str]:
    return {name: "price" if at % 2 else "volume" for at, name in enumerate(feature_names(count))}


def planted_tables(
    *, symbols: int, sessions: int, features: int, strength: float, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tables `features` and `labels`; label i is decided by f0 and by the product f1 f2."""
    random = np.random.default_rng(seed)
    days = sessions_between(FIRST, offset_session(FIRST, sessions - 1))
    values = random.normal(size=(symbols, sessions, features))
    for at in range(1, sessions):
        values[:, at] = 0.8 * values[:, at - 1] + 0.6 * values[:, at]
    signal = (values[..., 0] + values[..., 1] * values[..., 2]) / np.sqrt(2)
    latent = strength * signal + random.normal(size=signal.shape)
    labels = np.where(latent < -0.2, 0, np.where(latent > 0.2, 2, 1))
    values[random.random(values.shape) < 0.01] = np.nan
    keys = {
        "symbol": np.repeat([f"S{number:03d}" for number in range(symbols)], sessions),
        "session": pl.Series(days * symbols, dtype=pl.Date),
    }
    flat = values.reshape(-1, features).astype(np.float32)
    table = pl.DataFrame(keys).hstack(pl.DataFrame(flat, schema=feature_names(features)))
    return table, _label_table(pl.DataFrame(keys), labels.ravel(), days, random)


def _label_table(
    keys: pl.DataFrame, labels: np.ndarray, days: list[dt.date], random: np.random.Generator
) -> pl.DataFrame:
    calendar = days + [offset_session(days[-1], count) for count in range(1, HORIZON + 2)]
    decided = np.tile(np.arange(len(days)), len(labels) // len(days))
    held = np.where(labels == 1, HORIZON, random.integers(0, HORIZON, len(labels)))
    pick = pl.Series(calendar, dtype=pl.Date).gather
    reasons = np.array(["stop_loss", "expiry", "profit_take"])[labels]
    return (
        keys.select(
            "symbol",
            session=pick(decided + 1 + held),
            decision_session="session",
            entry_session=pick(decided + 1),
            exit_session=pick(decided + 1 + held),
            label=pl.Series(labels, dtype=pl.Int8),
            exit_reason=pl.Series(reasons),
            entry_price=pl.lit(100.0),
            exit_price=pl.Series(100.0 + labels - 1.0),
            volatility=pl.lit(0.02),
        )
        .with_columns((pl.col("exit_price") / pl.col("entry_price") - 1).alias("return"))
        .select(LABELS.column_names)
    )
