"""Sections of `turbomode_training_config.json`: every rule that shapes a model."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from turbomode_assets.config.models import MetaLearnerConfig, ModelsConfig
from turbomode_assets.config.section import ConfigurationFile, Section

Positive = Annotated[int, Field(ge=1)]

LONGEST_HORIZON = 63
LONGEST_VOLATILITY_WINDOW = 252
LONGEST_LABEL_WINDOW = LONGEST_HORIZON + LONGEST_VOLATILITY_WINDOW + 2
"""Sessions before a label's known session that any allowed configuration reads."""
LONGEST_SEQUENCE = 252
"""Sessions before a prediction that any allowed model or drift window reads."""
LONGEST_TRAINING = 2520
"""Sessions before its as-of session that any allowed training run reads."""
Probability = Annotated[float, Field(ge=0, le=1)]


class FeaturesConfig(Section):
    """Where features are computed, and the symbol that market-relative ones refer to."""

    benchmark: str | None
    device: Literal["auto", "cpu", "cuda"]


class TripleBarrierConfig(Section):
    """Barrier widths in units of daily volatility; the vertical barrier in sessions after entry."""

    profit_take: Annotated[float, Field(gt=0)]
    stop_loss: Annotated[float, Field(gt=0)]
    horizon_sessions: Annotated[int, Field(ge=1, le=LONGEST_HORIZON)]
    volatility_window_sessions: Annotated[int, Field(ge=5, le=LONGEST_VOLATILITY_WINDOW)]
    entry: Literal["next_open", "close"]


class WalkForwardConfig(Section):
    """Expanding walk-forward folds over decision sessions; purging uses label end sessions."""

    folds: Annotated[int, Field(ge=2, le=20)]
    test_sessions: Annotated[int, Field(ge=5)]
    minimum_train_sessions: Annotated[int, Field(ge=20)]
    embargo_sessions: Annotated[int, Field(ge=0)]


class EnsembleConfig(Section):
    """What a training run reads and how it is seeded."""

    seed: int
    training_sessions: Annotated[int, Field(ge=60, le=LONGEST_TRAINING)]
    minimum_labels: Positive
    minimum_labels_per_class: Positive


class DriftConfig(Section):
    """How recent features are compared with the champion's frozen reference, and judged.

    A feature exceeds above `limit_factor` times the largest value of its own reference windows; a
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
    """A side is signalled when its probability reaches the threshold and leads the other side."""

    buy_threshold: Probability
    sell_threshold: Probability


class TrainingConfig(ConfigurationFile):
    """The whole training configuration with its semantic version and changelog."""

    changelog: dict[str, str]
    features: FeaturesConfig
    triple_barrier: TripleBarrierConfig
    walk_forward: WalkForwardConfig
    models: ModelsConfig
    meta_learner: MetaLearnerConfig
    ensemble: EnsembleConfig
    drift: DriftConfig
    signals: SignalsConfig

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        if self.version not in self.changelog:
            raise ValueError(f"changelog has no entry for version {self.version}")
        folds = self.walk_forward
        needed = folds.minimum_train_sessions + folds.folds * folds.test_sessions
        if needed > self.ensemble.training_sessions:
            raise ValueError(
                f"walk_forward needs {needed} sessions (minimum_train_sessions + folds x "
                f"test_sessions), more than ensemble.training_sessions "
                f"({self.ensemble.training_sessions})"
            )
        return self
