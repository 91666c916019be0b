"""What ingestion works with: whom it asks, where it looks, what it remembers, and its clock."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import polars as pl

from turbomode_assets.config.data_quality import DataQualityConfig
from turbomode_assets.config.vendors import FetchConfig, VendorsConfig
from turbomode_assets.sessions import FIRST_SESSION, SessionSpan, last_closed_session, session_index
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.operations import Operations, RationedBudget
from turbomode_assets.vendors import (
    UNIVERSE_FILE,
    Asking,
    Vendor,
    read_universe,
)

REFERENCE = "reference"


@dataclass(frozen=True)
class IngestionTools:
    """Everything a fetch needs; tests put in a clock of their own."""

    config: VendorsConfig
    data_quality: DataQualityConfig
    configs: Path
    vendors: Sequence[Vendor]
    master: MasterReader
    operations: Operations
    budget: RationedBudget
    owner: str
    """Name of this worker, for the leases it holds."""
    now: Callable[[], dt.datetime]
    sleep: Callable[[float], None]

    @property
    def fetch(self) -> FetchConfig:
        """How vendors are asked."""
        return self.config.fetch

    @property
    def asking(self) -> Asking:
        """Whom reference data is asked from."""
        return Asking(self.vendors, self.fetch, self.sleep)

    @property
    def spares_vendors(self) -> bool:
        """Whether what is known is never asked again: asking costs some vendor's budget."""
        return any(vendor.name in self.config.budgets for vendor in self.vendors)

    def budget_left(self) -> str:
        """What is used of these vendors' budgets, for a person."""
        names = [vendor.name for vendor in self.vendors if vendor.name in self.config.budgets]
        return "; ".join(self.budget.describe(name) for name in names) or "no budgets"

    def __enter__(self) -> Self:
        """Lend the vendors for a while."""
        return self

    def __exit__(self, *problem: object) -> None:
        """Let go of the vendors' connections."""
        for vendor in self.vendors:
            vendor.close()

    def stored(self, table: str, span: SessionSpan | None = None) -> pl.DataFrame:
        """Rows of a table (of some sessions); none while it was never written."""
        if not self.master.exists(table):
            return self.master.contract(table).empty()
        return self.master.read(table, caller="ingestion", span=span).rows

    def universe_is_due(self, stored: pl.DataFrame) -> bool:
        """Tell whether the universe is to be asked for: it changed, or what is known is old."""
        if not self.spares_vendors:
            return True
        wanted = read_universe(self.configs / UNIVERSE_FILE)
        known = stored.join(wanted, on="symbol", how="semi")
        due = self.due("instruments", "sector_mappings", wanted)
        return known.height < wanted.height or due.height > 0

    def due(self, kind: str, table: str, instruments: pl.DataFrame) -> pl.DataFrame:
        """Instruments whose reference data of a kind, kept in a table, is to be asked for."""
        if not self.spares_vendors or not self.master.exists(table):
            return instruments
        ages = {str(name): age for name, age in self.fetch.reference_age_sessions.items()}
        today = session_index(last_closed_session(self.now()))
        checks = self.operations.checks(f"{REFERENCE}/{kind}", FIRST_SESSION, FIRST_SESSION)
        fresh = [
            symbol
            for symbol, as_of in checks.select("symbol", "as_of").iter_rows()
            if today - session_index(as_of) < ages[kind]
        ]
        return instruments.filter(~pl.col("symbol").is_in(fresh))

    def remembering(self, kind: str, symbols: Sequence[str]) -> Callable[[], None]:
        """Make what is to be called once reference data of these symbols is stored."""
        as_of = last_closed_session(self.now())
        # Reference data has neither timeframe nor session: the cell is the symbol's only one.
        rows = [
            {"symbol": symbol, "timeframe": "", "session": FIRST_SESSION, "as_of": as_of}
            for symbol in symbols
        ]
        return lambda: self.operations.record_checks(f"{REFERENCE}/{kind}", rows)
