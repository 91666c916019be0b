"""Where market data comes from: the vendor protocol, its vendors, and what they deliver."""

from turbomode_assets.vendors.ingestion import (
    build_vendors,
    fetch_candles,
    fetch_corporate_actions,
    fetch_universe,
)
from turbomode_assets.vendors.merging import merge_metadata, merge_sector_mappings
from turbomode_assets.vendors.protocol import (
    Candles,
    CorporateActions,
    Instruments,
    NoData,
    Request,
    Vendor,
    VendorFailure,
)

__all__ = [
    "Candles",
    "CorporateActions",
    "Instruments",
    "NoData",
    "Request",
    "Vendor",
    "VendorFailure",
    "build_vendors",
    "fetch_candles",
    "fetch_corporate_actions",
    "fetch_universe",
    "merge_metadata",
    "merge_sector_mappings",
]
