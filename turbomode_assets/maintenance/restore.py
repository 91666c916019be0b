"""A backup put back into an empty data root, after every file was held against its digest."""

import dataclasses
import shutil
from pathlib import Path

from turbomode_assets.contracts.errors import InputError, StoreError, first_few
from turbomode_assets.maintenance.manifest import (
    Manifest,
    Told,
    copy_file,
    read_manifest,
)
from turbomode_assets.maintenance.platform import OPERATIONS, Platform

STAGING = ".restoring"
_INSTANCE_FILE = "dagster.yaml"


def restore_backup(source: Path, target: Platform, *, told: Told) -> tuple[Manifest, int]:
    """Copy a backup into the data root, open the copy, and put it in its place; count its rows.

    Raises:
        InputError: the root is not empty, or the backup is another tenant's.
        StoreError: it is no complete backup, or a file is not as it was written.
    """
    manifest = read_manifest(source)
    if manifest.tenant != target.tenant:
        raise InputError(
            f"the backup is of tenant {manifest.tenant!r}, not {target.tenant!r}",
            where=str(source),
            fix=f"set TURBOMODE_TENANT={manifest.tenant}",
        )
    _check_empty(target)
    staging = target.root / STAGING
    staging.mkdir()
    try:
        _copy(source, staging, manifest, told)
        operations = [target.root / name for name in manifest.files if name.startswith(OPERATIONS)]
        restored = dataclasses.replace(target, operations=next(iter(operations), None))
        rows = restored.moved(staging).check(manifest)
        for part in sorted(staging.iterdir()):
            place = target.root / part.name
            if place.is_dir():
                shutil.rmtree(place)  # an instance folder without a history
            part.rename(place)
    except OSError as error:
        raise StoreError(
            f"the backup cannot be restored: {error}",
            where=str(staging),
            fix="check disk space and permissions, empty the data root, and try again",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest, rows


def _check_empty(target: Platform) -> None:
    """Refuse a root that holds anything but the instance's own configuration."""
    found = [
        path.relative_to(target.root).as_posix()
        for path in sorted(target.root.rglob("*"))
        if not path.is_dir() and path != target.history / _INSTANCE_FILE
    ]
    if found or (target.root / STAGING).exists():
        raise InputError(
            f"the data root is not empty: {first_few(found or [STAGING])}",
            where=str(target.root),
            fix="restore into a new folder: set TURBOMODE_DATA_ROOT to it",
        )


def _copy(source: Path, staging: Path, manifest: Manifest, told: Told) -> None:
    damaged = []
    for name, file in manifest.files.items():
        path = source / name
        if not path.is_file() or copy_file(path, staging / name) != file:
            damaged.append(name)
        told(name, file.bytes)
    if damaged:
        raise StoreError(
            f"{len(damaged)} files of the backup are missing or not as they were written: "
            f"{first_few(damaged)}",
            where=str(source),
            fix="take another backup; nothing was restored",
        )
