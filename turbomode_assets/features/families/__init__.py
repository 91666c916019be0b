"""The formulas, one module for each family. Importing them declares them."""

from turbomode_assets.features.families import (
    candle_shape,
    indicator,
    liquidity,
    market,
    price_level,
    range_volatility,
    rolling_flow,
    rolling_price,
)

__all__ = [
    "candle_shape",
    "indicator",
    "liquidity",
    "market",
    "price_level",
    "range_volatility",
    "rolling_flow",
    "rolling_price",
]
