"""A tenant's own lake: what is derived from the master store."""

from collections.abc import Mapping

import polars as pl

from turbomode_assets.contracts.table import TableContract
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.delta import Scope, WriteResult, replace_rows
from turbomode_assets.stores.reader import TableReader


class Lake(TableReader):
    """Reads and writes one tenant's tables, and no other's."""

    def __init__(self, root: str, tenant: str, tables: Mapping[str, TableContract]) -> None:
        super().__init__(root, f"lake/{tenant}", tables)

    def replace(
        self, table: str, frame: pl.DataFrame, *, span: SessionSpan, caller: str
    ) -> WriteResult:
        """Make the rows of the span exactly `frame`; an empty frame empties the span."""
        return replace_rows(
            self.uri(table),
            frame,
            self.contract(table),
            owner=self.owner,
            scope=Scope(span),
            caller=caller,
        )
