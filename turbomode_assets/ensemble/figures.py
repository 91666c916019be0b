"""The figures of one forecast and of its daily results, as plain JSON values."""

import math
from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.judging import CscvConfig
from turbomode_assets.contracts.columns import DECISION_SESSION, LABEL, SESSION
from turbomode_assets.models import Probabilities
from turbomode_assets.validation import (
    brier_score,
    classification_report,
    deflated_sharpe_ratio,
    expected_calibration_error,
    probabilistic_sharpe_ratio,
    probability_of_backtest_overfitting,
    sharpe_moments,
)
from turbomode_assets.validation.metrics import BUY, SELL

SESSIONS_PER_YEAR = 252
Values = NDArray[np.float64]
Figure = float | int | None


def forecast_figures(
    rows: pl.DataFrame, forecast: Probabilities, training_shares: Values
) -> dict[str, Figure]:
    """Score a forecast [rows, 3] of the labels `rows`, and its gains over `training_shares`.

    Formula: accuracy, base_rate, log losses and AUC as `classification_report`; `sessions` counts
    decision sessions. `precision` is the mean of BUY's and SELL's share that came true among the
    rows where that class is the likeliest, 0 for a side never called: it has shown none.
    `precision_gain` is over the mean of both sides' shares among the labels. `recall` is the mean
    of both sides' share that was called.
    Missing: recall and AUC are None where a side has no label.
    """
    labels = rows.get_column(LABEL).cast(pl.Int8).to_numpy()
    report = classification_report(
        forecast,
        labels,
        training_shares=training_shares,
        exit_reasons=rows.get_column("exit_reason").to_numpy().astype(str),
    )
    sides = np.array([SELL, BUY])
    called = forecast.argmax(axis=1)[:, None] == sides
    came_true = labels[:, None] == sides
    right = (called & came_true).sum(axis=0)
    precision = float((right / np.maximum(called.sum(axis=0), 1)).mean())
    occurred = came_true.sum(axis=0)
    return {
        "rows": rows.height,
        "sessions": rows.get_column(DECISION_SESSION).n_unique(),
        "accuracy": report["accuracy"],
        "base_rate": report["base_rate"],
        "accuracy_gain": report["accuracy"] - report["base_rate"],
        "precision": precision,
        "precision_gain": precision - float(occurred.mean() / len(labels)),
        "recall": float((right / occurred).mean()) if occurred.all() else None,
        "log_loss": report["log_loss"],
        "base_log_loss": report["base_log_loss"],
        "log_loss_gain": report["base_log_loss"] - report["log_loss"],
        "brier_score": brier_score(forecast, labels),
        "calibration_error": expected_calibration_error(forecast, labels),
        "auc_buy_vs_sell": report["auc_buy_vs_sell"],
    }


def sharpe_figures(results: Values, trials: Mapping[str, float]) -> dict[str, Figure]:
    """Sharpe ratio of daily results, and how likely luck alone would have given it.

    `trials` maps the digest of every other configuration tried to its per-session Sharpe ratio.
    Formula: `sharpe` is per year, sqrt(252) times `sharpe_per_session`; `deflated_probability` is
    of `deflated_sharpe_ratio` for len(trials) + 1 trials, their variance (ddof 1) over all. With
    no other trial it is `probabilistic_sharpe`, which has 0 as its benchmark.
    Missing: all but the number of trials are None where the results never vary.
    """
    figures: dict[str, Figure] = dict.fromkeys(
        ("sharpe", "sharpe_per_session", "probabilistic_sharpe", "deflated_probability")
    )
    if np.ptp(results) > 0:
        moments = sharpe_moments(results)
        # Sorted: the last digits must not depend on the order in which trials were recorded.
        sharpes = sorted([*trials.values(), moments.sharpe])
        figures = {
            "sharpe": moments.sharpe * math.sqrt(SESSIONS_PER_YEAR),
            "sharpe_per_session": moments.sharpe,
            "probabilistic_sharpe": probabilistic_sharpe_ratio(moments),
            "deflated_probability": deflated_sharpe_ratio(
                moments,
                trials=len(sharpes),
                trial_sharpe_variance=float(np.var(sharpes, ddof=1)) if trials else 0.0,
            ),
        }
    return {**figures, "trials": len(trials) + 1}


def selection_figures(results: pl.DataFrame, config: CscvConfig) -> dict[str, Figure]:
    """Say how selecting by daily results overfits: CSCV over the columns of `results`.

    Missing: None where no column varies, or with fewer than two sessions for each block.
    """
    returns = results.drop(SESSION).to_numpy()
    varies = np.ptp(returns, axis=0).any()
    if not varies or returns.shape[1] < 2 or len(returns) < 2 * config.blocks:
        return {"probability_of_overfitting": None, "probability_of_loss": None}
    found = probability_of_backtest_overfitting(
        returns, blocks=config.blocks, maximum_splits=config.maximum_splits
    )
    return {
        "probability_of_overfitting": found.probability,
        "probability_of_loss": found.probability_of_loss,
    }
