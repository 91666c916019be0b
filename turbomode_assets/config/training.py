"""Sections of `turbomode_training_config.json`: every rule that shapes a model."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from turbomode_assets.config.judging import (
    ModelPromotionGateConfig,
    SectorSymbolTrackingConfig,
    ShapAnalysisConfig,
    TrainingOrchestratorConfig,
    ValidationStrategyConfig,
)
from turbomode_assets.config.learning import (
    LONGEST_REGIME_HISTORY,
    LONGEST_TRAINING,
    BalancedSamplingConfig,
    DataSourcesConfig,
    DynamicArchiveUpdatesConfig,
    EnsembleConfig,
    ErrorReplayBufferConfig,
    RareEventArchiveConfig,
    RegimeLabelingConfig,
    RegimeWeightedLossConfig,
)
from turbomode_assets.config.section import ConfigurationFile, Section

LONGEST_HORIZON = 63
LONGEST_VOLATILITY_WINDOW = 252
LONGEST_LABEL_WINDOW = LONGEST_HORIZON + LONGEST_VOLATILITY_WINDOW + 2
"""Sessions before a label's known session that any allowed configuration reads."""
LONGEST_LIQUIDITY_WINDOW = 252
"""Sessions up to a decision whose dollar volumes any allowed configuration judges."""
LONGEST_SEQUENCE = 252
"""Sessions before a prediction that any allowed model or drift window reads."""
LONGEST_TRAINING_BARS = LONGEST_TRAINING + LONGEST_REGIME_HISTORY + 252
"""Sessions before its as-of session whose bars any allowed training run reads."""
Probability = Annotated[float, Field(ge=0, le=1)]


class FeatureEngineeringConfig(Section):
    """What features refer to, and where they and the networks are computed.

    `benchmark` is the symbol that market-relative features refer to; without one they are missing.
    `device` `auto` takes CUDA where there is a GPU; `cuda` without one is refused.
    """

    benchmark: str | None
    device: Literal["auto", "cpu", "cuda"]


class TripleBarrierConfig(Section):
    """What a decision is held for, from `entry` at the next open or at the decision's close.

    `profit_take` and `stop_loss` are the distances of the barriers from the entry, in units of
    daily volatility over `volatility_window_sessions`; the vertical barrier stands
    `horizon_sessions` after the entry session.
    """

    profit_take: Annotated[float, Field(gt=0)]
    stop_loss: Annotated[float, Field(gt=0)]
    horizon_sessions: Annotated[int, Field(ge=1, le=LONGEST_HORIZON)]
    volatility_window_sessions: Annotated[int, Field(ge=5, le=LONGEST_VOLATILITY_WINDOW)]
    entry: Literal["next_open", "close"]


class DriftConfig(Section):
    """How recent features are compared with the champion's frozen reference, and judged.

    Values are counted in `bins` by quantiles of the reference, over `window_sessions` at a time. A
    feature exceeds above `limit_factor` times the largest value of its own reference windows; a
    session alarms when `alarm_share` of the features do. `warn_psi` and `alert_psi` judge features
    against a reference that does not know its windows.
    """

    bins: Annotated[int, Field(ge=4, le=50)]
    window_sessions: Annotated[int, Field(ge=1, le=LONGEST_SEQUENCE)]
    warn_psi: Annotated[float, Field(gt=0)]
    alert_psi: Annotated[float, Field(gt=0)]
    limit_factor: Annotated[float, Field(ge=1)]
    alarm_share: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _alert_is_above_warn(self) -> Self:
        if self.alert_psi <= self.warn_psi:
            raise ValueError(
                f"alert_psi ({self.alert_psi}) must be above warn_psi ({self.warn_psi})"
            )
        return self


class SignalsConfig(Section):
    """When a side is signalled, and which symbols of a session may be.

    A side is signalled when its probability reaches its threshold and leads the other side.
    `buy_threshold` is that of BUY, `sell_threshold` that of SELL. A symbol may be signalled when
    its unadjusted close is at least `minimum_close_usd`, and the median of its dollar volumes in
    the last `liquidity_window_sessions`, which must all be known, at least
    `minimum_dollar_volume_usd`.
    """

    buy_threshold: Probability
    sell_threshold: Probability
    minimum_close_usd: Annotated[float, Field(ge=0)]
    minimum_dollar_volume_usd: Annotated[float, Field(ge=0)]
    liquidity_window_sessions: Annotated[int, Field(ge=1, le=LONGEST_LIQUIDITY_WINDOW)]


class TrainingConfig(ConfigurationFile):
    """The whole training configuration with its semantic version and changelog."""

    changelog: dict[str, str]
    data_sources: DataSourcesConfig
    feature_engineering: FeatureEngineeringConfig
    triple_barrier: TripleBarrierConfig
    regime_labeling: RegimeLabelingConfig
    rare_event_archive: RareEventArchiveConfig
    dynamic_archive_updates: DynamicArchiveUpdatesConfig
    balanced_sampling: BalancedSamplingConfig
    error_replay_buffer: ErrorReplayBufferConfig
    regime_weighted_loss: RegimeWeightedLossConfig
    ensemble_config: EnsembleConfig
    validation_strategy: ValidationStrategyConfig
    sector_symbol_tracking: SectorSymbolTrackingConfig
    drift_detection: DriftConfig
    shap_analysis: ShapAnalysisConfig
    model_promotion_gate: ModelPromotionGateConfig
    training_orchestrator: TrainingOrchestratorConfig
    signals: SignalsConfig

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        if self.version not in self.changelog:
            raise ValueError(f"changelog has no entry for version {self.version}")
        strategy = self.validation_strategy
        folds, available = strategy.walk_forward, self.data_sources.training_sessions
        needed = folds.minimum_train_sessions + folds.folds * folds.test_sessions
        if needed > available:
            raise ValueError(
                f"validation_strategy.walk_forward needs {needed} sessions "
                f"(minimum_train_sessions + folds x test_sessions), more than "
                f"data_sources.training_sessions ({available})"
            )
        if strategy.inner_validation_sessions >= folds.minimum_train_sessions:
            raise ValueError(
                f"validation_strategy.inner_validation_sessions "
                f"({strategy.inner_validation_sessions}) leaves nothing to learn from in "
                f"walk_forward.minimum_train_sessions ({folds.minimum_train_sessions})"
            )
        return self
