"""Whether an installation is sound: one finding for each thing that can be wrong, with its remedy.

Nothing that is wrong keeps the rest from being looked at. Nothing is changed, except that the
operations store of an earlier version is brought up to date, as by every command that opens it.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from turbomode_assets.config.loader import FILES, load_file
from turbomode_assets.contracts.errors import TurbomodeError
from turbomode_assets.maintenance import surroundings
from turbomode_assets.maintenance.surroundings import Finding
from turbomode_assets.settings import Settings
from turbomode_assets.stores.memory import ModelMemory

DAGSTER_FILE = "dagster.yaml"


def examine(settings: Settings) -> list[Finding]:
    """Look at versions, paths, configuration, stores, vendors, disk and clock."""
    looks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("versions", surroundings.versions),
        ("data root", lambda: _data_root(settings)),
        ("Dagster home", lambda: _dagster_home(settings)),
        ("configuration", lambda: _configuration(settings)),
        ("model memory", lambda: _memory(settings)),
        ("operations", lambda: _operations(settings)),
        ("vendors", lambda: surroundings.vendors(settings)),
        ("disk", lambda: surroundings.disk(settings)),
        ("clock", lambda: surroundings.clock(settings)),
    )
    found: list[Finding] = []
    for subject, look in looks:
        try:
            found += look()
        except TurbomodeError as error:
            found.append(Finding(subject, "fail", f"{error.what} ({error.where})", error.fix))
        except OSError as error:
            remedy = "give this account access to it, or correct its path in the environment"
            found.append(Finding(subject, "fail", f"cannot be looked at: {error}", remedy))
    return found


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
    else:
        yield _followed(master)


def _writable(subject: str, folder: Path) -> Finding:
    if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Finding(subject, "ok", str(folder))
    return Finding(
        subject,
        "fail",
        f"{folder} cannot be written by this account",
        f"give it to the account that runs turbomode: chown -R USER {folder}",
    )


def _followed(master: Path) -> Finding:
    """Look whether a tenant that does not ingest reads the master, and reads it only."""
    if not os.access(master, os.R_OK | os.X_OK):
        remedy = f"let this account read it: chmod -R o+rX {master}"
        return Finding("master", "fail", f"{master} cannot be read by this account", remedy)
    if os.access(master, os.W_OK):
        remedy = "let only the account that ingests write it, and run this tenant as another one"
        return Finding("master", "warn", f"{master} could be written by this account", remedy)
    return Finding("master", "ok", f"{master}, read only")


def _dagster_home(settings: Settings) -> Iterator[Finding]:
    given = settings.dagster_home
    remedy = "run `make .env instance` in the repository's folder, and start commands there"
    if not given:
        yield Finding("Dagster home", "fail", "DAGSTER_HOME is not set", remedy)
    elif not Path(given).is_absolute() or not (Path(given) / DAGSTER_FILE).is_file():
        yield Finding("Dagster home", "fail", f"{given} holds no {DAGSTER_FILE}", remedy)
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
    """Read the memory without opening it to write, which would bring an earlier version's on."""
    import duckdb

    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    if not memory.exists():
        remedy = "it is made by the first training"
        yield Finding("model memory", "warn", f"{memory.path} is not there yet", remedy)
        return
    try:
        with duckdb.connect(str(memory.path), read_only=True) as connection:
            counted = connection.execute("SELECT count(*) FROM model_metadata").fetchone()
    except duckdb.Error as error:
        remedy = "close the process that holds it, or restore the file from a backup"
        yield Finding("model memory", "fail", f"{memory.path} cannot be read: {error}", remedy)
    else:
        models = counted[0] if counted else 0
        yield Finding("model memory", "ok", f"{memory.path}, {models} models")


def _operations(settings: Settings) -> Iterator[Finding]:
    import sqlalchemy as sa

    from turbomode_assets.stores.operations import Operations

    if not settings.ingests:
        return
    operations = Operations(settings.operations_url)
    url = sa.make_url(settings.operations_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        yield Finding("operations", "warn", "no vendor was asked yet", "it is made by ingestion")
        return
    yield Finding("operations", "ok", f"{operations.queued().height} cells in the backfill queue")
