"""Volatilities from the range of the bars, annualised (4 features)."""

import math

from torch import Tensor

from turbomode_assets.features.conventions import SESSIONS_PER_YEAR
from turbomode_assets.features.registry import feature
from turbomode_assets.features.vocabulary.elementwise import lagged, log
from turbomode_assets.features.vocabulary.merging import trailing_codeviation, trailing_mean

FAMILY = "range_volatility"


def _log_ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    return log(numerator) - log(denominator)


def _rogers_satchell_variance(open: Tensor, high: Tensor, low: Tensor, close: Tensor) -> Tensor:
    upper = _log_ratio(high, close) * _log_ratio(high, open)
    return upper + _log_ratio(low, close) * _log_ratio(low, open)


@feature(family=FAMILY, windows=(20,), inputs=("high", "low"))
def parkinson_20(high: Tensor, low: Tensor, *, window: int) -> Tensor:
    """Annualised Parkinson range volatility.

    Formula: sqrt(252 mean(ln(h / l)^2) / (4 ln 2)) over 20 bars
    Source: Parkinson (1980), Journal of Business 53(1); annualisation is ours.
    Missing: NaN where the window holds a missing bar.
    """
    scale = SESSIONS_PER_YEAR / (4 * math.log(2))
    return (scale * trailing_mean(_log_ratio(high, low).square(), window)).sqrt()


@feature(family=FAMILY, windows=(20,), inputs=("open", "high", "low", "close"))
def garman_klass_20(
    open: Tensor, high: Tensor, low: Tensor, close: Tensor, *, window: int
) -> Tensor:
    """Annualised Garman-Klass volatility.

    Formula: sqrt(252 mean(ln(h / l)^2 / 2 - (2 ln 2 - 1) ln(c / o)^2)) over 20 bars
    Source: Garman and Klass (1980), Journal of Business 53(1); annualisation is ours.
    Missing: NaN where the window holds a missing bar, or bars outside their range make the mean
        negative.
    """
    body = (2 * math.log(2) - 1) * _log_ratio(close, open).square()
    variance = trailing_mean(_log_ratio(high, low).square() / 2 - body, window)
    return (SESSIONS_PER_YEAR * variance).sqrt()


@feature(family=FAMILY, windows=(20,), inputs=("open", "high", "low", "close"))
def rogers_satchell_20(
    open: Tensor, high: Tensor, low: Tensor, close: Tensor, *, window: int
) -> Tensor:
    """Annualised Rogers-Satchell volatility, which a drift does not bias.

    Formula: sqrt(252 mean(ln(h / c) ln(h / o) + ln(l / c) ln(l / o))) over 20 bars
    Source: Rogers and Satchell (1991), Annals of Applied Probability 1(4); annualisation is ours.
    Missing: NaN where the window holds a missing bar, or bars outside their range make the mean
        negative.
    """
    variance = trailing_mean(_rogers_satchell_variance(open, high, low, close), window)
    return (SESSIONS_PER_YEAR * variance).sqrt()


@feature(family=FAMILY, windows=(20,), inputs=("open", "high", "low", "close"), reads_previous=True)
def yang_zhang_20(open: Tensor, high: Tensor, low: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Annualised Yang-Zhang volatility, which holds the overnight jump too.

    Formula: sqrt(252 (var(ln(o / c[1])) + k var(ln(c / o)) + (1 - k) rs)) over 20 bars, ddof 1,
        rs the Rogers-Satchell variance, k = 0.34 / (1.34 + 21 / 19)
    Source: Yang and Zhang (2000), Journal of Business 73(3); annualisation is ours.
    Missing: NaN where the window or the bar before it holds a missing bar, or bars outside their
        range make the sum negative.
    """
    weight = 0.34 / (1.34 + (window + 1) / (window - 1))
    overnight = _log_ratio(open, lagged(close, 1))
    body = _log_ratio(close, open)
    range_variance = trailing_mean(_rogers_satchell_variance(open, high, low, close), window)
    variance = (
        trailing_codeviation(overnight, overnight, window) / (window - 1)
        + weight * trailing_codeviation(body, body, window) / (window - 1)
        + (1 - weight) * range_variance
    )
    return (SESSIONS_PER_YEAR * variance).sqrt()
