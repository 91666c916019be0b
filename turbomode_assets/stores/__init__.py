"""Reading and writing the stores: Delta tables, the DuckDB model memory, artifacts. No formulas."""

from typing import TYPE_CHECKING

from turbomode_assets.contracts.lazy import lazy_names

if TYPE_CHECKING:
    from turbomode_assets.stores.artifacts import Artifacts as Artifacts
    from turbomode_assets.stores.features import read_features as read_features
    from turbomode_assets.stores.lake import Lake as Lake
    from turbomode_assets.stores.market_data import MarketData as MarketData
    from turbomode_assets.stores.master import MasterReader as MasterReader
    from turbomode_assets.stores.memory import ModelMemory as ModelMemory
    from turbomode_assets.stores.reader import PinnedRows as PinnedRows
    from turbomode_assets.stores.reader import TableReader as TableReader

__getattr__ = lazy_names(
    __name__,
    {
        "artifacts": ("Artifacts",),
        "features": ("read_features",),
        "lake": ("Lake",),
        "market_data": ("MarketData",),
        "master": ("MasterReader",),
        "memory": ("ModelMemory",),
        "reader": (
            "PinnedRows",
            "TableReader",
        ),
    },
)
