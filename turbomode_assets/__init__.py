"""A Dagster asset graph from raw market data to trading signals one can trust and explain."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg


def __getattr__(name: str) -> "dg.Definitions":
    """Give `defs`, the asset graph, when Dagster asks for it: no room loads Dagster before."""
    if name != "defs":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from turbomode_assets.orchestration.definitions import build

    return build()


def __dir__() -> list[str]:
    """Name `defs` too, or Dagster does not find it."""
    return [*globals(), "defs"]
