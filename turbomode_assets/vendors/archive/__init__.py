"""Files on disk."""

from turbomode_assets.vendors.archive.vendor import ArchiveVendor

__all__ = ["ArchiveVendor"]
