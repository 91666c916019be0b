"""Interactive Brokers, through a running IB Gateway or TWS."""

from turbomode_assets.vendors.ibkr.vendor import IbkrVendor

__all__ = ["IbkrVendor"]
