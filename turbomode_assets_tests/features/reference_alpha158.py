"""Alpha158 once more: one value at a time, in plain numpy and scipy, straight from the list.

Slow and simple on purpose; shares nothing with the package. Every function takes the bars of one
symbol up to the session, oldest first, and answers NaN where the value is undefined.
"""

import re
from collections.abc import Callable

import numpy as np
from scipy import stats

Bars = dict[str, np.ndarray]
NAN = float("nan")


def alpha158(name: str, bars: Bars) -> float:
    """Value of one feature at the last of these bars."""
    if name in ONE_BAR:
        last = {column: float(values[-1]) for column, values in bars.items()}
        return ONE_BAR[name](**{k: last[k] for k in ("open", "high", "low", "close")})
    function, digits = re.fullmatch(r"([a-z]+)(\d+)", name).groups()
    d = int(digits)
    needed = d + (function in READS_PREVIOUS)
    if len(bars["close"]) < needed or np.isnan(bars["close"][-needed:]).any():
        return NAN
    with np.errstate(all="ignore"):
        value = float(ROLLING[function](bars, d))
    return value if np.isfinite(value) else NAN


def _k(formula: Callable[[float, float, float, float], float]) -> Callable[..., float]:
    return lambda open, high, low, close: formula(open, high, low, close)


E = 1e-12
ONE_BAR = {
    "kmid": _k(lambda o, h, w, c: (c - o) / o),
    "klen": _k(lambda o, h, w, c: (h - w) / o),
    "kmid2": _k(lambda o, h, w, c: (c - o) / (h - w + E)),
    "kup": _k(lambda o, h, w, c: (h - max(o, c)) / o),
    "kup2": _k(lambda o, h, w, c: (h - max(o, c)) / (h - w + E)),
    "klow": _k(lambda o, h, w, c: (min(o, c) - w) / o),
    "klow2": _k(lambda o, h, w, c: (min(o, c) - w) / (h - w + E)),
    "ksft": _k(lambda o, h, w, c: (2 * c - h - w) / o),
    "ksft2": _k(lambda o, h, w, c: (2 * c - h - w) / (h - w + E)),
    "open0": _k(lambda o, h, w, c: o / c),
    "high0": _k(lambda o, h, w, c: h / c),
    "low0": _k(lambda o, h, w, c: w / c),
    "vwap0": _k(lambda o, h, w, c: (h + w + c) / 3 / c),
}
READS_PREVIOUS = {
    *("roc", "cord", "cntp", "cntn", "cntd", "sump", "sumn", "sumd"),
    *("wvma", "vsump", "vsumn", "vsumd"),
}


def _line(c: np.ndarray) -> tuple[float, float]:
    slope, intercept = np.polyfit(np.arange(1.0, len(c) + 1), c, 1)
    return slope, intercept


def _rsquare(c: np.ndarray) -> float:
    if np.std(c, ddof=1) < 2e-5 * np.mean(c):
        return NAN
    return np.corrcoef(np.arange(len(c)), c)[0, 1] ** 2


def _rank(c: np.ndarray) -> float:
    equal = np.abs(c - c[-1]) < 1e-6 * c[-1]
    below = np.sum((c < c[-1]) & ~equal)
    return (below + (np.sum(equal) + 1) / 2) / len(c)


def _first_high(h: np.ndarray, close: float) -> int:
    return 1 + next(i for i, x in enumerate(h) if max(h) - x < 1e-6 * close)


def _first_low(low: np.ndarray, close: float) -> int:
    return 1 + next(i for i, x in enumerate(low) if x - min(low) < 1e-6 * close)


def _moves(c: np.ndarray) -> np.ndarray:
    steps = c[1:] - c[:-1]
    return np.where(np.abs(steps) < 1e-6 * c[1:], 0.0, steps)


def _correlation(x: np.ndarray, y: np.ndarray, scale: float) -> float:
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return NAN
    if np.std(x, ddof=1) < 2e-5 * scale or np.std(y, ddof=1) < 2e-5:
        return NAN
    return stats.pearsonr(x, y).statistic


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    return np.sum(part) / (np.sum(np.abs(whole)) + E)


