"""A copy of one tenant's stores and of the master, all as of one moment, made beside their use.

The tables' versions are read, then the memory is copied, then the versions are read again: where
they are equal, everything was so at one moment. Where writers never rest that long, the memory is
from a moment before the tables: what it refers to is in them, for versions and model files are only
added. The files of a version never change and are copied afterwards, at leisure: maintenance
removes none that somebody still refers to, or that were replaced lately.
"""

import datetime as dt
import importlib.metadata
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from turbomode_assets.contracts.errors import InputError, MissingDataError, StoreError
from turbomode_assets.maintenance.manifest import (
    File,
    Manifest,
    Told,
    copy_file,
    file_digest,
)
from turbomode_assets.maintenance.pins import audit_pins, lake_pins, merged
from turbomode_assets.maintenance.platform import Platform
from turbomode_assets.maintenance.table_copies import files_of, present_versions, readable
from turbomode_assets.stores.artifacts import Artifacts
from turbomode_assets.stores.memory import ModelMemory

TRIES_FOR_ONE_MOMENT = 5
PARTIAL = ".partial"
CONFIGS = "configs"

_SQLITE_SUFFIXES = (".db", ".sqlite")
_SQLITE_SIDE_FILES = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class BackupContents:
    """What a backup holds besides the tables and the memory."""

    configs: Path
    explained_sessions: int
    operations: bool = True
    history: bool = False


@dataclass
class _Copies:
    """Copies files into a backup's folder and keeps their digests."""

    source: Platform
    folder: Path
    told: Told
    files: dict[str, File] = field(default_factory=dict)

    def plain(self, path: Path, name: str | None = None) -> None:
        name = name or self.source.inside(path).as_posix()
        self._add(name, copy_file(path, self.folder / name))

    def sqlite(self, path: Path) -> None:
        name = self.source.inside(path).as_posix()
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with closing(_existing(path)) as live, closing(sqlite3.connect(target)) as copied:
            live.backup(copied)
        self._add(name, file_digest(target))

    def made(self, path: Path) -> None:
        self._add(path.relative_to(self.folder).as_posix(), file_digest(path))

    def _add(self, name: str, file: File) -> None:
        self.files[name] = file
        self.told(name, file.bytes)


def make_backup(
    source: Platform, target: Path, wanted: BackupContents, *, now: dt.datetime, told: Told
) -> Manifest:
    """Copy a tenant's stores into a new folder, and open the copy before it gets its name.

    Raises:
        InputError: the target exists, or lies inside the data root.
        MissingDataError: there is nothing to copy.
        StoreError: a store cannot be read, the copy does not open, or the disk is too small.
    """
    partial = _new_folder(source, target)
    try:
        manifest = _copy(source, partial, wanted, now, told)
        source.moved(partial).check(manifest)
        manifest.write(partial)
        os.sync()  # a name must not outlive a power cut that the contents do not
        partial.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"the backup cannot be written: {error}",
            where=str(partial),
            fix="check disk space and permissions",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _new_folder(source: Platform, target: Path) -> Path:
    partial = target.with_name(target.name + PARTIAL)
    for path in (target, partial):
        if path.exists():
            raise InputError(
                f"{path.name} exists already",
                where=str(path),
                fix="name a new folder"
                if path == target
                else "remove it if no other backup is being made: that one was broken off",
            )
    if target.resolve().is_relative_to(source.root.resolve()):
        raise InputError(
            "the backup would lie inside the data root",
            where=str(target),
            fix="name a folder elsewhere, best on another disk",
        )
    partial.mkdir(parents=True)
    return partial


def _copy(
    source: Platform, partial: Path, wanted: BackupContents, now: dt.datetime, told: Told
) -> Manifest:
    copies = _Copies(source, partial, told)
    # What is told of the tables comes first: told too little, work is only done once more.
    if wanted.history and source.history.is_dir():
        _copy_history(copies)
    if wanted.operations and source.operations is not None and source.operations.is_file():
        copies.sqlite(source.operations)
    tables, at_one_moment = _memory_and_versions(source, source.moved(partial).memory)
    if not tables:
        raise MissingDataError(
            "there is nothing to back up",
            where=str(source.root),
            fix="check TURBOMODE_DATA_ROOT and TURBOMODE_TENANT",
        )
    if (memory := source.moved(partial).memory).is_file():
        copies.made(memory)
    kept, lost = _older_versions(source, memory, tables, wanted.explained_sessions)
    files = list(_table_files(source, tables, kept))
    files += Artifacts(source.artifacts).finished_files()
    _check_space(partial, files)
    for path in files:
        copies.plain(path)
    for path in sorted(wanted.configs.iterdir()):
        if path.is_file():
            copies.plain(path, f"{CONFIGS}/{path.name}")
    return Manifest(
        tenant=source.tenant,
        created_at=now.isoformat(),
        program=importlib.metadata.version("turbomode_assets"),
        at_one_moment=at_one_moment,
        tables=tables,
        kept=kept,
        lost=lost,
        files=copies.files,
    )


def _memory_and_versions(source: Platform, copied: Path) -> tuple[dict[str, int], bool]:
    """Copy the memory, and tell the tables' versions and whether both are of one moment."""
    memory, readers = ModelMemory(source.memory, source.tenant), (source.lake, source.master)
    if not memory.exists():
        return present_versions(readers), True
    copied.parent.mkdir(parents=True)
    for _ in range(TRIES_FOR_ONE_MOMENT):
        copied.unlink(missing_ok=True)
        before = present_versions(readers)
        memory.copy_to(copied)
        after = present_versions(readers)
        if before == after:
            return after, True
    return after, False


def _older_versions(
    source: Platform, memory: Path, tables: Mapping[str, int], explained_sessions: int
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Older versions that the copied memory, the signals and the last audit refer to.

    The second are those that cannot be copied: some of their files are gone.
    """
    pins = merged(
        lake_pins(memory, source.lake, explained_sessions=explained_sessions),
        audit_pins(source.master),
    )
    kept, lost = {}, {}
    for table, version in tables.items():
        reader, name = source.reader_of(table)
        wanted = {at for at in pins.get(name, ()) if at < version}
        opened = readable(reader.uri(name), wanted)
        if whole := [at for at, is_whole in opened.items() if is_whole]:
            kept[table] = whole
        if gone := sorted(wanted.difference(whole)):
            lost[table] = gone
    return kept, lost


def _table_files(
    source: Platform, tables: Mapping[str, int], kept: Mapping[str, list[int]]
) -> Iterator[Path]:
    for table, version in tables.items():
        reader, name = source.reader_of(table)
        for path in files_of(reader.uri(name), version, kept.get(table, [])):
            yield Path(reader.uri(name)) / path


def _copy_history(copies: _Copies) -> None:
    for path in sorted(copies.source.history.rglob("*")):
        if path.suffix in _SQLITE_SUFFIXES:
            copies.sqlite(path)
        elif path.is_file() and not path.name.endswith(_SQLITE_SIDE_FILES):
            copies.plain(path)


def _existing(path: Path) -> sqlite3.Connection:
    """Open a database, and never make one in place of a file that was removed meanwhile."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)


def _check_space(folder: Path, files: list[Path]) -> None:
    needed, free = sum(path.stat().st_size for path in files), shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"the backup needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
            where=str(folder),
            fix="name a folder on a larger disk",
        )
