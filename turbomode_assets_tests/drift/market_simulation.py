"""A stationary market of prices: real labels of it, and what a small stacked model says of it."""

import datetime as dt
import json

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import lfilter
from sklearn.linear_model import LogisticRegression

from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.drift.subjects import PREDICTION_COLUMNS
from turbomode_assets.ensemble.calibration import Calibrator
from turbomode_assets.ensemble.meta_learner import MetaLearner
from turbomode_assets.labels import triple_barrier
from turbomode_assets.sessions import SessionSpan, offset_session, sessions_between
from turbomode_assets_tests.builders import REPOSITORY

FIRST = dt.date(2015, 1, 2)
BURN_IN, REFERENCE_SESSIONS, LATER_SESSIONS = 300, 756, 252
STEPS_A_DAY = 6
DAILY_VOLATILITY = 0.015
FOLDS, FOLD_SESSIONS, PURGED = 3, 84, 20
WAIT = 15
"""Sessions from a decision to its vertical barrier, as shipped."""


def shipped_rules() -> TrainingConfig:
    text = (REPOSITORY / "configs" / "turbomode_training_config.json").read_text(encoding="utf-8")
    content = json.loads(text)
    content.pop("$schema")
    return TrainingConfig.model_validate(content)


def later_span() -> SessionSpan:
    first = offset_session(FIRST, REFERENCE_SESSIONS)
    return SessionSpan(first, offset_session(first, LATER_SESSIONS - 1))


def market_sessions() -> list[dt.date]:
    return sessions_between(offset_session(FIRST, -BURN_IN), later_span().last)


def stationary_prices(seed, symbols=20, *, later_drift=0.0):
    """Open, high, low and close [sessions, symbols] of random walks that share half their variance.

    Log volatility wanders by 0.5 (persistence 0.97), half of it the market's. `later_drift` is
    added to every log return of the last year.
    """
    rng = np.random.default_rng(seed)
    length = len(market_sessions())

    def shared(rows):
        own = rng.normal(size=(rows, symbols))
        return (rng.normal(size=(rows, 1)) + own) / np.sqrt(2)

    log_volatility = lfilter([np.sqrt(1 - 0.97**2)], [1, -0.97], shared(length), axis=0)
    volatility = DAILY_VOLATILITY * np.exp(0.5 * log_volatility)
    steps = shared(length * STEPS_A_DAY).reshape(length, STEPS_A_DAY, symbols)
    steps *= volatility[:, None] / np.sqrt(STEPS_A_DAY)
    steps[-LATER_SESSIONS:] += later_drift / STEPS_A_DAY
    path = 100 * np.exp(steps.reshape(-1, symbols).cumsum(axis=0)).reshape(steps.shape)
    return path[:, 0], path.max(axis=1), path.min(axis=1), path[:, -1]


def labels_of(prices) -> pl.DataFrame:
    """What the label function makes of them, from the first session of the reference on."""
    sessions, symbols = market_sessions(), prices[0].shape[1]
    bars = pl.DataFrame(
        {
            "symbol": [f"S{number:02d}" for number in range(symbols)] * len(sessions),
            "session": np.repeat(np.asarray(sessions, "datetime64[D]"), symbols),
            **dict(
                zip(
                    ("open", "high", "low", "close"), (each.ravel() for each in prices), strict=True
                )
            ),
        }
    )
    known = SessionSpan(FIRST, later_span().last)
    labels = triple_barrier(bars, shipped_rules().triple_barrier, known_in=known)
    return labels.filter(pl.col("decision_session") >= FIRST)


def learned_labels(labels) -> pl.DataFrame:
    """Those known, and expired, at the end of the reference."""
    last = offset_session(FIRST, REFERENCE_SESSIONS - 1 - WAIT)
    return labels.filter(pl.col("decision_session") <= last)


def _features(close):
    """Volatility, scaled trend, and the market's own of both, over 5, 20 and 60 sessions."""
    returns = np.diff(np.log(close), axis=0, prepend=np.full_like(close[:1], np.nan))

    def rolling(window, measure):
        found = np.full_like(returns, np.nan)
        found[window:] = measure(sliding_window_view(returns[1:], window, axis=0), axis=-1)
        return found

    columns = []
    for window in (5, 20, 60):
        volatility, trend = rolling(window, np.std), rolling(window, np.sum)
        columns += [volatility, trend / (volatility * np.sqrt(window))]
        for each in (volatility, trend):
            columns.append(np.broadcast_to(each.mean(axis=1, keepdims=True), each.shape))
    return np.stack([*columns, columns[0] / columns[8], returns / columns[4]], axis=-1)


def _base_models(features, labels):
    """Fit a small boosted forest and a logistic regression; gives [rows, models, classes]."""
    centre, spread = features.mean(axis=0), features.std(axis=0)
    settings = {"objective": "multiclass", "num_class": 3, "num_leaves": 15, "verbosity": -1}
    settings |= {"learning_rate": 0.05, "min_data_in_leaf": 100, "num_threads": 1, "seed": 0}
    forest = lgb.train(settings, lgb.Dataset(features, labels), 60)
    logistic = LogisticRegression(max_iter=200).fit((features - centre) / spread, labels)
    return lambda rows: np.stack(
        [forest.predict(rows), logistic.predict_proba((rows - centre) / spread)], axis=1
    )


def forecasts_of(prices, labels) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Out-of-fold forecasts of the last folds before the champion, and what it says from then on.

    Both through the same final meta-learner and calibrator, as `settled_forecast` gives them.
    """
    rules, features = shipped_rules().ensemble_config, _features(prices[3])
    place = {session: number for number, session in enumerate(market_sessions())}
    known = learned_labels(labels).sort("decision_session", "symbol")
    row = known["decision_session"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
    column = known["symbol"].str.slice(1).cast(pl.Int64).to_numpy()
    learned, classes = features[row, column], known["label"].to_numpy()
    base = np.full((len(classes), 2, 3), np.nan)
    for fold in range(FOLDS, 0, -1):
        first = row.max() + 1 - fold * FOLD_SESSIONS
        before, tested = row < first - PURGED, (row >= first) & (row < first + FOLD_SESSIONS)
        base[tested] = _base_models(learned[before], classes[before])(learned[tested])
    judged = ~np.isnan(base[:, 0, 0])
    meta = MetaLearner.fit(base[judged], classes[judged], rules.meta_learner)
    raw = meta.predict_proba(base[judged])
    calibrator = Calibrator.fit(raw, classes[judged], rules.calibration)
    final, since = _base_models(learned, classes), BURN_IN + REFERENCE_SESSIONS - 20
    said = meta.predict_proba(final(features[since:].reshape(-1, features.shape[-1])))
    days = np.asarray(market_sessions(), "datetime64[D]")

    def frame(sessions, probabilities):
        return pl.DataFrame(probabilities, schema=list(PREDICTION_COLUMNS)).with_columns(
            pl.Series("session", sessions)
        )

    return (
        frame(days[row[judged]], calibrator.apply(raw)),
        frame(np.repeat(days[since:], prices[0].shape[1]), calibrator.apply(said)),
    )
