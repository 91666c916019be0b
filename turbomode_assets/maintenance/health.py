"""Whether an installation is sound: one finding for each thing that can be wrong, with its remedy.

Nothing here changes anything, and nothing that is wrong keeps the rest from being looked at.
"""

import datetime as dt
import importlib.metadata
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from turbomode_assets.config.loader import FILES, load_file
from turbomode_assets.contracts.errors import TurbomodeError
from turbomode_assets.settings import Settings
from turbomode_assets.stores.memory import ModelMemory

Verdict = Literal["ok", "warn", "fail"]
LIBRARIES = ("dagster", "deltalake", "duckdb", "lightgbm", "polars", "torch")
VENDOR_HOSTS = {"yahoo": ("query1.finance.yahoo.com", 443)}
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


def examine(settings: Settings) -> list[Finding]:
    """Look at versions, paths, configuration, stores, vendors, disk and clock."""
    looks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("versions", _versions),
        ("data root", lambda: _data_root(settings)),
        ("Dagster home", lambda: _dagster_home(settings)),
        ("configuration", lambda: _configuration(settings)),
        ("model memory", lambda: _memory(settings)),
        ("operations", lambda: _operations(settings)),
        ("vendors", lambda: _vendors(settings)),
        ("disk", lambda: _disk(settings)),
        ("clock", lambda: _clock(settings)),
    )
    found: list[Finding] = []
    for subject, look in looks:
        try:
            found += look()
        except TurbomodeError as error:
            found.append(Finding(subject, "fail", f"{error.what} ({error.where})", error.fix))
    return found


def _versions() -> Iterator[Finding]:
    python = platform.python_version_tuple()
    supported = (3, 11) <= (int(python[0]), int(python[1])) <= (3, 13)
    remedy = "" if supported else "use Python 3.11 to 3.13"
    verdict: Verdict = "ok" if supported else "fail"
    yield Finding("Python", verdict, platform.python_version(), remedy)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    own = importlib.metadata.version("turbomode_assets")
    yield Finding("versions", "ok", f"turbomode_assets {own}; {versions}")


def _data_root(settings: Settings) -> Iterator[Finding]:
    root = settings.root
    yield _writable("data root", root)
    for name in ("lake", "memory", "artifacts"):
        if (folder := root / name / settings.tenant_name).exists():
            yield _writable(name, folder)
    master = Path(settings.master_root)
    if not master.exists():
        yield Finding("master", "warn", f"{master} is not there yet", "ingest: see the README")
    elif settings.ingests:
        yield _writable("master", master)


def _writable(subject: str, folder: Path) -> Finding:
    if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Finding(subject, "ok", str(folder))
    return Finding(
        subject,
        "fail",
        f"{folder} cannot be written by this account",
        f"give it to the account that runs turbomode: chown -R USER {folder}",
    )


def _dagster_home(settings: Settings) -> Iterator[Finding]:
    given = settings.dagster_home
    remedy = "run `make .env instance` in the repository's folder, and start commands there"
    if not given:
        yield Finding("Dagster home", "fail", "DAGSTER_HOME is not set", remedy)
    elif not Path(given).is_absolute() or not (Path(given) / "dagster.yaml").is_file():
        yield Finding("Dagster home", "fail", f"{given} holds no dagster.yaml", remedy)
    else:
        yield _writable("Dagster home", Path(given))


def _configuration(settings: Settings) -> Iterator[Finding]:
    for name in FILES:
        try:
            section = load_file(settings.configs, name)
        except TurbomodeError as error:
            yield Finding(name, "fail", error.what, error.fix)
        else:
            yield Finding(name, "ok", f"version {section.version}")


def _memory(settings: Settings) -> Iterator[Finding]:
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    if not memory.exists():
        remedy = "it is made by the first training"
        yield Finding("model memory", "warn", f"{memory.path} is not there yet", remedy)
        return
    models = memory.query("SELECT count(*) FROM model_metadata").item()
    yield Finding("model memory", "ok", f"{memory.path}, {models} models")


def _operations(settings: Settings) -> Iterator[Finding]:
    from turbomode_assets.stores.operations import Operations

    if not settings.ingests:
        return
    url = settings.operations_url
    if url.startswith("sqlite") and not (settings.root / "operations").exists():
        yield Finding("operations", "warn", "no vendor was asked yet", "it is made by ingestion")
        return
    waiting = Operations(url).queued().height
    yield Finding("operations", "ok", f"{waiting} cells in the backfill queue")


def _vendors(settings: Settings) -> Iterator[Finding]:
    if not settings.ingests:
        return
    config = settings.vendors()
    for name in config.precedence:
        address = VENDOR_HOSTS.get(name)
        if name == "ibkr":
            address = config.ibkr.host, config.ibkr.port
        if address is None:
            yield Finding(f"vendor {name}", "ok", "needs no connection")
            continue
        where = f"{address[0]}:{address[1]}"
        try:
            socket.create_connection(address, timeout=PATIENCE_SECONDS).close()
        except OSError as error:
            yield Finding(
                f"vendor {name}",
                "fail",
                f"{where} cannot be reached: {error}",
                "start the IB Gateway, or correct host and port in vendors.json"
                if name == "ibkr"
                else "check the network, proxies and firewalls of this machine",
            )
        else:
            yield Finding(f"vendor {name}", "ok", f"{where} answers")


def _disk(settings: Settings) -> Iterator[Finding]:
    free = shutil.disk_usage(settings.root).free
    detail = f"{free / 1e9:,.1f} GB free below {settings.root}"
    if free >= LEAST_FREE_BYTES:
        yield Finding("disk", "ok", detail)
    else:
        yield Finding("disk", "warn", detail, "free space, or run `turbomode run maintenance`")


def _clock(settings: Settings) -> Iterator[Finding]:
    zone = settings.scheduler().time_zone
    try:
        now = dt.datetime.now(ZoneInfo(zone))
    except ZoneInfoNotFoundError:
        remedy = "install the package tzdata"
        yield Finding("time zones", "fail", f"{zone} is not known here", remedy)
        return
    # The file system's clock is another one where stores lie on another machine.
    probe = settings.root / f".clock-{os.getpid()}"
    try:
        probe.touch()
        stored = dt.datetime.fromtimestamp(probe.stat().st_mtime, dt.UTC)
    except OSError:
        return
    finally:
        probe.unlink(missing_ok=True)
    difference = abs(dt.datetime.now(dt.UTC) - stored)
    detail = f"{now:%Y-%m-%d %H:%M} in {zone}"
    if difference <= MOST_CLOCK_DIFFERENCE:
        yield Finding("clock", "ok", detail)
    else:
        remedy = "set both clocks by NTP"
        yield Finding("clock", "warn", f"the stores' clock differs by {difference}", remedy)
