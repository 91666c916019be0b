"""What commands print: signals, and where the stores lie."""

import polars as pl
from rich.console import Console
from rich.table import Table

from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.resources.settings import SettingsResource
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.promotions import promotions
from turbomode_assets.stores.signal_book import active_signals


def print_signals(console: Console, settings: SettingsResource) -> None:
    """Print the newest signals of the tenant.

    Raises:
        MissingDataError: there are none.
    """
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    newest = active_signals(memory) if memory.exists() else pl.DataFrame()
    if newest.is_empty():
        raise MissingDataError(
            "there are no signals yet",
            where=str(settings.memory_path),
            fix="run `make demo`, or materialize the graph as the README says",
        )
    first = newest.row(0, named=True)
    table = Table(title=f"Signals of {first['session']}, vendor={first['vendor']}")
    for heading in ("symbol", "signal", "P(sell)", "P(hold)", "P(buy)", "model"):
        table.add_column(heading, justify="right" if heading.startswith("P") else "left")
    for row in newest.iter_rows(named=True):
        shares = [f"{row[name]:.3f}" for name in ("p_sell", "p_hold", "p_buy")]
        table.add_row(row["symbol"], row["signal"], *shares, row["model_version"])
    console.print(table)


def print_stores(console: Console, settings: SettingsResource) -> None:
    """Print where each store lies."""
    console.print("Stores")
    for name, path in (
        ("master", settings.master_root),
        ("lake", settings.lake_root),
        ("memory", settings.memory_path),
        ("artifacts", settings.artifacts_root),
    ):
        console.print(f"  {name:<10}{path}", soft_wrap=True, highlight=False)


def print_decision(console: Console, settings: SettingsResource) -> None:
    """Say what the gate decided last, and why."""
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    last = promotions(memory).row(-1, named=True)
    console.print(f"  {last['model_version']} was {last['decision']}: {last['reason']}")
