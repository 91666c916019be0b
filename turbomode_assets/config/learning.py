"""Sections on what a model learns from: regimes, rows, rare events, past errors, weights."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from turbomode_assets.config.models import MetaLearnerConfig, ModelsConfig
from turbomode_assets.config.section import Section

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Ratio = Annotated[float, Field(ge=1)]

LONGEST_TRAINING = 2520
"""Sessions before its as-of session that any allowed training run reads."""
LONGEST_REGIME_HISTORY = 1260


class DataSourcesConfig(Section):
    """How far back decisions are learned from, and how many labels there must be.

    Those of the last `training_sessions` sessions count. Fewer than `minimum_labels` in all, or
    than `minimum_labels_per_class` in one class, and training is refused.
    """

    training_sessions: Annotated[int, Field(ge=60, le=LONGEST_TRAINING)]
    minimum_labels: Positive
    minimum_labels_per_class: Positive


class RegimeLabelingConfig(Section):
    """Market regime of a session, from an equal-weighted index of all symbols up to its close.

    `high_volatility` where the index's volatility over `volatility_window_sessions` exceeds its
    own `high_volatility_quantile` over the last `volatility_history_sessions`; else `bull` or
    `bear` where the index moved by more than `trend_threshold` (a fraction) over
    `trend_window_sessions`; else `sideways`.
    """

    trend_window_sessions: Annotated[int, Field(ge=2, le=252)]
    trend_threshold: Annotated[float, Field(gt=0)]
    volatility_window_sessions: Annotated[int, Field(ge=2, le=252)]
    volatility_history_sessions: Annotated[int, Field(ge=20, le=LONGEST_REGIME_HISTORY)]
    high_volatility_quantile: Annotated[float, Field(gt=0, lt=1)]


class RareEventArchiveConfig(Section):
    """What counts as a rare event of a symbol and session, and how much of it training sees.

    `crash_return` and `circuit_breaker_return` are falls from close to close (fractions), of the
    symbol and of the equal-weighted index; `gap_deviations` an opening gap, in standard deviations
    of daily returns over `window_sessions`; `volatility_spike_ratio` the true range over its mean
    in the window, `volume_shock_ratio` the volume over its mean. Decisions at rare events are kept
    apart from ordinary sampling; their weights make up at most `mix_ratio` of the whole, each at
    most `maximum_weight` times an ordinary row's.
    """

    crash_return: Annotated[float, Field(gt=0, lt=1)]
    circuit_breaker_return: Annotated[float, Field(gt=0, lt=1)]
    gap_deviations: Annotated[float, Field(gt=0)]
    volatility_spike_ratio: Ratio
    volume_shock_ratio: Ratio
    window_sessions: Annotated[int, Field(ge=5, le=252)]
    mix_ratio: Annotated[float, Field(ge=0, lt=1)]
    maximum_weight: Annotated[float, Field(gt=0)]


class DynamicArchiveUpdatesConfig(Section):
    """How the archive of rare events grows and forgets.

    Events of one symbol and kind within `minimum_gap_sessions` are one, the largest. Events older
    than `retention_sessions` leave; beyond `capacity_events`, `keep` says which stay.
    """

    capacity_events: Positive
    minimum_gap_sessions: Annotated[int, Field(ge=0)]
    retention_sessions: Positive
    keep: Literal["largest", "newest"]

    @model_validator(mode="after")
    def _events_outlive_their_gap(self) -> Self:
        if self.minimum_gap_sessions >= self.retention_sessions:
            raise ValueError(
                f"minimum_gap_sessions ({self.minimum_gap_sessions}) must be below "
                f"retention_sessions ({self.retention_sessions})"
            )
        return self


class BalancedSamplingConfig(Section):
    """Bounds on the ordinary rows learned from; what is over is drawn out at random, seeded.

    A class has at most `maximum_class_ratio` times the rows of the rarest class, a regime at most
    `maximum_regime_ratio` times those of the rarest regime; all at most `maximum_rows`.
    """

    maximum_rows: Positive
    maximum_class_ratio: Ratio
    maximum_regime_ratio: Ratio


class RegimeMultipliersConfig(Section):
    """Factor of a row's weight for the regime of its decision.

    `bull`, `bear`, `sideways` and `high_volatility` are the regimes of `regime_labeling`.
    """

    bull: Annotated[float, Field(gt=0)]
    bear: Annotated[float, Field(gt=0)]
    sideways: Annotated[float, Field(gt=0)]
    high_volatility: Annotated[float, Field(gt=0)]


class RegimeWeightedLossConfig(Section):
    """Weights of the rows in every model's loss, with mean 1.

    A class counts as its share to the power -`class_balance` (0: as it is, 1: all classes alike).
    `uniqueness` weighs a label by how little it overlaps others of its symbol. No weight exceeds
    `maximum_weight` times the mean.
    """

    class_balance: Share
    regime_multipliers: RegimeMultipliersConfig
    uniqueness: bool
    maximum_weight: Ratio


class ErrorReplayBufferConfig(Section):
    """Confident predictions that came out wrong, and how much more they weigh in training.

    A prediction enters if the class it named had at least `minimum_confidence`. Its row weighs
    1 + `weight` x 0.5 ^ (age / `half_life_sessions`); beyond `capacity_rows` the smallest leave.
    """

    minimum_confidence: Share
    half_life_sessions: Annotated[float, Field(gt=0)]
    capacity_rows: Positive
    weight: Annotated[float, Field(ge=0)]


class CalibrationConfig(Section):
    """Mapping of the stacked probabilities onto frequencies, from rows they did not learn from.

    `method`: `temperature` makes all forecasts surer or less sure alike, `isotonic` maps each class
    by a rising function of its own, `none` changes nothing. Fewer than `minimum_rows` such rows
    leave the probabilities as they are.
    """

    method: Literal["none", "temperature", "isotonic"]
    minimum_rows: Positive


class EnsembleConfig(Section):
    """The eight base models, what stacks them, and what calibrates the result."""

    models: ModelsConfig
    meta_learner: MetaLearnerConfig
    calibration: CalibrationConfig
