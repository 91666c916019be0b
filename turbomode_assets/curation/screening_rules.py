"""The rules of screening, as expressions over a suspect and the references of its window."""

import polars as pl

from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.curation import reasons

SPLIT_RATIOS = (3 / 2, 2.0, 5 / 2, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0)
"""Ratios that splits have, forward or reverse."""
NEAR_RATIO = 0.03
"""How far, in logs, a move may lie from such a ratio."""
GAP_SHARE = 0.7
"""How much of a jump must have happened before the open: splits happen overnight."""


def move(name: str) -> pl.Expr:
    """How many times the reference a price is, both in the shares of the bar's day."""
    return pl.col(name) * pl.col("split_product") / pl.col("reference")


def between(values: pl.Expr, low: float, high: float) -> pl.Expr:
    """Whether values lie in [low, high]; false where they are missing."""
    return values.is_between(low, high).fill_null(False)


def _all_near(scale: pl.Expr | float, tolerance: float) -> pl.Expr:
    return pl.all_horizontal(
        between(move(name) / scale, 1 / tolerance, tolerance) for name in PRICES
    )


def _size(ratio: pl.Expr) -> pl.Expr:
    """How far a ratio is from 1, in logs."""
    return ratio.log().abs()


def split_elsewhere(
    suspects: pl.DataFrame, splits: pl.DataFrame, config: CurationConfig
) -> pl.DataFrame:
    """Add `ratio_elsewhere`: that of the next split the delivery knew of, else of those just past.

    Null where there is none within the look-back, counted in days.
    """
    reach = pl.duration(days=2 * config.look_back_sessions)
    upcoming = (
        suspects.select("row", "symbol", "day", "split_through")
        .join(splits.select("symbol", "ex_date", "ratio"), on="symbol")
        .filter(
            (pl.col("ex_date") > pl.col("day"))
            & (pl.col("ex_date") <= pl.col("split_through"))
            & (pl.col("ex_date") <= pl.col("day") + reach)
        )
        .sort("row", "ex_date")
        .group_by("row", maintain_order=True)
        .agg(next_ratio=pl.col("ratio").first())
    )
    past = pl.col("recent_ratio") / pl.col("split_ratio")
    return suspects.join(
        upcoming, on="row", how="left", validate="1:1", maintain_order="left"
    ).with_columns(
        ratio_elsewhere=pl.coalesce("next_ratio", pl.when(past != 1).then(past)),
    )


