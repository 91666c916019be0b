"""The 21 features beyond Alpha158 once more, one value at a time, from the textbooks' recursions.

Slow and simple on purpose; shares nothing with the package. Functions take the bars of one symbol
up to the session, oldest first, and answer NaN where the value is undefined.
"""

import math

import numpy as np
from scipy import stats

Bars = dict[str, np.ndarray]
NAN = float("nan")


def beyond(name: str, bars: Bars) -> float:
    """Value of one feature of a symbol by itself at the last of these bars."""
    function, needed = SYMBOL_FEATURES[name]
    if len(bars["close"]) < needed or np.isnan(bars["close"][-needed:]).any():
        return NAN
    with np.errstate(all="ignore"):
        value = float(function({column: values[-needed:] for column, values in bars.items()}))
    return value if np.isfinite(value) else NAN


def _moves(x: np.ndarray, close: np.ndarray) -> np.ndarray:
    steps = x[1:] - x[:-1]
    return np.where(np.abs(steps) < 1e-6 * close[1:], 0.0, steps)


def _wilder(values: np.ndarray, period: int = 14) -> list[float]:
    """All smoothed values, the first after `period` values."""
    smooth = [float(np.mean(values[:period]))]
    for value in values[period:]:
        smooth.append(smooth[-1] + (value - smooth[-1]) / period)
    return smooth


def _ema(values: np.ndarray, span: int) -> np.ndarray:
    out = [float(values[0])]
    for value in values[1:]:
        out.append(out[-1] + (value - out[-1]) * 2 / (span + 1))
    return np.array(out)


def _rsi(b: Bars) -> float:
    moves = _moves(b["close"], b["close"])
    gain, loss = _wilder(np.maximum(moves, 0))[-1], _wilder(np.maximum(-moves, 0))[-1]
    return gain / (gain + loss) if gain + loss else NAN


def _macd(b: Bars) -> float:
    line = _ema(b["close"], 12) - _ema(b["close"], 26)
    return (line[-1] - _ema(line, 9)[-1]) / b["close"][-1]


def _directional(b: Bars) -> tuple[np.ndarray, np.ndarray]:
    close = b["close"]
    plus, minus = [], []
    for i in range(1, len(close)):
        tie = 1e-6 * close[i]
        up, down = b["high"][i] - b["high"][i - 1], b["low"][i - 1] - b["low"][i]
        plus.append(up if up >= tie and up - down >= tie else 0.0)
        minus.append(down if down >= tie and down - up >= tie else 0.0)
    return np.array(plus), np.array(minus)


def _true_range(b: Bars) -> np.ndarray:
    before = b["close"][:-1]
    return np.array(
        [
            max(h - low, abs(h - c), abs(low - c))
            for h, low, c in zip(b["high"][1:], b["low"][1:], before, strict=True)
        ]
    )


def _adx(b: Bars) -> float:
    plus, minus = (np.array(_wilder(each)) for each in _directional(b))
    return _wilder(np.abs(plus - minus) / (plus + minus))[-1]


def _di_diff(b: Bars) -> float:
    plus, minus = _directional(b)
    return (_wilder(plus)[-1] - _wilder(minus)[-1]) / _wilder(_true_range(b))[-1]


def _typical(b: Bars) -> np.ndarray:
    return (b["high"] + b["low"] + b["close"]) / 3


def _cci(b: Bars) -> float:
    p = _typical(b)
    deviation = np.mean(np.abs(p - np.mean(p)))
    if deviation < 1e-6 * b["close"][-1]:
        return NAN
    return (p[-1] - np.mean(p)) / (0.015 * deviation) / 100


def _mfi(b: Bars) -> float:
    p = _typical(b)
    moves, money = _moves(p, b["close"]), (p * b["volume"])[1:]
    if np.isnan(money).any():
        return NAN
    inflow, outflow = np.sum(money[moves > 0]), np.sum(money[moves < 0])
    return inflow / (inflow + outflow) if inflow + outflow else NAN


def _bollinger(b: Bars) -> float:
    return 4 * np.std(b["close"]) / np.mean(b["close"])


def _stochastic(b: Bars) -> float:
    fast = []
    for end in range(14, 19):
        c = b["close"][end - 1]
        high, low = max(b["high"][end - 14 : end]), min(b["low"][end - 14 : end])
        if high - low < 1e-6 * c:
            return NAN
        fast.append((0.0 if abs(c - low) < 1e-6 * c else c - low) / (high - low))
    slow = [np.mean(fast[i : i + 3]) for i in range(3)]
    return np.mean(slow)


def _parkinson(b: Bars) -> float:
    return math.sqrt(252 * np.mean(np.log(b["high"] / b["low"]) ** 2) / (4 * math.log(2)))


def _garman_klass(b: Bars) -> float:
    ranges, bodies = np.log(b["high"] / b["low"]), np.log(b["close"] / b["open"])
    return np.sqrt(252 * np.mean(0.5 * ranges**2 - (2 * math.log(2) - 1) * bodies**2))


