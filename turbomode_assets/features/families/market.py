"""Gaps, tails, and a symbol against its year, benchmark, universe and sector (6 features)."""

from torch import Tensor

from turbomode_assets.features.conventions import (
    BENCHMARK_PAIRS,
    SECTOR_MEMBERS,
)
from turbomode_assets.features.registry import feature
from turbomode_assets.features.vocabulary.cross_section import percentile_rank, sector_mean
from turbomode_assets.features.vocabulary.elementwise import growth, lagged, log
from turbomode_assets.features.vocabulary.merging import trailing_max
from turbomode_assets.features.vocabulary.rolling import (
    trailing_paired_slope,
    trailing_return,
    trailing_skewness,
)

FAMILY = "market"


def _log_return(close: Tensor) -> Tensor:
    return log(growth(close))


@feature(family=FAMILY, windows=(1,), inputs=("open", "close"), reads_previous=True)
def overnight_gap(open: Tensor, close: Tensor) -> Tensor:
    """Open against the close before.

    Formula: o / c[1] - 1
    Source: common usage.
    Missing: NaN where the bar or the one before it is missing.
    """
    return open / lagged(close, 1) - 1


@feature(family=FAMILY, windows=(60,), inputs=("close",), reads_previous=True)
def return_skew_60(close: Tensor, *, window: int) -> Tensor:
    """Bias-corrected skewness of log returns.

    Formula: sqrt(n (n - 1)) / (n - 2) m3 / m2^1.5 of ln(c / c[1]) over n = 60 bars
    Source: Joanes and Gill (1998), The Statistician 47(1), their G1.
    Missing: NaN where the window or the bar before it holds a missing bar. NaN too where the
        returns' standard deviation is below 2e-5.
    """
    return trailing_skewness(_log_return(close), window)


@feature(family=FAMILY, windows=(252,), inputs=("high", "close"))
def high_252(high: Tensor, close: Tensor, *, window: int) -> Tensor:
    """Distance from the year's high.

    Formula: c / max(h) - 1 over 252 bars
    Source: George and Hwang (2004), Journal of Finance 59(5).
    Missing: NaN where the window holds a missing bar.
    """
    return close / trailing_max(high, window) - 1


@feature(family=FAMILY, windows=(60,), inputs=("close", "benchmark"), reads_previous=True)
def beta_60(close: Tensor, benchmark: Tensor, *, window: int) -> Tensor:
    """Slope of log returns on the benchmark's.

    Formula: cov(r, m) / var(m), r = ln(c / c[1]) and m the same of the benchmark, over those of 60
        bars where m is known
    Source: Sharpe (1964), Journal of Finance 19(3).
    Missing: NaN where the window or the bar before it holds a missing bar, without a benchmark,
        with fewer than 55 pairs, and where the standard deviation of m is below 2e-5.
    """
    return trailing_paired_slope(
        _log_return(close), _log_return(benchmark), window, BENCHMARK_PAIRS
    )


@feature(
    family=FAMILY,
    windows=(20,),
    inputs=("close", "tradeable"),
    reads_previous=True,
    scope="cross_section",
)
def rank_return_20(close: Tensor, tradeable: Tensor, *, window: int) -> Tensor:
    """Percentile rank of the 20-bar return among the session's tradeable symbols.

    Formula: rank of c / c[20] - 1 / count, ties averaged, in (0, 1]
    Source: Jegadeesh and Titman (1993), Journal of Finance 48(1).
    Missing: NaN where the window or the bar before it holds a missing bar, and for the benchmark.
    """
    return percentile_rank(trailing_return(close, window), tradeable)


@feature(
    family=FAMILY,
    windows=(20,),
    inputs=("close", "sector", "tradeable"),
    reads_previous=True,
    scope="cross_section",
)
def sector_return_20(close: Tensor, sector: Tensor, tradeable: Tensor, *, window: int) -> Tensor:
    """20-bar return less the mean of the symbol's sector, itself included.

    Formula: c / c[20] - 1 - mean of the same over the sector as mapped on that session
    Source: Moskowitz and Grinblatt (1999), Journal of Finance 54(4).
    Missing: NaN where the window or the bar before it holds a missing bar, without a sector, with
        fewer than 3 members of known return, and for the benchmark.
    """
    returns = trailing_return(close, window)
    return returns - sector_mean(returns, sector, tradeable, fewest=SECTOR_MEMBERS)
