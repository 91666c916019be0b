"""Reading and writing the stores: Delta tables, the DuckDB model memory, artifacts. No formulas."""

from turbomode_assets.stores.artifacts import Artifacts
from turbomode_assets.stores.features import read_features
from turbomode_assets.stores.lake import Lake
from turbomode_assets.stores.market_data import MarketData
from turbomode_assets.stores.master import MasterReader
from turbomode_assets.stores.memory import ModelMemory
from turbomode_assets.stores.reader import Pinned, TableReader

__all__ = [
    "Artifacts",
    "Lake",
    "MarketData",
    "MasterReader",
    "ModelMemory",
    "Pinned",
    "TableReader",
    "read_features",
]
