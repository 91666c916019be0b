"""`turbomode restore`: a backup put back into an empty data root."""

import os
from pathlib import Path

import click
from rich.console import Console

from turbomode_assets.cli.backup import PartProgress, platform_of
from turbomode_assets.maintenance.backup import CONFIGS
from turbomode_assets.maintenance.restore import restore_backup
from turbomode_assets.settings import CONFIG_DIR_VARIABLE, OPERATIONS_VARIABLE, Settings


@click.command()
@click.argument("source", type=click.Path(path_type=Path, file_okay=False))
def restore(source: Path) -> None:
    """Restore the backup in SOURCE into the data root, which must be empty.

    Every file is held against its digest and everything is opened before any of it is in place.
    """
    console, settings = Console(soft_wrap=True, highlight=False), Settings()
    progress = PartProgress(console)
    manifest, rows = restore_backup(
        source.absolute(), platform_of(settings, operations=False), told=progress.told
    )
    progress.close()
    console.print(
        f"{len(manifest.files)} files, {manifest.bytes / 1e6:,.1f} MB; {len(manifest.tables)} "
        f"tables with {rows:,} rows, as of {manifest.created_at}"
    )
    console.print(f"restored: {settings.root}")
    configs = settings.root / CONFIGS
    differing = _differing(configs, settings.configs)
    if differing:
        console.print(
            f"{', '.join(differing)} of the backup differ from those in {settings.configs}; to use "
            f"the backup's, set {CONFIG_DIR_VARIABLE}={configs}"
        )
    if os.environ.get(OPERATIONS_VARIABLE):
        console.print(f"{OPERATIONS_VARIABLE} names another operations store than the restored one")
    if not any(name.startswith("dagster/") for name in manifest.files):
        console.print(
            "Dagster's record of runs is not in this backup: its pages begin anew, the data are "
            "complete."
        )


def _differing(restored: Path, used: Path) -> list[str]:
    return [
        path.name
        for path in sorted(restored.iterdir())
        if not (used / path.name).is_file() or (used / path.name).read_bytes() != path.read_bytes()
    ]
