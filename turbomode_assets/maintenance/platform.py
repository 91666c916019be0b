"""Where everything lies that one tenant has, and whether a copy of it opens."""

import dataclasses
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from turbomode_assets.contracts.errors import StoreError
from turbomode_assets.contracts.table import TableContract
from turbomode_assets.maintenance.manifest import Manifest
from turbomode_assets.maintenance.pins import reading_memory
from turbomode_assets.maintenance.table_copies import check_copy
from turbomode_assets.stores.master import MasterReader
from turbomode_assets.stores.reader import TableReader

OPERATIONS = "operations/"
"""Where the operations store lies below a data root."""


@dataclass(frozen=True)
class Platform:
    """Stores of one tenant, and the master. `operations` is None where that is no file."""

    root: Path
    tenant: str
    lake_tables: Mapping[str, TableContract]
    master_root: Path
    lake_root: Path
    memory: Path
    artifacts: Path
    history: Path
    operations: Path | None

    @property
    def master(self) -> TableReader:
        """The shared master store."""
        return MasterReader(str(self.master_root))

    @property
    def lake(self) -> TableReader:
        """The tenant's lake."""
        return TableReader(str(self.lake_root), f"lake/{self.tenant}", self.lake_tables)

    def moved(self, root: Path) -> "Platform":
        """The same stores under another root."""
        return dataclasses.replace(
            self,
            root=root,
            master_root=root / self.inside(self.master_root),
            lake_root=root / self.inside(self.lake_root),
            memory=root / self.inside(self.memory),
            artifacts=root / self.inside(self.artifacts),
            history=root / self.inside(self.history),
            operations=self.operations and root / self.inside(self.operations),
        )

    def inside(self, path: Path) -> Path:
        """Where a file lies below the root; an operations store elsewhere has its usual place."""
        if path == self.operations and not path.is_relative_to(self.root):
            return Path(OPERATIONS) / path.name
        return path.relative_to(self.root)

    def reader_of(self, table: str) -> tuple[TableReader, str]:
        """Reader and plain name of a table called `master/candles` or `lake/<tenant>/bars`."""
        owner, _, name = table.rpartition("/")
        return (self.master if owner == self.master.owner else self.lake), name

    def check(self, manifest: Manifest) -> int:
        """Open everything that a manifest names, as its users would; count the rows of all tables.

        Raises:
            StoreError: something does not open, or is not as the manifest says.
        """
        rows = 0
        for table, version in manifest.tables.items():
            reader, name = self.reader_of(table)
            rows += check_copy(reader, name, version, manifest.kept.get(table, []))
        if self.memory.is_file():
            _check_memory(self.memory, self.tenant)
        if self.operations is not None and self.operations.is_file():
            _check_sqlite(self.operations)
        return rows


def _check_memory(path: Path, tenant: str) -> None:
    with reading_memory(path) as connection:
        owner = connection.execute("SELECT tenant FROM memory_schema").fetchone()
    if owner != (tenant,):
        raise StoreError(
            f"model memory belongs to tenant {owner and owner[0]!r}, not {tenant!r}",
            where=str(path),
            fix="make another backup",
        )


def _check_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise StoreError(
            f"the copy of the operations store is damaged: {verdict}",
            where=str(path),
            fix="make another backup; check the disk if it fails again",
        )