def whole_bar_verdict(config: CurationConfig) -> list[pl.Expr]:
    """Verdict (null for none), action, and by what prices and volume are multiplied."""
    known = pl.col("sessions") >= config.minimum_sessions
    supported = pl.col("support") >= config.support_share
    hundredfold = known & _all_near(100.0, config.unit_tolerance)
    hundredth = known & _all_near(0.01, config.unit_tolerance)
    shares = pl.col("volume") / pl.col("split_product")
    turnover = move("close") * shares / pl.col("volume_reference")
    like_a_split = between(turnover, 0.25, 4.0)
    wrong_unit = (hundredfold | hundredth) & ~like_a_split

    product = pl.col("split_product")
    unapplied = (
        known
        & (_size(product) >= pl.lit(config.smallest_split).log())
        & supported
        & _all_near(product, config.split_tolerance)
    )
    usual = pl.col("volume_reference")
    volume_says_so = (_size(shares * product / usual) < _size(shares / usual)).fill_null(False)
    recent = pl.col("recent_ratio")
    not_in_prices = (
        known
        & supported
        & (_size(recent) >= pl.lit(config.smallest_split).log())
        & _all_near(recent, config.split_tolerance)
    )
    half_formed = (
        (pl.col("high") == pl.col("low"))
        & (pl.col("open") == pl.col("close"))
        & (pl.col("sessions") >= config.look_back_sessions // 2)
        & (pl.col("flat_before") == 0)
        & between(shares / usual, 0.0, config.half_formed_volume_share)
        & (pl.col("volume") > 0)
    )
    verdict = (
        pl.when(wrong_unit & supported)
        .then(pl.lit(reasons.UNIT_ERROR))
        .when(wrong_unit)
        .then(pl.lit(reasons.UNSETTLED_UNIT))
        .when(unapplied)
        .then(pl.lit(reasons.SPLIT_NOT_APPLIED))
        .when(not_in_prices)
        .then(pl.lit(reasons.SPLIT_NOT_IN_PRICES))
        .when(half_formed)
        .then(pl.lit(reasons.HALF_FORMED))
    )
    repaired = (wrong_unit & supported) | (unapplied & volume_says_so & ~wrong_unit)
    action = (
        pl.when(repaired)
        .then(pl.lit("repaired"))
        .when(wrong_unit | unapplied | not_in_prices | half_formed)
        .then(pl.lit("left_out"))
    )
    unit_scale = pl.when(hundredfold).then(0.01).otherwise(100.0)
    return [
        verdict.alias("verdict"),
        action.alias("action"),
        pl.when(wrong_unit).then(unit_scale).otherwise(1 / product).alias("price_scale"),
        pl.when(wrong_unit).then(1.0).otherwise(product).alias("volume_scale"),
    ]


def field_scale(name: str, config: CurationConfig) -> pl.Expr:
    """What one price must be multiplied by to agree with the window; null where nothing known does.

    A power of ten, or a split's ratio undone.
    """
    known = (pl.col("sessions") >= config.minimum_sessions) & (
        pl.col("support") >= config.support_share
    )
    off = move(name)
    chain = pl.when(~known).then(pl.lit(None, dtype=pl.Float64))
    for scale in (0.01, 100.0, 0.1, 10.0):
        near = between(off * scale, 1 / config.unit_tolerance, config.unit_tolerance)
        chain = chain.when(near).then(pl.lit(scale))  # type: ignore[assignment]
    ratio = pl.col("recent_ratio")
    is_split = _size(ratio) >= pl.lit(config.smallest_split).log()
    tolerance = config.split_tolerance
    away = ~between(off, 1 / config.agreement, config.agreement)
    unsplit = is_split & away & between(off / ratio, 1 / tolerance, tolerance)
    return chain.when(unsplit).then(1 / ratio)


def jump_reason(config: CurationConfig) -> pl.Expr:
    """Why a move from the close before is flagged; null where it is not.

    A move counts once announced events are taken out of it, if it also leads away from the window:
    the first sound bar after a bad one is no jump.
    """
    before = pl.col("previous_close") * pl.col("previous_split_product") * pl.col("kept_share")
    before = before / pl.col("split_ratio")
    step = pl.col("close") * pl.col("split_product") / before
    gap = pl.col("open") * pl.col("split_product") / before
    away = (move("close") / pl.col("kept_share")).log() / step.log()
    known = (pl.col("sessions") >= config.minimum_sessions) & (away >= 0.5)
    overnight = (gap.log() / step.log()) >= GAP_SHARE
    volume = pl.col("volume") / pl.col("split_product") / pl.col("volume_reference")
    turnover = move("close") * volume
    usual_money = between(turnover, 0.0, config.normal_dollar_volume)
    no_crash = turnover.is_null() | (turnover <= config.normal_dollar_volume**2)
    large = pl.min_horizontal(_size(step), _size(gap)) >= pl.lit(config.split_sized_jump).log()
    on_ratio = pl.any_horizontal(
        (_size(step) - pl.lit(ratio).log()).abs() <= NEAR_RATIO for ratio in SPLIT_RATIOS
    )
    elsewhere = pl.col("ratio_elsewhere")
    misapplied = (
        (_size(elsewhere) >= pl.lit(config.smallest_split).log())
        & ((_size(step) - _size(elsewhere)).abs() <= pl.lit(config.split_tolerance).log() / 2)
        & overnight
    )
    unmoved = step / pl.col("split_ratio")
    ignored = (_size(pl.col("split_ratio")) >= pl.lit(config.jump).log()) & (
        _size(unmoved * pl.col("kept_share")) < _size(step)
    )
    jumped = known & overnight & (_size(step) >= pl.lit(config.jump).log())
    return (
        pl.when(known & ignored)
        .then(pl.lit(reasons.SPLIT_NOT_IN_PRICES))
        .when(known & misapplied)
        .then(pl.lit(reasons.SPLIT_MISAPPLIED))
        .when(jumped & ((large & no_crash) | (on_ratio & usual_money)))
        .then(pl.lit(reasons.SPLIT_SIZED_JUMP))
        .when(jumped & usual_money)
        .then(pl.lit(reasons.UNEXPLAINED_JUMP))
    )
