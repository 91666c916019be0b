"""The market regime of each session, from an equal-weighted index of all symbols."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.learning import RegimeLabelingConfig
from turbomode_assets.contracts.columns import CLOSE, SESSION
from turbomode_assets.labels.market_grid import (
    Floats,
    index_returns,
    lay_out,
    trailing_deviation,
    trailing_sum,
)

REGIMES = ("bull", "bear", "sideways", "high_volatility")
_BULL, _BEAR, _SIDEWAYS, _HIGH_VOLATILITY = range(len(REGIMES))


def market_regimes(adjusted: pl.DataFrame, config: RegimeLabelingConfig) -> pl.DataFrame:
    """Regime of every session that has a bar, sorted: session, regime (one of REGIMES, or null).

    `adjusted` has symbol, session and close, forward-adjusted. A session's regime depends on the
    bars up to it, and on those of the windows alone.

    Formula: m(t) = mean of log(close / previous session's close) over the symbols that have both;
    trend = exp(sum of m over `trend_window_sessions`) - 1; volatility = standard deviation (ddof 1)
    of m over `volatility_window_sessions`. It exceeds its quantile where at least that share of
    the volatilities of the last `volatility_history_sessions`, itself among them, lie below it:
    the quantile is one of them, never a value in between, so that ties are ties in any unit.
    Missing: null where the trend or volatility window holds a session in which no symbol has a
    return, and until the history holds `volatility_window_sessions` volatilities (all of a shorter
    history), as many as the returns that one of them is estimated from: a young store need not
    wait for the whole history.

    Raises:
        ContractError: columns are missing, there is no bar, or a symbol has two in a session.
        InputError: a day is missing or no session.
    """
    grid = lay_out(adjusted, (CLOSE,), where="market_regimes")
    moves = index_returns(grid.columns[CLOSE])
    trend = np.expm1(trailing_sum(moves, config.trend_window_sessions))
    volatility = trailing_deviation(moves, config.volatility_window_sessions)
    is_high, is_known = _exceeds_history(volatility, config)
    regime = np.full(len(moves), _SIDEWAYS)
    regime[trend > config.trend_threshold] = _BULL
    regime[trend < -config.trend_threshold] = _BEAR
    regime[is_high] = _HIGH_VOLATILITY
    is_known &= np.isfinite(trend) & np.isfinite(volatility)
    names = pl.Series("regime", REGIMES).gather(regime)
    return pl.DataFrame(
        {
            SESSION: pl.Series(grid.sessions, dtype=pl.Date),
            "regime": names.set(pl.Series(~is_known), None),
        }
    ).filter(pl.Series(grid.is_traded))


def _exceeds_history(
    volatility: Floats, config: RegimeLabelingConfig
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each volatility exceeds its quantile, and whether the history suffices to say so."""
    sessions = config.volatility_history_sessions
    padded = np.concatenate([np.full(sessions - 1, np.nan), volatility])
    history = np.lib.stride_tricks.sliding_window_view(padded, sessions)
    known = np.isfinite(history).sum(axis=1)
    below = (history < volatility[:, None]).sum(axis=1)
    needed = min(config.volatility_window_sessions, sessions)
    return below >= config.high_volatility_quantile * np.maximum(known, 1), known >= needed
