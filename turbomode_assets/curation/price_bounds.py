"""Mend candles that break low <= open, close <= high. A sound candle is never touched."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.curation import reasons

FAR = 1.5
"""A price is far off when the median of the other three is this many times larger or smaller."""

_OPEN, _HIGH, _LOW, _CLOSE = range(4)
_FAR_REASONS = (
    reasons.OPEN_FAR_OUTSIDE,
    reasons.HIGH_FAR_BELOW,
    reasons.LOW_FAR_ABOVE,
    reasons.CLOSE_FAR_OUTSIDE,
)
_NEAR_REASONS = {_HIGH: reasons.HIGH_WIDENED, _LOW: reasons.LOW_WIDENED}


@dataclass(frozen=True)
class MendedPrices:
    """Candles with sound bounds, the changes made, and the candles beyond repair."""

    candles: pl.DataFrame
    changes: pl.DataFrame
    """A row for each changed value: the candle's columns, reason, column, old and new value."""
    beyond_repair: pl.DataFrame


def mend_bounds(candles: pl.DataFrame) -> MendedPrices:
    """Mend broken candles (prices present and positive), keeping row order.

    - One price is far off: high or low becomes the extreme of the others; open or close goes to
      the nearer bound.
    - None is: high and low widen to hold every price.
    - Several are: they may be the right ones, and the candle cannot tell; it is given up.
    """
    open_, high, low, close = (pl.col(name) for name in PRICES)
    broken = (
        (low > high)
        | (pl.min_horizontal(open_, close) < low)
        | (pl.max_horizontal(open_, close) > high)
    )
    numbered = candles.with_row_index("_row")
    suspects = numbered.filter(broken)
    old = suspects.select(PRICES).to_numpy()
    far = _far_off(old)
    hopeless = far.sum(axis=1) > 1
    mended = suspects.with_columns(
        pl.Series(name, values) for name, values in zip(PRICES, _mend(old, far).T, strict=True)
    ).filter(~pl.Series(hopeless, dtype=pl.Boolean))
    kept = numbered.filter(~broken)
    return MendedPrices(
        pl.concat([kept, mended]).sort("_row").drop("_row"),
        _changes(suspects.drop("_row"), old, far, hopeless),
        suspects.drop("_row").filter(pl.Series(hopeless, dtype=pl.Boolean)),
    )


def _far_off(prices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark, in rows of open, high, low, close, the prices that the other three disown."""
    low, high = prices[:, _LOW], prices[:, _HIGH]
    far = np.zeros(prices.shape, dtype=bool)
    for column in range(4):
        price = prices[:, column]
        others = np.median(np.delete(prices, column, axis=1), axis=1)
        too_low, too_high = price * FAR < others, price > others * FAR
        if column == _HIGH:
            far[:, column] = too_low
        elif column == _LOW:
            far[:, column] = too_high
        else:
            far[:, column] = (too_low | too_high) & ((price < low) | (price > high))
    return far


def _mend(prices: NDArray[np.float64], far: NDArray[np.bool_]) -> NDArray[np.float64]:
    mended = prices.copy()
    mended[:, _HIGH] = np.where(far, -np.inf, prices).max(axis=1)
    mended[:, _LOW] = np.where(far, np.inf, prices).min(axis=1)
    for column in (_OPEN, _CLOSE):
        mended[:, column] = np.clip(prices[:, column], mended[:, _LOW], mended[:, _HIGH])
    return mended


def _changes(
    suspects: pl.DataFrame,
    old: NDArray[np.float64],
    far: NDArray[np.bool_],
    hopeless: NDArray[np.bool_],
) -> pl.DataFrame:
    new = _mend(old, far)
    frames = []
    for column, name in enumerate(PRICES):
        changed = (new[:, column] != old[:, column]) & ~hopeless
        near = _NEAR_REASONS.get(column, _FAR_REASONS[column])
        frames.append(
            suspects.with_columns(
                reason=pl.Series(np.where(far[:, column], _FAR_REASONS[column], near)).cast(
                    pl.String
                ),
                column=pl.lit(name),
                old_value=pl.Series(old[:, column], dtype=pl.Float64),
                new_value=pl.Series(new[:, column], dtype=pl.Float64),
            ).filter(pl.Series(changed, dtype=pl.Boolean))
        )
    return pl.concat(frames)
