"""The promotion gate: whether a model's measured figures are good enough for its signals to go out.

Not what follows from the verdict: the log of promotions and who is champion are model memory's.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import polars as pl

from turbomode_assets.config.judging import ModelPromotionGateConfig
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.validation import PairedImprovement

AT_LEAST: Literal["at least"] = "at least"
AT_MOST: Literal["at most"] = "at most"
Bound = Literal["at least", "at most"]

FIGURES = (
    "accuracy_gain",
    "precision_gain",
    "recall",
    "log_loss_gain",
    "calibration_error",
    "sharpe",
    "deflated_probability",
    "probability_of_loss",
)
"""What is judged of the whole, named like the keys that bound it."""

REGIME_COLUMNS = ("regime", "judged_rows", "log_loss", "base_log_loss")


@dataclass(frozen=True)
class RuleResult:
    """One rule of the gate; `figure` is None where it could not be measured, which fails."""

    name: str
    figure: float | None
    threshold: float
    bound: Bound
    passed: bool

    def __str__(self) -> str:
        """Write the rule as what was found and what was asked."""
        found = "not measured" if self.figure is None else f"{self.figure:.4g}"
        return f"{self.name} {found}, asked {self.bound} {self.threshold:.4g}"


@dataclass(frozen=True)
class GateDecision:
    """Every rule that was applied, passed or not; all must pass."""

    passed: bool
    rules: tuple[RuleResult, ...]

    @property
    def reason(self) -> str:
        """Say in words what failed, or that nothing did."""
        failed = [rule for rule in self.rules if not rule.passed]
        if not failed:
            return f"all {len(self.rules)} rules passed"
        return f"{len(failed)} of {len(self.rules)} rules failed: {'; '.join(map(str, failed))}"

    def to_json(self) -> str:
        """Write the rules as a JSON list, for the promotions log."""
        return json.dumps([asdict(rule) for rule in self.rules], allow_nan=False)


def judge_promotion(
    figures: Mapping[str, float | None],
    regimes: pl.DataFrame,
    config: ModelPromotionGateConfig,
    *,
    improvement: PairedImprovement | None,
) -> GateDecision:
    """Hold a model's out-of-sample figures against every rule of the gate.

    `figures` holds `FIGURES`; `regimes` has one row for each regime with the columns
    `REGIME_COLUMNS`, losses in nats per row. In a regime the gain is base_log_loss - log_loss;
    regimes of fewer than `regime_minimum_rows` judged rows are not judged. `improvement` is the
    paired test against the champion with a lag of `improvement_lag`; None: there is no champion
    yet, and the rule is left out.
    Missing: a figure that is None or not finite fails its rule.

    Raises:
        InputError: a figure was not handed over at all, or `regimes` lacks a column.
    """
    absent = [name for name in FIGURES if name not in figures]
    absent += [name for name in REGIME_COLUMNS if name not in regimes.columns]
    if absent:
        raise InputError(
            f"figures that the gate judges were not handed over: {first_few(absent)}",
            where="judge_promotion",
            fix="hand over every figure, None where it could not be measured",
        )
    rules = [
        _judge("accuracy_gain", figures, AT_LEAST, config.minimum_accuracy_gain),
        _judge("precision_gain", figures, AT_LEAST, config.minimum_precision_gain),
        _judge("recall", figures, AT_LEAST, config.minimum_recall),
        _judge("log_loss_gain", figures, AT_LEAST, config.minimum_log_loss_gain),
        _judge("calibration_error", figures, AT_MOST, config.maximum_calibration_error),
        _judge("sharpe", figures, AT_LEAST, config.minimum_sharpe),
        _judge("deflated_probability", figures, AT_LEAST, config.minimum_deflated_probability),
        _judge("probability_of_loss", figures, AT_MOST, config.maximum_probability_of_loss),
        *_judge_regimes(regimes, config),
    ]
    if improvement is not None:
        found = {"improvement_p_value": improvement.p_value}
        rules.append(_judge("improvement_p_value", found, AT_MOST, config.improvement_p_value))
    return GateDecision(all(rule.passed for rule in rules), tuple(rules))


def improvement_lag(config: ModelPromotionGateConfig, horizon_sessions: int) -> int:
    """Lag in sessions of the paired test against the champion, never below the horizon."""
    # Rounded first: 1.1 horizons of 10 sessions are 11 sessions, not the 12 that floats make of it.
    return math.ceil(round(config.improvement_lag_horizons * horizon_sessions, 9))


def _judge_regimes(regimes: pl.DataFrame, config: ModelPromotionGateConfig) -> list[RuleResult]:
    judged = regimes.filter(pl.col("judged_rows") >= config.regime_minimum_rows).sort("regime")
    gains = {
        f"regime_log_loss_gain[{row['regime']}]": _difference(row["base_log_loss"], row["log_loss"])
        for row in judged.iter_rows(named=True)
    }
    return [_judge(name, gains, AT_LEAST, config.regime_log_loss_gain) for name in gains]


def _difference(base: float | None, loss: float | None) -> float | None:
    return None if base is None or loss is None else base - loss


def _judge(
    name: str, figures: Mapping[str, float | None], bound: Bound, threshold: float
) -> RuleResult:
    figure = figures[name]
    if figure is None or not math.isfinite(figure):
        return RuleResult(name, None, threshold, bound, passed=False)
    passed = figure >= threshold if bound == AT_LEAST else figure <= threshold
    return RuleResult(name, float(figure), threshold, bound, passed)
