"""Small tables to draw."""

import datetime as dt
import io

import matplotlib.image
import numpy as np
import polars as pl

from turbomode_assets.sessions import SessionSpan


def bars(first="2022-01-03", last="2024-06-28", symbols=24, vendor="simulated") -> pl.DataFrame:
    sessions = SessionSpan(dt.date.fromisoformat(first), dt.date.fromisoformat(last)).sessions
    rng = np.random.default_rng(5)
    moves = rng.normal(0, 0.015, size=(symbols, len(sessions)))
    closes = 50 * np.exp(moves.cumsum(axis=1)).ravel()
    opens = closes * np.exp(rng.normal(0, 0.01, size=closes.shape))
    return pl.DataFrame(
        {
            "symbol": np.repeat([f"S{i:03d}" for i in range(symbols)], len(sessions)),
            "session": sessions * symbols,
            "open": opens,
            "high": np.maximum(opens, closes) * 1.004,
            "low": np.minimum(opens, closes) * 0.996,
            "close": closes,
            "dollar_volume": rng.lognormal(18, 0.5, size=closes.shape),
            "vendor": vendor,
        }
    )


def labels(first="2022-01-03", last="2024-06-28") -> pl.DataFrame:
    entries = bars(first, last, symbols=10).select("symbol", decision_session="session")
    codes = np.random.default_rng(6).integers(0, 3, size=entries.height)
    return entries.with_columns(label=pl.Series(codes, dtype=pl.Int8))


def drift(first="2024-01-02", last="2024-06-28", features=179, known=True) -> pl.DataFrame:
    sessions = SessionSpan(dt.date.fromisoformat(first), dt.date.fromisoformat(last)).sessions
    psi = np.random.default_rng(7).lognormal(-3, 0.8, size=len(sessions) * features)
    return pl.DataFrame(
        {
            "session": np.repeat(np.asarray(sessions, dtype="datetime64[D]"), features),
            "feature": [f"feature_{i}" for i in range(features)] * len(sessions),
            "subject": "feature",
            **dict.fromkeys(("psi", "kl", "ks"), psi),
            **dict.fromkeys(("psi_maximum", "kl_maximum", "ks_maximum"), 0.1 if known else None),
            "exceeds": psi > 0.25,
            "verdict": np.select([psi > 0.25, psi > 0.1], ["alert", "warn"], "stable"),
        },
        schema_overrides={f"{name}_maximum": pl.Float64 for name in ("psi", "kl", "ks")},
    )


def subject_drift(first="2024-01-02", last="2024-06-28") -> pl.DataFrame:
    """Six columns around their limits, and one that never moved in training and now does."""
    sessions = SessionSpan(dt.date.fromisoformat(first), dt.date.fromisoformat(last)).sessions
    columns = ["p_sell", "p_hold", "p_buy", "label_sell", "label_hold", "label_buy"]
    columns.append("label_return")
    rows = len(sessions) * len(columns)
    psi = np.random.default_rng(8).lognormal(0, 0.4, size=rows)
    return pl.DataFrame(
        {
            "session": np.repeat(np.asarray(sessions, dtype="datetime64[D]"), len(columns)),
            "subject": (["prediction"] * 3 + ["outcome"] * 4) * len(sessions),
            "feature": columns * len(sessions),
            **dict.fromkeys(("psi", "kl", "ks"), psi),
            **dict.fromkeys(
                ("psi_maximum", "kl_maximum", "ks_maximum"), [1.0] * (rows - 1) + [0.0]
            ),
            "verdict": np.select([psi > 1.25, psi > 1], ["alert", "warn"], "stable"),
            "moved": [False, None, True, None, None, None, None] * len(sessions),
        }
    )


def pixels(png: bytes) -> np.ndarray:
    """Red, green and blue of each pixel, [height, width, 3] in 0..1."""
    return matplotlib.image.imread(io.BytesIO(png))[:, :, :3]


def has_red_mark(png: bytes) -> bool:
    """Tell whether the right end of the title line is written in red."""
    picture = pixels(png)
    title_line = picture[:22, int(picture.shape[1] * 0.8) :]
    red, green, blue = np.moveaxis(title_line, -1, 0)
    return bool(((red > 0.7) & (green < 0.5) & (blue < 0.5)).sum() > 40)