def _rogers_satchell_variance(b: Bars) -> float:
    o, h, low, c = b["open"], b["high"], b["low"], b["close"]
    return np.mean(np.log(h / c) * np.log(h / o) + np.log(low / c) * np.log(low / o))


def _rogers_satchell(b: Bars) -> float:
    return np.sqrt(252 * _rogers_satchell_variance(b))


def _yang_zhang(b: Bars) -> float:
    last = {column: values[1:] for column, values in b.items()}
    overnight = np.var(np.log(last["open"] / b["close"][:-1]), ddof=1)
    body = np.var(np.log(last["close"] / last["open"]), ddof=1)
    k = 0.34 / (1.34 + 21 / 19)
    return np.sqrt(252 * (overnight + k * body + (1 - k) * _rogers_satchell_variance(last)))


def _amihud(b: Bars) -> float:
    c = b["close"]
    return math.log(1 + 1e9 * np.mean(np.abs(c[1:] / c[:-1] - 1) / b["dollar_volume"][1:]))


def _corwin_schultz(b: Bars) -> float:
    spreads = []
    for i in range(1, len(b["close"])):
        h0, l0, c0 = b["high"][i - 1], b["low"][i - 1], b["close"][i - 1]
        h1, l1 = b["high"][i], b["low"][i]
        gap = l1 - c0 if l1 > c0 else h1 - c0 if h1 < c0 else 0.0
        h1, l1 = h1 - gap, l1 - gap
        beta = math.log(h0 / l0) ** 2 + math.log(h1 / l1) ** 2
        gamma = math.log(max(h0, h1) / min(l0, l1)) ** 2
        root = 3 - 2 * math.sqrt(2)
        alpha = (math.sqrt(2 * beta) - math.sqrt(beta)) / root - math.sqrt(gamma / root)
        spreads.append(max(0.0, 2 * (math.exp(alpha) - 1) / (1 + math.exp(alpha))))
    return np.mean(spreads)


def _gap(b: Bars) -> float:
    return b["open"][-1] / b["close"][-2] - 1


def _skew(b: Bars) -> float:
    returns = np.diff(np.log(b["close"]))
    return stats.skew(returns, bias=False) if np.std(returns, ddof=1) >= 2e-5 else NAN


def _high(b: Bars) -> float:
    return b["close"][-1] / max(b["high"]) - 1


def _beta(b: Bars) -> float:
    returns, market = np.diff(np.log(b["close"])), np.diff(np.log(b["benchmark"]))
    known = np.isfinite(market)
    if known.sum() < 55 or np.std(market[known], ddof=1) < 2e-5:
        return NAN
    return stats.linregress(market[known], returns[known]).slope


SYMBOL_FEATURES = {
    "rsi_14": (_rsi, 250),
    "macd_hist": (_macd, 250),
    "adx_14": (_adx, 250),
    "di_diff_14": (_di_diff, 250),
    "natr_14": (lambda b: _wilder(_true_range(b))[-1] / b["close"][-1], 250),
    "cci_20": (_cci, 20),
    "mfi_14": (_mfi, 15),
    "bb_width_20": (_bollinger, 20),
    "stoch_d_14": (_stochastic, 18),
    "parkinson_20": (_parkinson, 20),
    "garman_klass_20": (_garman_klass, 20),
    "rogers_satchell_20": (_rogers_satchell, 20),
    "yang_zhang_20": (_yang_zhang, 21),
    "amihud_20": (_amihud, 21),
    "corwin_schultz_20": (_corwin_schultz, 21),
    "overnight_gap": (_gap, 2),
    "return_skew_60": (_skew, 61),
    "high_252": (_high, 252),
    "beta_60": (_beta, 61),
}


def returns_of_session(close: np.ndarray, end: int) -> np.ndarray:
    """20-bar return of every symbol at session `end`, from closes [symbols, sessions]."""
    if end < 20:
        return np.full(len(close), NAN)
    window = close[:, end - 20 : end + 1]
    plain = window[:, -1] - window[:, 0]
    returns = np.where(np.abs(plain) < 1e-6 * window[:, -1], 0.0, plain) / window[:, 0]
    return np.where(np.isnan(window).any(axis=1), NAN, returns)


def rank_return(returns: np.ndarray) -> np.ndarray:
    """Percentile ranks of one session."""
    ranks = np.full(len(returns), NAN)
    known = np.isfinite(returns)
    ranks[known] = stats.rankdata(np.round(returns[known], 9)) / max(known.sum(), 1)
    return ranks


def sector_return(returns: np.ndarray, sectors: list[str | None]) -> np.ndarray:
    """Returns of one session less the means of their sectors."""
    out = np.full(len(returns), NAN)
    for i, sector in enumerate(sectors):
        peers = [r for r, s in zip(returns, sectors, strict=True) if s == sector and np.isfinite(r)]
        if sector is not None and np.isfinite(returns[i]) and len(peers) >= 3:
            out[i] = returns[i] - np.mean(peers)
    return out
