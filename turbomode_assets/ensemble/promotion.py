"""The promotion gate: whether a model's measured figures are good enough for its signals to go out.

Not what follows from the verdict: the log of promotions and who is champion are model memory's.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import polars as pl

from turbomode_assets.config.gate_rules import AT_LEAST, Bound, GateRule, gate_rules
from turbomode_assets.config.judging import ModelPromotionGateConfig
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.validation import PairedImprovement

RULES = gate_rules(ModelPromotionGateConfig)
"""Every rule of the gate, by the key that bounds its figure."""

FIGURES = tuple(rule.figure for rule in RULES.values() if rule.scope == "whole")
"""What is judged of the whole."""

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
    compared = {} if improvement is None else {"improvement_p_value": improvement.p_value}
    rules = [
        result
        for key, rule in RULES.items()
        for result in _judge(
            rule,
            {"whole": figures, "regime": _by_regime(rule, regimes, config), "champion": compared}[
                rule.scope
            ],
            getattr(config, key),
        )
    ]
    return GateDecision(all(rule.passed for rule in rules), tuple(rules))


def improvement_lag(config: ModelPromotionGateConfig, horizon_sessions: int) -> int:
    """Lag in sessions of the paired test against the champion, never below the horizon."""
    # Rounded first: 1.1 horizons of 10 sessions are 11 sessions, not the 12 that floats make of it.
    return math.ceil(round(config.improvement_lag_horizons * horizon_sessions, 9))


def _by_regime(
    rule: GateRule, regimes: pl.DataFrame, config: ModelPromotionGateConfig
) -> dict[str, float | None]:
    """The log-loss gain of each regime with enough rows, under the rule's name for it."""
    judged = regimes.filter(pl.col("judged_rows") >= config.regime_minimum_rows).sort("regime")
    return {
        f"{rule.figure}[{row['regime']}]": _difference(row["base_log_loss"], row["log_loss"])
        for row in judged.iter_rows(named=True)
    }


def _difference(base: float | None, loss: float | None) -> float | None:
    return None if base is None or loss is None else base - loss


def _judge(
    rule: GateRule, figures: Mapping[str, float | None], threshold: float
) -> list[RuleResult]:
    """Apply a rule to its figure, or to each of the figures that are of its scope."""
    names = [rule.figure] if rule.scope == "whole" else list(figures)
    results = []
    for name in names:
        figure = figures[name]
        if figure is None or not math.isfinite(figure):
            results.append(RuleResult(name, None, threshold, rule.bound, passed=False))
            continue
        passed = figure >= threshold if rule.bound == AT_LEAST else figure <= threshold
        results.append(RuleResult(name, float(figure), threshold, rule.bound, passed))
    return results
