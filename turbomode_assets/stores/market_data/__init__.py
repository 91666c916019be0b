"""Market data for people: read-only, in polars frames."""

from turbomode_assets.stores.market_data.api import MarketData

__all__ = ["MarketData"]
