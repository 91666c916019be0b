"""`turbomode status`: how complete the market data are, in the terminal."""

import click
from rich.console import Console

from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.reports import status_lines
from turbomode_assets.resources.settings import SettingsResource
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.operations import Operations


@click.command()
def status() -> None:
    """Show the ledger: shares of GREEN, AMBER and RED, why, how old, and what is queued."""
    settings, console = SettingsResource(), Console()
    master = MasterReader(settings.master_root)
    audited = master.stored_span("partition_status")
    if audited is None:
        raise MissingDataError(
            "nothing was audited yet",
            where=settings.master_root,
            fix="run `make demo`, or materialize raw_candles and audit as the README says",
        )
    ledger = master.read("partition_status", caller="status").rows
    audits = master.read("audits", caller="status").rows
    queue = Operations(settings.operations_url).queued()
    for line in status_lines(ledger, audits, queue, as_of=audited.last, width=console.width):
        console.print(line)
