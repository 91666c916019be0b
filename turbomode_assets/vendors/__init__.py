"""Where market data comes from: the vendor protocol, its vendors, and what they deliver."""

from turbomode_assets.vendors.building import UNIVERSE_FILE, build_vendors
from turbomode_assets.vendors.merging import merge_metadata, merge_sector_mappings
from turbomode_assets.vendors.protocol import (
    Candles,
    CorporateActions,
    Fundamentals,
    Instruments,
    NoData,
    Request,
    Vendor,
    VendorFailure,
)
from turbomode_assets.vendors.reference import (
    Asking,
    ReferenceAnswer,
    fetch_corporate_actions,
    fetch_fundamentals,
    fetch_universe,
)
from turbomode_assets.vendors.universe import read_universe

__all__ = [
    "UNIVERSE_FILE",
    "Asking",
    "Candles",
    "CorporateActions",
    "Fundamentals",
    "Instruments",
    "NoData",
    "ReferenceAnswer",
    "Request",
    "Vendor",
    "VendorFailure",
    "build_vendors",
    "fetch_corporate_actions",
    "fetch_fundamentals",
    "fetch_universe",
    "merge_metadata",
    "merge_sector_mappings",
    "read_universe",
]
