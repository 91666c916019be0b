"""How a trained ensemble is judged on rows that nothing in it has learned from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.judging import SectorSymbolTrackingConfig, ValidationStrategyConfig
from turbomode_assets.contracts.columns import (
    CLASSES,
    CLOSE,
    DECISION_SESSION,
    LABEL,
    SECTOR,
    SESSION,
    SYMBOL,
)
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.contracts.tables import LABELS
from turbomode_assets.ensemble.figures import (
    Figure,
    forecast_figures,
    selection_figures,
    sharpe_figures,
)
from turbomode_assets.models import Labels, Probabilities
from turbomode_assets.validation import (
    PairedImprovement,
    class_shares,
    classification_report,
    daily_results_of,
    grouped_metrics,
    paired_improvement,
    reliability_curve,
    row_log_losses,
    session_demeaned_returns,
)
from turbomode_assets.validation.groups import FORECAST
from turbomode_assets.validation.inputs import require_forecast
from turbomode_assets.validation.metrics import BUY, HOLD, SELL, log_loss

ENSEMBLE = "ensemble"
"""Name of the stacked forecast beside those of the base models."""

Values = NDArray[np.float64]

_WHERE = "evaluate"
_REGIME, _EXIT_REASON = "regime", "exit_reason"
_SHARES = [f"training_share_{name.lower()}" for name in CLASSES]
_READ = (SYMBOL, DECISION_SESSION, "entry_session", "exit_session", LABEL, _EXIT_REASON)
_NO_POSITION = 1e-12


@dataclass(frozen=True)
class Evaluation:
    """What is known of an ensemble before its signals go out; `figures` are plain JSON values.

    `regimes`, `sectors` and `symbols` are of `grouped_metrics`, for the ensemble. Their `rows`
    counts the bars of the symbols judged on the sessions judged, so that `coverage` is the share
    of them from which a forecast could be made and judged. `ablation` has a row for each base
    model: model, log_loss (its own), log_loss_without (of a stack without it), gain
    (log_loss_without - log loss of the ensemble) and result_correlation (of its daily results
    with the ensemble's). `reliability` is of `reliability_curve`; `daily` has the session and a
    column of daily results for each forecast.
    """

    figures: dict[str, Figure]
    regimes: pl.DataFrame
    sectors: pl.DataFrame
    symbols: pl.DataFrame
    ablation: pl.DataFrame
    reliability: pl.DataFrame
    daily: pl.DataFrame


def evaluate(
    rows: pl.DataFrame,
    forecasts: Mapping[str, Probabilities],
    training_shares: Values,
    daily: pl.DataFrame,
    strategy: ValidationStrategyConfig,
    tracking: SectorSymbolTrackingConfig,
    *,
    trials: Mapping[str, float],
    without: Mapping[str, Probabilities] | None = None,
) -> Evaluation:
    """Judge the forecast `ensemble`, and what each base model adds to it.

    `rows` are labels with their regime and sector; `forecasts` holds probabilities [rows, 3] of
    each base model and of `ensemble`; `training_shares` [rows, 3] are the class shares of the
    labels that each row's models learned from. `daily` has symbol, session, close, adjusted as
    the labels' prices are. `trials` maps the digest of every other configuration tried to its
    per-session Sharpe ratio; `without` holds the stack refitted without a base model, by its name.

    A row's position is p_buy - p_sell less its mean over the rows of its decision session: a view
    on the whole market earns nothing. Daily results are of `daily_results`.

    The figures are of `forecast_figures`, of `sharpe_figures` for the ensemble's daily results
    and of `selection_figures` over those of all forecasts; they say where a figure is None.

    Raises:
        InputError: no rows, an absent column or `ensemble`, forecasts that are no probabilities of
            the rows, or what `daily_results` refuses.
    """
    labels = _checked_labels(rows, forecasts, without or {}, columns=(_REGIME, SECTOR))
    stacked = forecasts[ENSEMBLE]
    results = _daily_results(rows, forecasts, daily)
    scored = _with_gaps(rows, stacked, training_shares, daily)
    return Evaluation(
        figures={
            **forecast_figures(rows, stacked, training_shares),
            **sharpe_figures(_column(results, ENSEMBLE), trials),
            **selection_figures(results, strategy.cscv),
        },
        regimes=_grouped(scored, _REGIME, tracking),
        sectors=_grouped(scored, SECTOR, tracking),
        symbols=_grouped(scored, SYMBOL, tracking),
        ablation=_ablation(labels, forecasts, without or {}, results),
        reliability=reliability_curve(stacked, labels),
        daily=results,
    )


def combinatorial_evaluation(
    rows: pl.DataFrame, paths: Values, daily: pl.DataFrame
) -> pl.DataFrame:
    """Judge each backtest path [paths, rows, 3] of combinatorial cross-validation on its own.

    Columns: path (from 0), log_loss, auc (BUY against SELL), sharpe (per year), as in `evaluate`.

    Raises:
        InputError: as `evaluate`.
    """
    by_path = {str(number): forecast for number, forecast in enumerate(paths)}
    labels = _checked_labels(rows, by_path | {ENSEMBLE: paths[0]}, {})
    results = _daily_results(rows, by_path, daily)
    reasons = rows.get_column(_EXIT_REASON).to_numpy().astype(str)
    scores = []
    for name, forecast in by_path.items():
        report = classification_report(
            forecast, labels, training_shares=class_shares(labels), exit_reasons=reasons
        )
        sharpe = sharpe_figures(_column(results, name), {})["sharpe"]
        scores.append((int(name), report["log_loss"], report["auc_buy_vs_sell"], sharpe))
    schema = {"path": pl.Int64(), **dict.fromkeys(("log_loss", "auc", "sharpe"), pl.Float64())}
    return pl.DataFrame(scores, schema=schema, orient="row")


def compare_on_same_rows(
    champion: Probabilities,
    challenger: Probabilities,
    labels: Labels,
    decision_sessions: NDArray[np.datetime64],
    *,
    lag: int,
) -> PairedImprovement | None:
    """Test whether the challenger's log loss is smaller, blocked by decision session.

    Missing: None with fewer than 2 * (lag + 1) sessions, on which nothing could be shown.

    Raises:
        InputError: as `paired_improvement`, or forecasts that are no probabilities of the rows.
    """
    require_forecast(champion, labels, where="compare_on_same_rows, champion")
    require_forecast(challenger, labels, where="compare_on_same_rows, challenger")
    if len(np.unique(decision_sessions)) < 2 * (lag + 1):
        return None
    return paired_improvement(
        row_log_losses(champion, labels),
        row_log_losses(challenger, labels),
        decision_sessions,
        lag=lag,
    )


def _checked_labels(
    rows: pl.DataFrame,
    forecasts: Mapping[str, Probabilities],
    without: Mapping[str, Probabilities],
    *,
    columns: tuple[str, ...] = (),
) -> Labels:
    absent = [name for name in (*_READ, *columns) if name not in rows.columns]
    strangers = sorted(set(without) - set(forecasts))
    if absent or strangers or ENSEMBLE not in forecasts:
        raise InputError(
            f"rows lack {first_few(absent)}"
            if absent
            else f"a stack without {first_few(strangers)}, of which there is no forecast"
            if strangers
            else f"no forecast {ENSEMBLE} among {first_few(forecasts)}",
            where=_WHERE,
            fix=f"give labels, the forecasts of the base models and {ENSEMBLE}",
        )
    labels: Labels = rows.get_column(LABEL).cast(pl.Int8).to_numpy()
    for name, forecast in (*forecasts.items(), *without.items()):
        require_forecast(forecast, labels, where=f"{_WHERE}, forecast {name}")
    return labels


def _daily_results(
    rows: pl.DataFrame, forecasts: Mapping[str, Probabilities], daily: pl.DataFrame
) -> pl.DataFrame:
    decided = rows.get_column(DECISION_SESSION).to_numpy()
    sizes = {}
    for name, forecast in forecasts.items():
        views = session_demeaned_returns(forecast[:, BUY] - forecast[:, SELL], decided)
        # Results are relative to exposure: left in, the rounding of equal views would be traded.
        sizes[name] = np.where(np.abs(views) < _NO_POSITION, 0.0, views)
    return daily_results_of(sizes, rows, daily)


def _with_gaps(
    rows: pl.DataFrame, forecast: Probabilities, training_shares: Values, daily: pl.DataFrame
) -> pl.DataFrame:
    """Rows with their forecast, and the bars of their symbols and sessions that have none."""
    told = rows.select(SYMBOL, DECISION_SESSION, _REGIME, SECTOR, LABEL, _EXIT_REASON).hstack(
        pl.DataFrame(np.hstack([forecast, training_shares]), schema=[*FORECAST, *_SHARES])
    )
    regimes = told.select(DECISION_SESSION, _REGIME).unique(DECISION_SESSION, keep="first")
    sectors = told.select(SYMBOL, SECTOR).unique(SYMBOL, keep="first")
    gaps = (
        daily.filter(pl.col(CLOSE).is_not_null() & pl.col(CLOSE).is_not_nan())
        .select(SYMBOL, pl.col(SESSION).alias(DECISION_SESSION))
        .join(regimes, on=DECISION_SESSION, validate="m:1")
        .join(sectors, on=SYMBOL, validate="m:1")
        .join(told, on=LABELS.key, how="anti")
        # Nothing is known of these labels, and nothing without a forecast is scored.
        .with_columns(
            pl.lit(HOLD).cast(told.schema[LABEL]).alias(LABEL), pl.lit("expiry").alias(_EXIT_REASON)
        )
    )
    return pl.concat([told, gaps], how="diagonal")


def _grouped(scored: pl.DataFrame, by: str, config: SectorSymbolTrackingConfig) -> pl.DataFrame:
    # One group at a time: the training shares differ from row to row.
    parts = [
        grouped_metrics(
            group,
            by,
            training_shares=group.filter(pl.col(FORECAST[0]).is_not_null())
            .select(_SHARES)
            .to_numpy(),
            **config.model_dump(),
        )
        for group in scored.partition_by(by, maintain_order=True)
    ]
    return pl.concat(parts).sort(by, nulls_last=True)


def _ablation(
    labels: Labels,
    forecasts: Mapping[str, Probabilities],
    without: Mapping[str, Probabilities],
    results: pl.DataFrame,
) -> pl.DataFrame:
    whole = log_loss(forecasts[ENSEMBLE], labels)
    together = _column(results, ENSEMBLE)
    found: list[tuple[str, Figure, Figure, Figure, Figure]] = []
    for name, forecast in forecasts.items():
        if name == ENSEMBLE:
            continue
        rest = log_loss(without[name], labels) if name in without else None
        gain = None if rest is None else rest - whole
        alike = _correlation(_column(results, name), together)
        found.append((name, log_loss(forecast, labels), rest, gain, alike))
    measures = ("log_loss", "log_loss_without", "gain", "result_correlation")
    schema = {"model": pl.String(), **dict.fromkeys(measures, pl.Float64())}
    return pl.DataFrame(found, schema=schema, orient="row")


def _correlation(one: Values, other: Values) -> float | None:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    left, right = one - one.mean(), other - other.mean()
    return float((left * right).sum() / math.sqrt((left**2).sum() * (right**2).sum()))


def _column(results: pl.DataFrame, name: str) -> Values:
    return results.get_column(name).to_numpy()
