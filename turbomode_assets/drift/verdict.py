"""What drift statistics mean: the verdict on a feature, and on a session over all its features."""

import polars as pl

from turbomode_assets.config.training import DriftConfig
from turbomode_assets.contracts.columns import SESSION
from turbomode_assets.drift.statistics import STATISTICS

AGREEING_STATISTICS = 2
"""How many of the three must be beyond their limits before a feature exceeds."""


def judge_features(measured: pl.DataFrame, config: DriftConfig) -> pl.DataFrame:
    """Add `exceeds` and `verdict` (stable | warn | alert) to measured statistics.

    A feature exceeds when two of psi, kl and ks are above `config.limit_factor` times their own
    maxima over windows of the training rows. Exceeding is an alert; two above their maxima, but
    not both beyond the factor, a warning; what never moved in training exceeds as soon as it moves.
    Two, because ks alone hardly sees a change of scale or of missing values, and any one of the
    three alarms twice as often where nothing has changed.
    Where the maxima are null psi decides alone: `config.alert_psi` reached exceeds, and
    `config.warn_psi` reached is a warning.
    """
    exceeds = _above(config.limit_factor, config.alert_psi)
    return measured.with_columns(
        exceeds.alias("exceeds"),
        pl.when(exceeds)
        .then(pl.lit("alert"))
        .when(_above(1.0, config.warn_psi))
        .then(pl.lit("warn"))
        .otherwise(pl.lit("stable"))
        .alias("verdict"),
    )


def drift_verdicts(drift: pl.DataFrame, config: DriftConfig) -> pl.DataFrame:
    """Sum up each session of what `drift_by_session` measured: is it time to train again?

    Formula: share = exceeding features / features; `retrain` where it is at least
    `config.alarm_share`. One feature of many may exceed by chance, several at once rarely do.
    The verdict is alert where `retrain` holds, warn where some feature exceeds, else stable.

    Returns:
        session, features, exceeding, share, verdict, retrain; by session.
    """
    share = pl.col("exceeding") / pl.col("features")
    return (
        drift.group_by(SESSION)
        .agg(
            pl.len().cast(pl.Int64).alias("features"),
            pl.col("exceeds").sum().cast(pl.Int64).alias("exceeding"),
        )
        .sort(SESSION)
        .with_columns(
            share.alias("share"),
            pl.when(share >= config.alarm_share)
            .then(pl.lit("alert"))
            .when(pl.col("exceeding") > 0)
            .then(pl.lit("warn"))
            .otherwise(pl.lit("stable"))
            .alias("verdict"),
            (share >= config.alarm_share).alias("retrain"),
        )
    )


def multiple_of_training() -> pl.Expr:
    """How far a column stands from its reference, in multiples of its largest move in training.

    Formula: the second largest of psi, kl and ks, each over its own maximum
    Missing: null where the maxima are. What never moved in training is infinitely far.
    """
    ratios = [
        pl.when(pl.col(name) <= 0).then(0.0).otherwise(pl.col(name) / pl.col(f"{name}_maximum"))
        for name in STATISTICS
    ]
    largest = pl.concat_list(ratios).list.sort(descending=True, nulls_last=True)
    agreed = largest.list.get(AGREEING_STATISTICS - 1)
    return pl.when(pl.col("psi_maximum").is_not_null()).then(agreed).alias("multiple")


def _above(factor: float, psi: float) -> pl.Expr:
    # Not by `multiple_of_training`: at its very limit a value would round to the other side of it,
    # and a session that is judged again must be judged as before.
    beyond = [pl.col(name) > factor * pl.col(f"{name}_maximum") for name in STATISTICS]
    by_maxima = pl.sum_horizontal(each.cast(pl.Int8) for each in beyond) >= AGREEING_STATISTICS
    return pl.when(pl.col("psi_maximum").is_null()).then(pl.col("psi") >= psi).otherwise(by_maxima)
