"""A made-up market."""

from turbomode_assets.vendors.simulated.vendor import SimulatedVendor

__all__ = ["SimulatedVendor"]
