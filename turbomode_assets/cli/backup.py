"""`turbomode backup`: one tenant's stores and the master, copied as of one moment."""

import datetime as dt
from pathlib import Path

import click
import sqlalchemy as sa
from rich.console import Console

from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.contracts.store_paths import require_usable_path
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.maintenance.backup import BackupContents, make_backup
from turbomode_assets.maintenance.platform import Platform
from turbomode_assets.settings import Settings


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--history", is_flag=True, help="Also Dagster's own record of runs.")
@click.option(
    "--without-operations",
    is_flag=True,
    help="Leave out queue, leases and budgets, because PostgreSQL keeps them. A tenant that does "
    "not ingest has none.",
)
def backup(target: Path, history: bool, without_operations: bool) -> None:
    """Copy memory, lake, master, operations, model files and configuration into TARGET.

    TARGET is a new folder outside of the data root. Everything is as of one moment and may be in
    use meanwhile. Old versions that models and explained signals refer to are copied as well.
    """
    console, settings = Console(soft_wrap=True, highlight=False), Settings()
    require_usable_path(target, where="TARGET")
    wanted = BackupContents(
        configs=settings.configs,
        explained_sessions=settings.scheduler().maintenance.explained_sessions,
        operations=settings.ingests and not without_operations,
        history=history,
    )
    progress = PartProgress(console)
    manifest = make_backup(
        platform_of(settings, operations=wanted.operations),
        target.absolute(),
        wanted,
        now=dt.datetime.now(dt.UTC),
        told=progress.told,
    )
    progress.close()
    console.print(
        f"{len(manifest.files)} files, {manifest.bytes / 1e6:,.1f} MB; {len(manifest.tables)} "
        f"tables, and {sum(map(len, manifest.kept.values()))} older versions of them"
    )
    for table, versions in manifest.lost.items():
        listed = first_few(versions)
        console.print(f"not in it: {table} at version {listed}, whose files are gone already")
    if not manifest.at_one_moment:
        console.print("The memory is from a moment before the tables, which changed all the time.")
    console.print(f"written, opened and found whole: {target}")


def platform_of(settings: Settings, *, operations: bool = True) -> Platform:
    """Where the stores of the settings' tenant lie.

    Raises:
        InputError: the operations store is wanted, but is no file.
    """
    return Platform(
        root=settings.root,
        tenant=settings.tenant_name,
        lake_tables=lake_tables(feature_names()),
        master_root=Path(settings.master_root),
        lake_root=Path(settings.lake_root),
        memory=settings.memory_path,
        artifacts=settings.artifacts_root,
        history=settings.root / "dagster" / settings.tenant_name,
        operations=_operations_file(settings.operations_url) if operations else None,
    )


def _operations_file(url: str) -> Path:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise InputError(
            "the operations store is kept by PostgreSQL, which copies itself",
            where="environment variable TURBOMODE_OPERATIONS_URL",
            fix="run pg_dump on it, and then turbomode backup --without-operations",
        )
    return Path(parsed.database)


class PartProgress:
    """Says what is copied, table by table, as soon as each is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._part = ""
        self._files = self._bytes = 0

    def told(self, name: str, size: int) -> None:
        """Count a file."""
        part = "/".join(Path(name).parent.parts[: 3 if name.startswith("lake/") else 2])
        if part != self._part:
            self.close()
            self._part = part
        self._files += 1
        self._bytes += size

    def close(self) -> None:
        """Print the part that was counted last."""
        if self._part:
            line = f"  {self._part:<40}{self._files:>6} files {self._bytes / 1e6:>10,.2f} MB"
            self._console.print(line)
        self._part, self._files, self._bytes = "", 0, 0
