"""What commands print: signals, and where the stores lie."""

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.settings import Settings
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.active_signals import active_signals

_SHARES = {"P(sell)": "p_sell", "P(hold)": "p_hold", "P(buy)": "p_buy"}
_PRICES = {
    "entry": "entry_price_estimate",
    "profit": "profit_take_price",
    "stop": "stop_loss_price",
}


def newest_signals(settings: Settings) -> pl.DataFrame:
    """Read the newest signals of the tenant.

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
    return newest


def print_signals(console: Console, settings: Settings) -> None:
    """Print the newest signals of the tenant."""
    newest = newest_signals(settings)
    first = newest.row(0, named=True)
    entry, expiry = (_day(first[name]) for name in ("entry_session", "expiry_session"))
    traded = f"in on {entry} at about the entry price, out by {expiry}"
    models = ", ".join(sorted(newest.get_column("model_version").unique()))
    table = Table(
        title=f"Signals of {first['session']}, vendor={first['vendor']}",
        caption=f"{traded}; model {models}",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    longest = max(len(symbol) for symbol in newest.get_column("symbol"))
    for heading in ("rank", "symbol", "signal", *_SHARES, *_PRICES):
        is_text = heading in ("symbol", "signal")
        table.add_column(
            heading,
            justify="left" if is_text else "right",
            min_width=longest if heading == "symbol" else None,
        )
    for row in newest.iter_rows(named=True):
        shares = [f"{row[name]:.3f}" for name in _SHARES.values()]
        prices = [row[name] for name in _PRICES.values()]
        told = ["" if price is None else f"{price:,.6g}" for price in prices]
        table.add_row(str(row["rank"] or ""), row["symbol"], row["signal"], *shares, *told)
    console.print(table)


def _day(session: object) -> str:
    return "an unrecorded session" if session is None else str(session)


def print_stores(console: Console, settings: Settings) -> None:
    """Print where each store lies."""
    console.print("Stores")
    for name, path in (
        ("master", settings.master_root),
        ("lake", settings.lake_root),
        ("memory", settings.memory_path),
        ("artifacts", settings.artifacts_root),
    ):
        console.print(f"  {name:<10}{path}", soft_wrap=True, highlight=False)


def print_decision(console: Console, settings: Settings) -> None:
    """Say what the gate decided last, and why."""
    from turbomode_assets.stores.promotions import promotions

    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    last = promotions(memory).row(-1, named=True)
    console.print(f"  {last['model_version']} was {last['decision']}: {last['reason']}")
