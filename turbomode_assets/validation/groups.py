"""The same metrics for each regime, sector or symbol, with alerts where they mean little."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.validation.calibration import brier_score, expected_calibration_error
from turbomode_assets.validation.inputs import Values, require_at_least
from turbomode_assets.validation.metrics import classification_report

FORECAST = tuple(f"p_{name.lower()}" for name in CLASSES)
"""Columns of the probability of each class, in the order of CLASSES."""
FEW_ROWS = "few_rows"
LOW_COVERAGE = "low_coverage"
RARE_CLASS = {name: f"rare_{name.lower()}" for name in CLASSES}
"""Alert of each class that is rarer than asked."""

_WHERE = "grouped_metrics"
_READ = (*FORECAST, "label", "exit_reason")
_METRICS = (
    "accuracy",
    "base_rate",
    "log_loss",
    "base_log_loss",
    "brier_score",
    "calibration_error",
    "auc_buy_vs_sell",
)
_COUNTS = ("rows", "judged_rows", "touched_rows")
_SHARES = tuple(f"share_{name.lower()}" for name in CLASSES)


def grouped_metrics(
    frame: pl.DataFrame,
    by: str,
    *,
    training_shares: Values,
    minimum_rows: int = 100,
    minimum_class_share: float = 0.05,
    minimum_coverage: float = 0.95,
) -> pl.DataFrame:
    """Score the forecasts of each group: one row for each value of `by`, sorted, null last.

    `frame` holds p_sell, p_hold, p_buy, label, exit_reason and the column `by` (regime, sector,
    symbol, ...), one row for each label; the probabilities are null or NaN where there was no
    forecast. `training_shares` [3] are the class shares among the labels learned from.

    Columns: `by`, rows, judged_rows (with a forecast), coverage (their share), the share of each
    class among the judged, those of `classification_report`, brier_score, calibration_error (of
    `expected_calibration_error`) and alerts: `few_rows` below `minimum_rows` judged,
    `low_coverage` below `minimum_coverage`, `rare_sell` and so on for a class whose share is
    below `minimum_class_share`.
    Missing: metrics and shares are null in a group without a judged row.

    Raises:
        InputError: no rows, an absent column, a threshold out of range, or values that
            `classification_report` refuses.
    """
    _require(frame, by, minimum_rows, minimum_class_share, minimum_coverage)
    groups = frame.select(*_READ, group=by).partition_by("group", as_dict=True)
    scored = [{by: group, **_score(rows, training_shares)} for (group,), rows in groups.items()]
    schema = {
        by: frame.schema[by],
        **dict.fromkeys(_COUNTS[:2], pl.Int64()),
        **dict.fromkeys(("coverage", *_SHARES, *_METRICS), pl.Float64()),
        _COUNTS[2]: pl.Int64(),
    }
    alerts = {
        FEW_ROWS: pl.col("judged_rows") < minimum_rows,
        LOW_COVERAGE: pl.col("coverage") < minimum_coverage,
        **{
            RARE_CLASS[name]: pl.col(share) < minimum_class_share
            for name, share in zip(CLASSES, _SHARES, strict=True)
        },
    }
    raised = [pl.when(rule).then(pl.lit(name)) for name, rule in alerts.items()]
    return (
        pl.DataFrame(scored, schema=schema)
        .with_columns(alerts=pl.concat_list(raised).list.drop_nulls())
        .sort(by, nulls_last=True)
    )


def _score(rows: pl.DataFrame, training_shares: Values) -> dict[str, Any]:
    forecast = pl.all_horizontal(
        pl.col(name).is_not_null() & pl.col(name).is_not_nan() for name in FORECAST
    )
    judged = rows.filter(forecast)
    counts = {
        "rows": rows.height,
        "judged_rows": judged.height,
        "coverage": judged.height / rows.height,
    }
    if judged.is_empty():
        return counts
    probabilities = judged.select(FORECAST).to_numpy().astype(np.float64)
    labels = judged.get_column("label").to_numpy()
    report: Mapping[str, Any] = classification_report(
        probabilities,
        labels,
        training_shares=training_shares,
        exit_reasons=judged.get_column("exit_reason").to_numpy().astype(str),
    )
    return {
        **counts,
        **dict(zip(_SHARES, report["shares"].values(), strict=True)),
        **{name: report[name] for name in (*_METRICS, "touched_rows") if name in report},
        "brier_score": brier_score(probabilities, labels),
        "calibration_error": expected_calibration_error(probabilities, labels),
    }


def _require(frame: pl.DataFrame, by: str, rows: int, class_share: float, coverage: float) -> None:
    absent = [name for name in (by, *_READ) if name not in frame.columns]
    if absent:
        raise InputError(
            f"the frame has no column {first_few(absent)}",
            where=_WHERE,
            fix=f"give {by}, {', '.join(_READ)}",
        )
    resolved = frame.select(pl.col("label", "exit_reason").is_not_null().all()).row(0)
    if frame.is_empty() or not all(resolved):
        raise InputError(
            "the frame has no rows" if frame.is_empty() else "a label or exit reason is missing",
            where=_WHERE,
            fix="give at least one row, and resolved labels only",
        )
    require_at_least(rows, 1, "minimum_rows", where=_WHERE)
    for name, share in (("minimum_class_share", class_share), ("minimum_coverage", coverage)):
        if not 0 <= share <= 1:
            raise InputError(f"{name} is {share}", where=_WHERE, fix="give a share from 0 to 1")
