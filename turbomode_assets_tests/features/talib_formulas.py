"""Features that TA-Lib has too, in its terms. Each takes open, high, low, close, volume."""

from collections.abc import Callable

import numpy as np
import talib

Array = np.ndarray


def _bollinger(o: Array, h: Array, lo: Array, c: Array, v: Array) -> Array:
    """Two population standard deviations on either side of the mean."""
    upper, middle, lower = talib.BBANDS(c, 20, 2.0, 2.0, 0)
    return (upper - lower) / middle


TALIB: dict[str, Callable[[Array, Array, Array, Array, Array], Array]] = {
    "rsi_14": lambda o, h, lo, c, v: talib.RSI(c, 14) / 100,
    "macd_hist": lambda o, h, lo, c, v: talib.MACD(c, 12, 26, 9)[2] / c,
    "adx_14": lambda o, h, lo, c, v: talib.ADX(h, lo, c, 14) / 100,
    "di_diff_14": lambda o, h, lo, c, v: (
        (talib.PLUS_DI(h, lo, c, 14) - talib.MINUS_DI(h, lo, c, 14)) / 100
    ),
    "natr_14": lambda o, h, lo, c, v: talib.NATR(h, lo, c, 14) / 100,
    "cci_20": lambda o, h, lo, c, v: talib.CCI(h, lo, c, 20) / 100,
    "mfi_14": lambda o, h, lo, c, v: talib.MFI(h, lo, c, v, 14) / 100,
    "bb_width_20": _bollinger,
    # Slow %D: STOCH smooths %K and then %D, as Lane does.
    "stoch_d_14": lambda o, h, lo, c, v: talib.STOCH(h, lo, c, 14, 3, 0, 3, 0)[1] / 100,
    # TA-Lib's slope and population deviation are of prices: ours are over the close, ddof 1.
    "beta20": lambda o, h, lo, c, v: talib.LINEARREG_SLOPE(c, 20) / c,
    "std20": lambda o, h, lo, c, v: talib.STDDEV(c, 20, 1.0) * np.sqrt(20 / 19) / c,
    "roc20": lambda o, h, lo, c, v: 1 / talib.ROCR(c, 20),
    "ma60": lambda o, h, lo, c, v: talib.SMA(c, 60) / c,
    "max30": lambda o, h, lo, c, v: talib.MAX(h, 30) / c,
    "min30": lambda o, h, lo, c, v: talib.MIN(lo, 30) / c,
}
