"""The vendors that the configuration names."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from turbomode_assets.config.vendors import VendorsConfig
from turbomode_assets.rationing.protocol import Budget
from turbomode_assets.vendors.archive import ArchiveVendor
from turbomode_assets.vendors.protocol import Vendor
from turbomode_assets.vendors.simulated import SimulatedVendor
from turbomode_assets.vendors.universe import read_universe

UNIVERSE_FILE = "universe.csv"


def build_vendors(
    config: VendorsConfig,
    *,
    data_root: Path,
    configs: Path,
    budget: Budget,
    now: Callable[[], dt.datetime],
) -> list[Vendor]:
    """Vendors in order of precedence; a relative archive folder hangs below the data root.

    Raises:
        ConfigurationError: a vendor needs the universe file, and it is absent or malformed.
    """
    makers: dict[str, Callable[[], Vendor]] = {
        "simulated": lambda: SimulatedVendor(config.simulated),
        "archive": lambda: ArchiveVendor(config.archive, data_root),
        "ibkr": lambda: _ibkr(config, configs, budget, now),
        "yahoo": lambda: _yahoo(config, configs, budget, now, data_root),
    }
    return [makers[name]() for name in config.precedence]


# The clients of real vendors take seconds to import, so only those who ask one pay for it.


def _ibkr(
    config: VendorsConfig, configs: Path, budget: Budget, now: Callable[[], dt.datetime]
) -> Vendor:
    from turbomode_assets.vendors.ibkr import IbkrVendor

    return IbkrVendor(config.ibkr, read_universe(configs / UNIVERSE_FILE), budget, now)


def _yahoo(
    config: VendorsConfig,
    configs: Path,
    budget: Budget,
    now: Callable[[], dt.datetime],
    data_root: Path,
) -> Vendor:
    from turbomode_assets.vendors.yahoo import YahooVendor

    universe = read_universe(configs / UNIVERSE_FILE)
    return YahooVendor(config.yahoo, universe, budget, data_root / "operations" / "yahoo", now)
