"""Which files Delta tables consist of at one moment, and whether a copy opens at that version."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from turbomode_assets.contracts.errors import StoreError
from turbomode_assets.stores.delta import open_table
from turbomode_assets.stores.reader import TableReader

READINGS = 200

_LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_LOG_FILE = re.compile(r"(\d{20})\.(?:json|checkpoint.*\.parquet)")


def present_versions(readers: Sequence[TableReader]) -> dict[str, int]:
    """Version of every table (`master/candles`), all as of one moment; unwritten ones are left out.

    The versions are read twice: where both readings are equal, all tables were so in between. It
    takes no longer than listing their logs.

    Raises:
        StoreError: writers were faster, again and again.
    """
    for _ in range(READINGS):
        first = _versions(readers)
        if first == _versions(readers):
            return first
    raise StoreError(
        "the tables change faster than their versions can be read",
        where=", ".join(reader.owner for reader in readers),
        fix="try again when less is written",
    )


def _versions(readers: Sequence[TableReader]) -> dict[str, int]:
    found = {}
    for reader in readers:
        for table in reader.tables:
            folder = Path(reader.uri(table)) / _LOG
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
            commits = [int(match[1]) for name in names if (match := _COMMIT.fullmatch(name))]
            if commits:
                found[f"{reader.owner}/{table}"] = max(commits)
    return found


def readable(uri: str, versions: Iterable[int]) -> dict[int, bool]:
    """Those versions of a table that can be opened, and whether all of their files are there.

    Of the others the log was removed.

    Raises:
        DeltaError: the log is there, but cannot be read.
    """
    is_there = cache(lambda path: Path(path).is_file())  # versions have most files in common
    found = {}
    for version in sorted(versions):
        try:
            table = DeltaTable(uri, version=version)
        except DeltaError:
            if (Path(uri) / _LOG / f"{version:020d}.json").is_file():
                raise
        else:
            found[version] = all(map(is_there, table.file_uris()))
    return found


def files_of(uri: str, version: int, older: Collection[int]) -> Iterator[Path]:
    """Paths inside a table's folder by which it opens at a version and at some older ones.

    Raises:
        StoreError: a version cannot be opened.
    """
    folder = Path(uri)
    for path in sorted((folder / _LOG).iterdir()):
        match = _LOG_FILE.fullmatch(path.name)
        if match and int(match[1]) <= version:
            yield path.relative_to(folder)
    paths: set[str] = set()
    for each in sorted({version, *older}):
        try:
            paths |= set(DeltaTable(uri, version=each).file_uris())
        except (DeltaError, OSError) as error:
            raise StoreError(
                f"version {each} cannot be opened: {error}",
                where=uri,
                fix="restore the table from an older backup",
            ) from error
    real = folder.resolve()  # as Delta names them
    yield from (Path(path).relative_to(real) for path in sorted(paths))


def check_copy(reader: TableReader, table: str, version: int, older: Collection[int]) -> int:
    """Open a copied table as its readers do, at every version it was copied for; count its rows.

    Raises:
        StoreError: it opens at another version, or files of it are missing.
    """
    uri = reader.uri(table)
    present = open_table(uri, reader.contract(table), reader.owner)
    rows = int(pl.scan_delta(present).select(pl.len()).collect().item())
    absent = [
        path
        for each in sorted({version, *older})
        for path in DeltaTable(uri, version=each).file_uris()
        if not Path(path).is_file()
    ]
    if present.version() != version or absent:
        raise StoreError(
            f"the copy of {reader.owner}/{table} opens at version {present.version()}, not "
            f"{version}, and lacks {len(absent)} files",
            where=uri,
            fix="make the copy again; check the disk if it fails again",
        )
    return rows
