"""Sections on how a model is judged: validation, gate, importance, and when one is due."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from turbomode_assets.config.gate_rules import AT_LEAST, AT_MOST, GateRule
from turbomode_assets.config.section import Section

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]

BaseModelName = Literal[
    "lightgbm_gbdt",
    "lightgbm_dart",
    "lightgbm_goss",
    "lightgbm_forest",
    "logistic",
    "mlp",
    "gru",
    "tcn",
]


class WalkForwardConfig(Section):
    """Expanding walk-forward folds over decision sessions; purging uses label end sessions.

    The last `folds` times `test_sessions` sessions are judged, fold by fold; the first fold learns
    from at least `minimum_train_sessions`. `embargo_sessions` lie between what had ended when a
    fold learns from it and the fold's first session.
    """

    folds: Annotated[int, Field(ge=2, le=20)]
    test_sessions: Annotated[int, Field(ge=5)]
    minimum_train_sessions: Annotated[int, Field(ge=20)]
    embargo_sessions: Annotated[int, Field(ge=0)]


class CombinatorialConfig(Section):
    """Combinatorial purged cross-validation: the models it is run for, and its groups.

    `groups` blocks of sessions, `test_groups` of them held out at a time; an empty list of `models`
    leaves it out.
    """

    models: list[BaseModelName]
    groups: Annotated[int, Field(ge=3, le=20)]
    test_groups: Annotated[int, Field(ge=1, le=10)]

    @model_validator(mode="after")
    def _no_model_twice(self) -> Self:
        if len(set(self.models)) != len(self.models):
            raise ValueError(f"models names one twice: {self.models}")
        return self

    @model_validator(mode="after")
    def _something_is_left_to_learn_from(self) -> Self:
        if self.test_groups >= self.groups:
            raise ValueError(
                f"test_groups ({self.test_groups}) must be below groups ({self.groups})"
            )
        return self


class CscvConfig(Section):
    """Combinatorially symmetric cross-validation of the models' daily results.

    The sessions are cut into `blocks`, and each half of the blocks is compared with the other; of
    more ways than `maximum_splits` to halve them, as many are drawn.
    """

    blocks: Annotated[int, Field(ge=4, le=32, multiple_of=2)]
    maximum_splits: Positive


class ValidationStrategyConfig(Section):
    """How models are measured on rows they did not learn from.

    `inner_validation_sessions` at the end of each fold's training rows decide when to stop. A
    feature that alone tells BUY from SELL with an AUC beyond `maximum_feature_auc` (or its
    reverse) is taken for a leak, and training is refused.
    """

    walk_forward: WalkForwardConfig
    inner_validation_sessions: Annotated[int, Field(ge=5)]
    maximum_feature_auc: Annotated[float, Field(gt=0.5, le=1)]
    combinatorial: CombinatorialConfig
    cscv: CscvConfig


class SectorSymbolTrackingConfig(Section):
    """When a sector, symbol or regime is reported as too thin to judge.

    With fewer than `minimum_rows` rows judged, a class whose share of them is below
    `minimum_class_share`, or a share of bars with a forecast below `minimum_coverage`.
    """

    minimum_rows: Positive
    minimum_class_share: Share
    minimum_coverage: Share


class ModelPromotionGateConfig(Section):
    """Rules that a model must pass before its signals go out, measured out of sample.

    Gains are over the forecast of the training rows' class shares. Regimes of fewer than
    `regime_minimum_rows` rows are not judged. The paired test against a champion has a lag of
    `improvement_lag_horizons` horizons. What passes takes office `shadow_sessions` later; until
    then it signals for `ab_share` of the symbols.
    """

    minimum_accuracy_gain: Annotated[
        float, GateRule("accuracy_gain", AT_LEAST, "Gain in the share of correct rows.")
    ]
    minimum_precision_gain: Annotated[
        float,
        GateRule(
            "precision_gain", AT_LEAST, "Gain in the precision of the BUY and the SELL calls."
        ),
    ]
    minimum_recall: Annotated[
        Share, GateRule("recall", AT_LEAST, "Mean of the recall of BUY and of SELL.")
    ]
    minimum_log_loss_gain: Annotated[
        float, GateRule("log_loss_gain", AT_LEAST, "Gain in log loss, in nats per row.")
    ]
    maximum_calibration_error: Annotated[
        Share, GateRule("calibration_error", AT_MOST, "Expected calibration error.")
    ]
    minimum_sharpe: Annotated[
        float,
        GateRule("sharpe", AT_LEAST, "Yearly Sharpe ratio of the session-demeaned daily result."),
    ]
    minimum_deflated_probability: Annotated[
        Share,
        GateRule(
            "deflated_probability",
            AT_LEAST,
            "Probability that the true Sharpe ratio is above the best that luck gives as many "
            "trials.",
        ),
    ]
    maximum_probability_of_loss: Annotated[
        Share,
        GateRule("probability_of_loss", AT_MOST, "Probability of a loss out of sample, by CSCV."),
    ]
    regime_minimum_rows: Positive
    regime_log_loss_gain: Annotated[
        float,
        GateRule(
            "regime_log_loss_gain",
            AT_LEAST,
            "Gain in log loss in each regime, in nats per row.",
            scope="regime",
        ),
    ]
    improvement_p_value: Annotated[
        float,
        Field(gt=0, le=1),
        GateRule(
            "improvement_p_value",
            AT_MOST,
            "P-value of the paired test against the champion on the same rows.",
            scope="champion",
        ),
    ]
    improvement_lag_horizons: Annotated[float, Field(ge=1)]
    shadow_sessions: Annotated[int, Field(ge=0, le=252)]
    ab_share: Share


class ShapAnalysisConfig(Section):
    """Which share of the work feature contributions may take, and what is said of them.

    `sample_rows` are drawn for the report, `top_features` are shown. A rank correlation of
    importance with the champion's below `minimum_rank_correlation` is reported as drift.
    """

    sample_rows: Positive
    top_features: Positive
    minimum_rank_correlation: Annotated[float, Field(ge=-1, le=1)]


class UnderperformanceConfig(Section):
    """A champion whose signals do worse than promised.

    Over its last `window_sessions` of known outcomes, its log loss exceeds that of the class
    shares it learned from by more than `maximum_log_loss_excess` nats per row.
    """

    window_sessions: Annotated[int, Field(ge=5)]
    maximum_log_loss_excess: Annotated[float, Field(ge=0)]


class TrainingOrchestratorConfig(Section):
    """When a model is due, and the `seed` of everything random in training.

    Due: `cadence_sessions` after the last training; after `drift_alarm_sessions` alarms since
    then; when the symbols with GREEN data changed by more than `coverage_change` of those GREEN at
    the last training; or when the champion does worse than `underperformance` allows. While the
    last model did not become champion, all but cadence wait half of `cadence_sessions`.
    """

    seed: int
    cadence_sessions: Positive
    drift_alarm_sessions: Positive
    coverage_change: Share
    underperformance: UnderperformanceConfig
