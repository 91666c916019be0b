"""Sections for the base models and the meta-learner: each has exactly the keys its model reads."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from turbomode_assets.config.section import Section

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
ProperFraction = Annotated[float, Field(gt=0, lt=1)]
NotNegative = Annotated[float, Field(ge=0)]


class TreesConfig(Section):
    """What all four LightGBM variants read: at most `rounds` rounds of one tree for each class.

    A tree has at most `leaves`, each of at least `minimum_leaf_rows`, with the penalty `l2` on
    their values; it sees a `feature_fraction` drawn anew. A feature's values are cut into at most
    `bins`.
    """

    rounds: Positive
    bins: Annotated[int, Field(ge=2, le=255)]
    leaves: Annotated[int, Field(ge=2)]
    minimum_leaf_rows: Positive
    feature_fraction: Fraction
    l2: NotNegative


class LightGbmGbdtConfig(TreesConfig):
    """Gradient-boosted trees, each grown on a fresh `bagging_fraction` of the rows.

    Each counts by the `learning_rate`. Boosting ends after `patience_rounds` without a better loss
    on the rows held out.
    """

    learning_rate: Fraction
    patience_rounds: Positive
    bagging_fraction: Fraction


class LightGbmDartConfig(TreesConfig):
    """Boosting with dropout: a round drops each earlier tree with the probability `drop_rate`.

    With the probability `skip_drop` it drops none. Trees grow on a fresh `bagging_fraction` of the
    rows and count by the `learning_rate`.
    """

    learning_rate: Fraction
    bagging_fraction: Fraction
    drop_rate: ProperFraction
    skip_drop: Annotated[float, Field(ge=0, lt=1)]


class LightGbmGossConfig(TreesConfig):
    """Boosting on the `top_rate` of rows with the largest gradients and `other_rate` of the rows.

    The latter are drawn from the others. Trees count by the `learning_rate`. Boosting ends after
    `patience_rounds` without a better loss on the rows held out.
    """

    learning_rate: Fraction
    patience_rounds: Positive
    top_rate: ProperFraction
    other_rate: ProperFraction

    @model_validator(mode="after")
    def _sampling_starts_within_the_rounds(self) -> Self:
        if self.top_rate + self.other_rate >= 1:
            raise ValueError(
                f"top_rate ({self.top_rate}) + other_rate ({self.other_rate}) must be below 1"
            )
        # LightGBM samples only from round 1 / learning_rate on; before, both rates do nothing.
        if self.rounds * self.learning_rate <= 1:
            raise ValueError(
                f"rounds ({self.rounds}) x learning_rate ({self.learning_rate}) must exceed 1: "
                f"sampling starts at round 1 / learning_rate"
            )
        return self


class LightGbmForestConfig(TreesConfig):
    """Random forest: trees on a `bagging_fraction` of the rows each, averaged; no learning rate."""

    bagging_fraction: ProperFraction


class TorchConfig(Section):
    """What all torch models read: standardised features are cut at `clip_deviations`.

    In robust deviations from the median.
    """

    clip_deviations: Annotated[float, Field(gt=0)]


class LogisticConfig(TorchConfig):
    """Multinomial logistic regression, solved to its only optimum.

    `l2` is the weight of half the squared coefficients against the mean cross-entropy; the solver
    takes at most `iterations` steps.
    """

    l2: Annotated[float, Field(gt=0)]
    iterations: Positive


class NetworkConfig(TorchConfig):
    """What the networks trained in batches of `batch_rows` read: layers `hidden` units wide.

    Over at most `epochs` the `learning_rate` falls to 0 as a cosine; `weight_decay` is AdamW's, and
    `dropout` the share of units left out. Training ends after `patience_epochs` without a better
    loss on the rows held out.
    """

    epochs: Positive
    patience_epochs: Positive
    batch_rows: Positive
    learning_rate: Fraction
    weight_decay: NotNegative
    hidden: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]


class MlpConfig(NetworkConfig):
    """Multi-layer perceptron of residual `blocks` over a single session."""

    blocks: Positive


class GruConfig(NetworkConfig):
    """Gated recurrent unit of `layers` over the last `sequence_sessions` sessions."""

    layers: Positive
    sequence_sessions: Annotated[int, Field(ge=2, le=252)]


class TcnConfig(NetworkConfig):
    """Causal convolutions over the last `sequence_sessions` sessions.

    Each of the `blocks` sees `kernel_sessions` sessions at once, block k in steps of 2^k sessions.
    """

    blocks: Positive
    kernel_sessions: Annotated[int, Field(ge=2)]
    sequence_sessions: Annotated[int, Field(ge=2, le=252)]

    @model_validator(mode="after")
    def _every_session_is_seen(self) -> Self:
        reach = 1 + (self.kernel_sessions - 1) * (2**self.blocks - 1)
        if reach < self.sequence_sessions:
            raise ValueError(
                f"{self.blocks} blocks of kernel_sessions {self.kernel_sessions} reach {reach} "
                f"sessions, fewer than sequence_sessions ({self.sequence_sessions})"
            )
        return self


class ModelsConfig(Section):
    """The eight base models."""

    lightgbm_gbdt: LightGbmGbdtConfig
    lightgbm_dart: LightGbmDartConfig
    lightgbm_goss: LightGbmGossConfig
    lightgbm_forest: LightGbmForestConfig
    logistic: LogisticConfig
    mlp: MlpConfig
    gru: GruConfig
    tcn: TcnConfig


class MetaLearnerConfig(Section):
    """Multinomial logistic regression over the base models' out-of-fold log-probabilities.

    `l2` is the weight of half the squared coefficients against the mean cross-entropy.
    """

    l2: Annotated[float, Field(gt=0)]
