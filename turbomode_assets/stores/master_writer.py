"""Writing the master store. For ingestion alone: a test holds who may import this module."""

from collections.abc import Sequence

import polars as pl

from turbomode_assets.contracts.errors import MissingDataError, StoreError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.delta import Scope, WriteResult, append_rows, replace_rows
from turbomode_assets.stores.master import MASTER, MasterReader


class MasterWriter(MasterReader):
    """Replaces exactly the rows that ingestion fetched."""

    def replace(
        self,
        table: str,
        frame: pl.DataFrame,
        *,
        span: SessionSpan | None,
        symbols: Sequence[str] | None,
        caller: str,
        timeframes: Sequence[str] | None = None,
    ) -> WriteResult:
        """Make the rows of these symbols inside the span exactly `frame`.

        Symbols that were not fetched keep what is stored: one added later, or one that failed,
        deletes nothing of the others. A table with a timeframe replaces the given timeframes, the
        frame's own where none are given. `symbols` is None for a table without them.

        Raises:
            StoreError: simulated and real market data would share the store.
        """
        contract = self.contract(table)
        scoped: dict[str, tuple[str, ...]] = {}
        if "symbol" in contract.scope_columns:
            scoped["symbol"] = tuple(sorted(symbols or ()))
        if "timeframe" in contract.scope_columns:
            scoped["timeframe"] = tuple(sorted(timeframes or frame["timeframe"].unique()))
        if not all(scoped.values()):
            raise MissingDataError(
                "nothing was fetched",
                where=f"table {table}, {span}",
                fix="check the vendors and the universe; an empty fetch never replaces market data",
            )
        self._refuse_mixed_provenance(table, frame)
        scope = Scope(span, tuple(scoped.items()))
        return replace_rows(
            self.uri(table), frame, contract, owner=MASTER, scope=scope, caller=caller
        )

    def append(self, table: str, frame: pl.DataFrame, *, caller: str) -> WriteResult:
        """Add rows to a log; those whose key it holds already are left out.

        Raises:
            StoreError: simulated and real market data would share the store.
        """
        self._refuse_mixed_provenance(table, frame)
        contract = self.contract(table)
        return append_rows(self.uri(table), frame, contract, owner=MASTER, caller=caller)

    def _refuse_mixed_provenance(self, table: str, frame: pl.DataFrame) -> None:
        if "vendor" not in frame.columns:
            return
        # Every write is held to this, so that one stored row speaks for all.
        stored = self.any_value(table, "vendor")
        vendors = set(frame.get_column("vendor")) | ({str(stored)} if stored is not None else set())
        if "simulated" in vendors and len(vendors) > 1:
            raise StoreError(
                f"simulated and real market data would share a table: {', '.join(sorted(vendors))}",
                where=self.uri(table),
                fix="set TURBOMODE_DATA_ROOT to a new folder for the other vendor",
            )
