"""Which code and libraries decide a model's bytes, once the rows that it learns from are given."""

import ast
import functools
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path

from turbomode_assets.contracts.devices import Device, choose_device

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = "turbomode_assets.ensemble.run"
"""From rows to fitted and stacked models; how rows are made is in the digest of the rows."""
LIBRARIES = ("lightgbm", "numpy", "polars", "safetensors", "scikit-learn", "scipy", "torch")
"""All of them fit with one thread (`models`, `meta_learner`): how many a machine has is no part."""


def environment(device: Device) -> dict[str, str]:
    """What shapes a model beside its rows and rules: libraries, Python, code, and the device."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    versions["python"] = platform.python_version()
    return versions | {"device": choose_device(device).type, "code": code_digest()}


@functools.cache
def code_digest() -> str:
    """SHA-256 of every module that training imports, directly or not."""
    return digest_of_modules(PACKAGE)


def digest_of_modules(package: Path) -> str:
    """SHA-256 of the modules of a package folder that `ROOT` leads to."""
    content = hashlib.sha256()
    for path in imported_modules(package):
        content.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return content.hexdigest()


def imported_modules(package: Path) -> list[Path]:
    """Modules that `ROOT` imports, directly or not; of a package that is imported from, all.

    A package may load its modules only when they are asked for, which no import statement shows.
    """
    found: set[Path] = set()
    waiting = list(_files_of(package, ROOT))
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for name in _imports_of(path, package.name):
            waiting.extend(_files_of(package, name))
    return sorted(found)


def _imports_of(path: Path, package: str) -> Iterable[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.split(".")[0] == package)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def _files_of(package: Path, name: str) -> Iterable[Path]:
    """File of a module, or all of a package's; nothing for a name that is neither."""
    place = package.joinpath(*name.split(".")[1:])
    if place == package:
        return [package / "__init__.py"]
    if place.is_dir():
        return place.rglob("*.py")
    module = place.with_suffix(".py")
    return [module, place.parent / "__init__.py"] if module.is_file() else []
