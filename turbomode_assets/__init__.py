"""A Dagster asset graph from raw market data to trading signals one can trust and explain."""

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Load the asset graph; nothing is imported or opened before Dagster asks for it."""
    from turbomode_assets.definitions import build

    return build()
