"""Yahoo Finance."""

from turbomode_assets.vendors.yahoo.vendor import YahooVendor

__all__ = ["YahooVendor"]