def _weighted(b: Bars, d: int) -> np.ndarray:
    c, v = b["close"][-d - 1 :], b["volume"][-d:]
    return np.abs(c[1:] / c[:-1] - 1) * v


def _rsv(b: Bars, d: int) -> float:
    c, high, low = b["close"][-1], max(b["high"][-d:]), min(b["low"][-d:])
    above = 0.0 if abs(c - low) < 1e-6 * c else c - low
    whole = 0.0 if abs(high - low) < 1e-6 * c else high - low
    return above / (whole + E)


def _per_volume(value: float, b: Bars) -> float:
    return NAN if b["volume"][-1] == 0 else value / (b["volume"][-1] + E)


def _c(b: Bars, d: int) -> np.ndarray:
    return b["close"][-d:]


def _residual(c: np.ndarray) -> float:
    slope, intercept = _line(c)
    return (c[-1] - (slope * len(c) + intercept)) / c[-1]


def _cord(b: Bars, d: int) -> float:
    c, v = b["close"][-d - 1 :], b["volume"][-d - 1 :]
    return _correlation(c[1:] / c[:-1], np.log(v[1:] / v[:-1] + 1), 1.0)


def _price_moves(b: Bars, d: int) -> np.ndarray:
    return _moves(b["close"][-d - 1 :])


def _volume_moves(b: Bars, d: int) -> np.ndarray:
    return np.diff(b["volume"][-d - 1 :])


def _imax(b: Bars, d: int) -> int:
    return _first_high(b["high"][-d:], b["close"][-1])


def _imin(b: Bars, d: int) -> int:
    return _first_low(b["low"][-d:], b["close"][-1])


ROLLING: dict[str, Callable[[Bars, int], float]] = {
    "roc": lambda b, d: b["close"][-d - 1] / b["close"][-1],
    "ma": lambda b, d: np.mean(_c(b, d)) / b["close"][-1],
    "std": lambda b, d: np.std(_c(b, d), ddof=1) / b["close"][-1],
    "beta": lambda b, d: _line(_c(b, d))[0] / b["close"][-1],
    "rsqr": lambda b, d: _rsquare(_c(b, d)),
    "resi": lambda b, d: _residual(_c(b, d)),
    "max": lambda b, d: np.max(b["high"][-d:]) / b["close"][-1],
    "min": lambda b, d: np.min(b["low"][-d:]) / b["close"][-1],
    "qtlu": lambda b, d: np.quantile(_c(b, d), 0.8) / b["close"][-1],
    "qtld": lambda b, d: np.quantile(_c(b, d), 0.2) / b["close"][-1],
    "rank": lambda b, d: _rank(_c(b, d)),
    "rsv": _rsv,
    "imax": lambda b, d: _imax(b, d) / d,
    "imin": lambda b, d: _imin(b, d) / d,
    "imxd": lambda b, d: (_imax(b, d) - _imin(b, d)) / d,
    "corr": lambda b, d: _correlation(_c(b, d), np.log(b["volume"][-d:] + 1), np.mean(_c(b, d))),
    "cord": _cord,
    "cntp": lambda b, d: np.mean(_price_moves(b, d) > 0),
    "cntn": lambda b, d: np.mean(_price_moves(b, d) < 0),
    "cntd": lambda b, d: np.mean(np.sign(_price_moves(b, d))),
    "sump": lambda b, d: _share(np.maximum(_price_moves(b, d), 0), _price_moves(b, d)),
    "sumn": lambda b, d: _share(np.maximum(-_price_moves(b, d), 0), _price_moves(b, d)),
    "sumd": lambda b, d: _share(_price_moves(b, d), _price_moves(b, d)),
    "vma": lambda b, d: _per_volume(np.mean(b["volume"][-d:]), b),
    "vstd": lambda b, d: _per_volume(np.std(b["volume"][-d:], ddof=1), b),
    "wvma": lambda b, d: np.std(_weighted(b, d), ddof=1) / (np.mean(_weighted(b, d)) + E),
    "vsump": lambda b, d: _share(np.maximum(_volume_moves(b, d), 0), _volume_moves(b, d)),
    "vsumn": lambda b, d: _share(np.maximum(-_volume_moves(b, d), 0), _volume_moves(b, d)),
    "vsumd": lambda b, d: _share(_volume_moves(b, d), _volume_moves(b, d)),
}
