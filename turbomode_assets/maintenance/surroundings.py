"""What an installation relies on outside its stores: libraries, vendors, disk space, clock."""

import datetime as dt
import importlib.metadata
import os
import platform
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from turbomode_assets.config.vendors import VendorsConfig
from turbomode_assets.contracts.errors import TurbomodeError
from turbomode_assets.settings import Settings

Verdict = Literal["ok", "warn", "fail"]
PACKAGE = "turbomode_assets"
NAMED = ("dagster", "deltalake", "duckdb", "lightgbm", "polars", "torch")
"""Libraries that decide results or files, whose versions are listed."""
YAHOO = "query1.finance.yahoo.com"
PATIENCE_SECONDS = 2.0
LEAST_FREE_BYTES = 5_000_000_000
MOST_CLOCK_DIFFERENCE = dt.timedelta(seconds=5)


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do about it; no remedy where all is well."""

    subject: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def versions() -> Iterator[Finding]:
    """Compare Python and the installed libraries with what the package asks for."""
    install = "run `make`, or `pip install -e .` in the repository's folder"
    try:
        asked = importlib.metadata.metadata(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        yield Finding(PACKAGE, "fail", "is not installed: its requirements are unknown", install)
        return
    python, supported = platform.python_version(), asked["Requires-Python"]
    if SpecifierSet(supported).contains(python, prereleases=True):
        yield Finding("Python", "ok", python)
    else:
        remedy = f"make a virtual environment with a Python {supported}"
        yield Finding("Python", "fail", f"{python}, but {supported} is needed", remedy)
    requirements = map(Requirement, importlib.metadata.requires(PACKAGE) or ())
    wrong = [
        finding
        for each in requirements
        if each.marker is None or each.marker.evaluate({"extra": ""})
        for finding in _requirement(each)
    ]
    yield from wrong
    if not wrong:
        named = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in NAMED)
        yield Finding("libraries", "ok", f"{PACKAGE} {asked['Version']}; {named}")


def _requirement(asked: Requirement) -> Iterator[Finding]:
    remedy = f"pip install '{asked}'"
    try:
        found = importlib.metadata.version(asked.name)
    except importlib.metadata.PackageNotFoundError:
        yield Finding(f"library {asked.name}", "fail", "is not installed", remedy)
        return
    if not asked.specifier.contains(found, prereleases=True):
        detail = f"{found}, but {asked.specifier} is needed"
        yield Finding(f"library {asked.name}", "fail", detail, remedy)


def vendors(settings: Settings) -> Iterator[Finding]:
    """Try the vendors that are asked; a tenant that follows another one asks none."""
    if not settings.ingests:
        return
    config = settings.vendors()
    for name in config.precedence:
        try:
            yield _vendor(name, config, settings.root)
        except TurbomodeError as error:
            yield Finding(f"vendor {name}", "fail", f"{error.what} ({error.where})", error.fix)


def _vendor(name: str, config: VendorsConfig, root: Path) -> Finding:
    if name == "archive":
        from turbomode_assets.vendors.archive.files import find_files

        files = find_files(root / config.archive.folder, config.archive.candles, "candles")
        return Finding("vendor archive", "ok", f"{len(files)} files of candles")
    if name == "ibkr":
        remedy = "start the IB Gateway, or correct host and port in vendors.json"
        return _reachable("vendor ibkr", (config.ibkr.host, config.ibkr.port), remedy)
    if name == "yahoo":
        address, through = _way_to_yahoo()
        remedy = f"check this machine's network, firewall and name server{through and ' and proxy'}"
        return _reachable("vendor yahoo", address, remedy, through)
    return Finding(f"vendor {name}", "ok", "needs no connection")


def _way_to_yahoo() -> tuple[tuple[str, int], str]:
    """Address to connect to, and words on the proxy if there is one; never its password."""
    proxy = getproxies().get("https")
    if not proxy or proxy_bypass(YAHOO):
        return (YAHOO, 443), ""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = parts.port or (443 if parts.scheme == "https" else 1080)
    return (parts.hostname or "", port), ", the proxy on the way,"


def _reachable(subject: str, address: tuple[str, int], remedy: str, through: str = "") -> Finding:
    place = f"{address[0]}:{address[1]}{through}"
    try:
        socket.create_connection(address, timeout=PATIENCE_SECONDS).close()
    except OSError as error:
        return Finding(subject, "fail", f"{place} cannot be reached: {error}", remedy)
    return Finding(subject, "ok", f"{place} answers")


def disk(settings: Settings) -> Iterator[Finding]:
    """Look for space for some nights."""
    free = shutil.disk_usage(settings.root).free
    detail = f"{free / 1e9:,.1f} GB free below {settings.root}"
    if free >= LEAST_FREE_BYTES:
        yield Finding("disk", "ok", detail)
    else:
        yield Finding("disk", "warn", detail, "free space, or run `turbomode run maintenance`")


def clock(settings: Settings) -> Iterator[Finding]:
    """Compare the clock with that of the stores' file system, and look for the time zones.

    The file system is another machine's where stores lie on one: its time is that of a new file.
    """
    zone = settings.scheduler().time_zone
    try:
        local = dt.datetime.now(ZoneInfo(zone))
    except ZoneInfoNotFoundError:
        remedy = "install the package tzdata"
        yield Finding("time zones", "fail", f"{zone} is not known here", remedy)
        return
    now = dt.datetime.now(dt.UTC)
    yield _stored_time(settings.root, f"{local:%Y-%m-%d %H:%M} in {zone}", now)
    if settings.memory_path.is_file():
        written = dt.datetime.fromtimestamp(settings.memory_path.stat().st_mtime, dt.UTC)
        if written - now > MOST_CLOCK_DIFFERENCE:
            detail = f"model memory was written at {written:%Y-%m-%d %H:%M} UTC, after now"
            yield Finding("clock of the past", "fail", detail, "set this machine's clock by NTP")


def _stored_time(root: Path, detail: str, now: dt.datetime) -> Finding:
    probe = root / f".clock-{os.getpid()}"
    try:
        probe.touch()
        stored = dt.datetime.fromtimestamp(probe.stat().st_mtime, dt.UTC)
        probe.unlink()
    except OSError as error:
        remedy = "make the data root writable, and look again"
        return Finding("clock", "warn", f"{detail}; the stores' was not read: {error}", remedy)
    difference = abs(now - stored)
    if difference > MOST_CLOCK_DIFFERENCE:
        differs = f"{detail}; the stores' clock differs by {difference}"
        return Finding("clock", "warn", differs, "set both clocks by NTP")
    return Finding("clock", "ok", detail)
