"""A stationary market whose features move as slowly, and cluster as much, as real ones do."""

import datetime as dt

import numpy as np
import polars as pl
from scipy.signal import lfilter

from turbomode_assets.config.training import DriftConfig
from turbomode_assets.drift import drift_by_session, drift_verdicts, freeze_reference
from turbomode_assets.sessions import SessionSpan, offset_session

FEATURES = [f"f{i:02d}" for i in range(40)]
PERSISTENCE = (0.0, 0.5, 0.8, 0.9, 0.95)
"""First-order autocorrelation of a feature from session to session, in turn."""
VOLATILITY_PERSISTENCE = 0.97
TENTH = ["f00", "f11", "f22", "f34"]
"""One feature in ten: of persistence 0, 0.5, 0.8 and 0.95, the second a level of volatility."""
FIRST = dt.date(2015, 1, 2)
REFERENCE_SESSIONS, LATER_SESSIONS = 756, 252
BURN_IN = 500


def _autoregression(shocks, persistence):
    """Unit variance for independent unit shocks: x[t] = p x[t-1] + sqrt(1 - p^2) shock[t]."""
    return lfilter([np.sqrt(1 - persistence**2)], [1, -persistence], shocks, axis=0)


def stationary_market(seed, symbols=12, later_volatility=1.0) -> pl.DataFrame:
    """Four years of features; 30 are autoregressions of shocks, 10 are levels of volatility.

    With `later_volatility` the shocks of the last year are that many times as large.

    Half of a shock's variance is the market's, and so is half of its log volatility's (standard
    deviation 0.5 in all, so that calm and wild months differ by a factor of three and more).
    """
    rng = np.random.default_rng(seed)
    length = BURN_IN + REFERENCE_SESSIONS + LATER_SESSIONS
    sessions = [offset_session(FIRST, i) for i in range(length - BURN_IN)]

    def shared(count):
        own = rng.normal(size=(length, symbols, count))
        return (rng.normal(size=(length, 1, 1)) + own) / np.sqrt(2)

    log_volatility = 0.5 * _autoregression(shared(1), VOLATILITY_PERSISTENCE)
    log_volatility[BURN_IN + REFERENCE_SESSIONS :] += np.log(later_volatility)
    frame = {
        "symbol": [f"S{i:02d}" for i in range(symbols)] * len(sessions),
        "session": np.repeat(np.asarray(sessions, "datetime64[D]"), symbols),
    }
    for number, name in enumerate(FEATURES):
        shocks = np.exp(log_volatility[..., 0]) * shared(1)[..., 0]
        driver = np.abs(shocks) - 0.8 if number % 4 == 3 else shocks
        values = _autoregression(driver, PERSISTENCE[number % len(PERSISTENCE)])
        frame[name] = values[BURN_IN:].astype(np.float32).ravel()
    return pl.DataFrame(frame)


def later_span() -> SessionSpan:
    first = offset_session(FIRST, REFERENCE_SESSIONS)
    return SessionSpan(first, offset_session(first, LATER_SESSIONS - 1))


def frozen_at_the_end_of_the_reference(market, config: DriftConfig):
    training = market.filter(pl.col("session") < later_span().first)
    return freeze_reference(training, FEATURES, config, sessions=training["session"])


def weekly_verdicts(market, config: DriftConfig, reference=None) -> pl.DataFrame:
    """Verdict on every fifth session of the later year."""
    reference = reference or frozen_at_the_end_of_the_reference(market, config)
    drift = drift_by_session(reference, market, later_span(), config)
    return drift_verdicts(drift, config).gather_every(5)


def shifted(market, deviations, *, features, since) -> pl.DataFrame:
    """Raise features by so many of their standard deviations from a session on."""
    later = pl.col("session") >= since
    return market.with_columns(
        pl.col(name) + pl.when(later).then(deviations * pl.col(name).std()).otherwise(0.0)
        for name in features
    )


def with_missing(market, share, *, features, since) -> pl.DataFrame:
    """Take that share of the values of features away from a session on."""
    lost = np.random.default_rng(0).random(market.height) < share
    gone = pl.Series(lost) & (market["session"] >= since)
    return market.with_columns(pl.when(~gone).then(pl.col(name)).alias(name) for name in features)
