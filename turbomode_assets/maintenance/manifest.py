"""What a backup says of itself: whose it is, at which versions, and the digest of every file."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from turbomode_assets.contracts.errors import StoreError

MANIFEST_FILE = "backup.json"
FORMAT_VERSION = 1
_BLOCK_BYTES = 1 << 20

Told = Callable[[str, int], None]
"""Hears the name of each file that was copied, and its bytes."""


@dataclass(frozen=True)
class File:
    """Size and SHA-256 of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The contents of `backup.json`.

    `tables` gives the version of each table (`master/candles`, `lake/<tenant>/bars`), `kept` its
    older versions that can be opened as well, `lost` those that are referred to and were no longer
    whole. `at_one_moment` is false where the memory is from a
    moment before the tables, because these changed all the time.
    """

    tenant: str
    created_at: str
    program: str
    at_one_moment: bool
    tables: Mapping[str, int]
    kept: Mapping[str, list[int]]
    lost: Mapping[str, list[int]]
    files: Mapping[str, File]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files.values())

    def write(self, folder: Path) -> None:
        """Write the manifest into a backup's folder."""
        content = {"format": FORMAT_VERSION, **dataclasses.asdict(self)}
        text = json.dumps(content, indent=1, sort_keys=True)
        (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a backup.

    Raises:
        StoreError: the folder is no backup, of a newer format, or names files outside of it.
    """
    try:
        content: dict[str, Any] = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        version = content.pop("format")
        if version != FORMAT_VERSION:
            raise StoreError(
                f"the backup has format {version}; this program knows {FORMAT_VERSION}",
                where=str(folder),
                fix="restore it with the version of turbomode_assets that made it",
            )
        content["files"] = {name: File(**each) for name, each in content["files"].items()}
        manifest = Manifest(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"this is no complete backup: {error}",
            where=str(folder / MANIFEST_FILE),
            fix="name a folder that `turbomode backup` has made; one that ends in .partial is not "
            "finished",
        ) from error
    strangers = [name for name in manifest.files if not _is_inside(name)]
    if strangers:
        raise StoreError(
            f"the backup names files outside of its folder: {strangers[0]}",
            where=str(folder / MANIFEST_FILE),
            fix="do not restore it; make another backup",
        )
    return manifest


def copy_file(source: Path, target: Path) -> File:
    """Copy a file and return its digest."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reading, target.open("xb") as writing:
        while block := reading.read(_BLOCK_BYTES):
            digest.update(block)
            writing.write(block)
            size += len(block)
    return File(size, digest.hexdigest())


def file_digest(path: Path) -> File:
    """Return the digest of a file."""
    with path.open("rb") as reading:
        digest = hashlib.file_digest(reading, "sha256").hexdigest()
    return File(path.stat().st_size, digest)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and name == str(path)
