"""Alpha158 as one would write it in pandas at first: the second rival of the benchmark."""

import numpy as np
import pandas as pd

WINDOWS = (5, 10, 20, 30, 60)
E = 1e-12


def alpha158_in_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return all 158 features, symbol by symbol with `rolling`."""
    return bars.groupby("symbol", sort=False, group_keys=False)[bars.columns.tolist()].apply(_one)


def _one(bars: pd.DataFrame) -> pd.DataFrame:
    o, h, low, c, v = (bars[name] for name in ("open", "high", "low", "close", "volume"))
    top, bottom, whole = np.maximum(o, c), np.minimum(o, c), h - low + E
    out = {
        "kmid": (c - o) / o,
        "klen": (h - low) / o,
        "kmid2": (c - o) / whole,
        "kup": (h - top) / o,
        "kup2": (h - top) / whole,
        "klow": (bottom - low) / o,
        "klow2": (bottom - low) / whole,
        "ksft": (2 * c - h - low) / o,
        "ksft2": (2 * c - h - low) / whole,
        "open0": o / c,
        "high0": h / c,
        "low0": low / c,
        "vwap0": (h + low + c) / 3 / c,
    }
    for d in WINDOWS:
        out |= _prices(h, low, c, d) | _flow(c, v, d)
    return pd.DataFrame(out).astype("float32")


def _prices(h: pd.Series, low: pd.Series, c: pd.Series, d: int) -> dict[str, pd.Series]:
    window, position = c.rolling(d), np.arange(1.0, d + 1)
    slope = window.apply(lambda x: np.polyfit(position, x, 1)[0], raw=True)
    line = window.mean() + slope * (d - 1) / 2
    highest, lowest = h.rolling(d).max(), low.rolling(d).min()
    argmax = h.rolling(d).apply(lambda x: np.argmax(x) + 1, raw=True)
    argmin = low.rolling(d).apply(lambda x: np.argmin(x) + 1, raw=True)
    return {
        f"roc{d}": c.shift(d) / c,
        f"ma{d}": window.mean() / c,
        f"std{d}": window.std() / c,
        f"beta{d}": slope / c,
        f"rsqr{d}": window.apply(lambda x: np.corrcoef(position, x)[0, 1] ** 2, raw=True),
        f"resi{d}": (c - line) / c,
        f"max{d}": highest / c,
        f"min{d}": lowest / c,
        f"qtlu{d}": window.quantile(0.8) / c,
        f"qtld{d}": window.quantile(0.2) / c,
        f"rank{d}": window.rank(pct=True),
        f"rsv{d}": (c - lowest) / (highest - lowest + E),
        f"imax{d}": argmax / d,
        f"imin{d}": argmin / d,
        f"imxd{d}": (argmax - argmin) / d,
    }


def _flow(c: pd.Series, v: pd.Series, d: int) -> dict[str, pd.Series]:
    moves, volume_moves = c.diff(), v.diff()
    weighted = (c / c.shift() - 1).abs() * v
    growth, volume_growth = c / c.shift(), np.log(v / v.shift() + 1)

    def share(part: pd.Series, of: pd.Series) -> pd.Series:
        return part.rolling(d).sum() / (of.abs().rolling(d).sum() + E)

    rise, fall = (moves > 0).rolling(d).mean(), (moves < 0).rolling(d).mean()
    up, down = share(moves.clip(lower=0), moves), share((-moves).clip(lower=0), moves)
    more = share(volume_moves.clip(lower=0), volume_moves)
    less = share((-volume_moves).clip(lower=0), volume_moves)
    return {
        f"corr{d}": c.rolling(d).corr(np.log(v + 1)),
        f"cord{d}": growth.rolling(d).corr(volume_growth),
        f"cntp{d}": rise,
        f"cntn{d}": fall,
        f"cntd{d}": rise - fall,
        f"sump{d}": up,
        f"sumn{d}": down,
        f"sumd{d}": up - down,
        f"vma{d}": v.rolling(d).mean() / (v + E),
        f"vstd{d}": v.rolling(d).std() / (v + E),
        f"wvma{d}": weighted.rolling(d).std() / (weighted.rolling(d).mean() + E),
        f"vsump{d}": more,
        f"vsumn{d}": less,
        f"vsumd{d}": more - less,
    }
