"""The weekly maintenance of one tenant's stores and of the shared master.

What it may touch is handed out by `KeeperResource`, to the asset `maintenance` alone: it rearranges
and removes files of the master, and has no way to write a row.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.scheduler.instigation import InstigatorType

from turbomode_assets.config.maintenance import MaintenanceConfig
from turbomode_assets.contracts.errors import StoreError, first_few
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.resources.run_archive import archive_runs
from turbomode_assets.resources.settings import SettingsResource
from turbomode_assets.stores import Artifacts, Lake, MasterReader, ModelMemory
from turbomode_assets.stores.artifacts import paths_below
from turbomode_assets.stores.maintenance.pins import Versions, lake_pins, master_pins, merged
from turbomode_assets.stores.maintenance.tables import TableKeeper
from turbomode_assets.stores.operations import Operations

KEEPER_KEY = "keeper"
MASTER_LEASE = "maintenance/master"
LEASE_SECONDS = 3_600.0
REVISIONS_SENSOR = "revisions"

Say = Callable[[str], None]


@dataclass
class Upkeep:
    """What a maintenance did and could not do: figures for metadata, and what failed."""

    figures: dict[str, Any] = field(default_factory=dict)
    failures: list[StoreError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Go on with other work when one store refuses; `raise_failures` tells of it at the end."""
        try:
            yield
        except StoreError as error:
            self.failures.append(error)

    def count(self, name: str, number: int) -> None:
        """Add to a figure."""
        self.figures[name] = self.figures.get(name, 0) + number

    def raise_failures(self) -> None:
        """Fail if anything failed.

        Raises:
            StoreError: naming everything that did.
        """
        if self.failures:
            raise StoreError(
                "; ".join(error.what for error in self.failures),
                where="; ".join(dict.fromkeys(error.where for error in self.failures)),
                fix=f"{self.failures[0].fix}; the rest was done",
            )


class KeeperResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # no value type of its own
    """Hands out what keeps the stores small. For the asset `maintenance` alone."""

    settings: SettingsResource

    def maintain(self, instance: dg.DagsterInstance, now: dt.datetime, say: Say) -> Upkeep:
        """Archive old runs, remove temporary files, and compact and vacuum every table.

        Those of the master are left to the tenants that ingest.
        """
        rules, upkeep = self.settings.scheduler().maintenance, Upkeep()
        before = space_by_store(self.settings)
        self._tidy(instance, rules, now, upkeep)
        self._keep_lake(rules, upkeep, say)
        if self.settings.ingests:
            self._keep_master(instance, rules, upkeep, say)
        else:
            upkeep.notes.append("the master is left to the tenant that ingests")
        after = space_by_store(self.settings)
        upkeep.figures |= {f"{name}_bytes_before": size for name, size in before.items()}
        upkeep.figures |= {f"{name}_bytes_after": size for name, size in after.items()}
        for error in upkeep.failures:
            say(str(error))
        return upkeep

    def _tidy(
        self,
        instance: dg.DagsterInstance,
        rules: MaintenanceConfig,
        now: dt.datetime,
        upkeep: Upkeep,
    ) -> None:
        artifacts = Artifacts(self.settings.artifacts_root)
        stale = now - dt.timedelta(hours=rules.vacuum_after_hours)
        upkeep.count("workbenches_removed", remove_workbenches(instance, artifacts, stale))
        upkeep.count("partial_files_removed", artifacts.remove_partial(stale))
        archived = archive_runs(
            instance,
            self.settings.artifacts_root / "archive" / "runs",
            ended_before=now - dt.timedelta(days=rules.archive_after_days),
        )
        upkeep.count("runs_archived", archived.packed)
        upkeep.count("runs_deleted", archived.deleted)
        memory = ModelMemory(self.settings.memory_path, self.settings.tenant_name)
        with upkeep.attempt():
            if memory.exists():
                memory.checkpoint()

    def _keep_lake(self, rules: MaintenanceConfig, upkeep: Upkeep, say: Say) -> None:
        tenant = self.settings.tenant_name
        lake = Lake(self.settings.lake_root, tenant, lake_tables(feature_names()))
        with upkeep.attempt():
            pins = lake_pins(
                self.settings.memory_path, lake, explained_sessions=rules.explained_sessions
            )
            for table in lake.tables:
                _keep(TableKeeper(lake), table, pins, rules, upkeep, say)

    def _keep_master(
        self, instance: dg.DagsterInstance, rules: MaintenanceConfig, upkeep: Upkeep, say: Say
    ) -> None:
        master = MasterReader(self.settings.master_root)
        owner = master_lease_owner(self.settings.tenant_name)
        operations = Operations(self.settings.operations_url)
        with upkeep.attempt():
            if not operations.try_lease(MASTER_LEASE, owner, LEASE_SECONDS):
                upkeep.notes.append("the master is being maintained by another tenant")
                return
            try:
                pins = self._master_pins(instance, master, rules, upkeep)
                for table in master.tables:
                    operations.renew([MASTER_LEASE], owner, LEASE_SECONDS)
                    _keep(TableKeeper(master), table, pins, rules, upkeep, say)
            finally:
                operations.release([MASTER_LEASE], owner)

    def _master_pins(
        self,
        instance: dg.DagsterInstance,
        master: MasterReader,
        rules: MaintenanceConfig,
        upkeep: Upkeep,
    ) -> Versions | None:
        """Versions that must stay; None where somebody could not be asked."""
        sessions = rules.explained_sessions
        pinned = master_pins(self.settings.root, master, explained_sessions=sessions)
        if pinned.unreadable:
            upkeep.notes.append(
                "nothing of the master was removed, for what these tenants need of it is not "
                f"known: {'; '.join(pinned.unreadable)}"
            )
            return None
        own = lake_pins(
            self.settings.memory_path,
            Lake(self.settings.lake_root, self.settings.tenant_name, lake_tables(feature_names())),
            explained_sessions=sessions,
        )
        return merged(pinned.versions, own, {"data_quality_log": log_cursors(instance)})


def master_lease_owner(tenant: str) -> str:
    """Who holds the lease: a tenant, so that the run after a killed one goes on with its lease."""
    return f"maintenance of {tenant}"


def _keep(
    keeper: TableKeeper,
    table: str,
    pins: Versions | None,
    rules: MaintenanceConfig,
    upkeep: Upkeep,
    say: Say,
) -> None:
    """Compact a table that exists and, where its pins are known, vacuum it."""
    if table not in keeper.tables():
        return
    with upkeep.attempt():
        compacted = keeper.compact(table, above_files=rules.compact_above_files)
        upkeep.count("files_merged", compacted.files_before - compacted.files)
        upkeep.count("partitions_given_up", compacted.given_up)
        line = f"{keeper.owner}/{table}: {compacted.files_before} files, now {compacted.files}"
        if pins is not None:
            wanted = pins.get(table, set())
            removed = keeper.vacuum(
                table, keep_versions=wanted, after_hours=rules.vacuum_after_hours
            )
            upkeep.count("files_removed", removed.files)
            upkeep.count("bytes_removed", removed.bytes)
            upkeep.count("versions_kept", removed.kept_versions)
            line += f"; {removed.files} old files removed, {removed.kept_versions} versions kept"
            if removed.lost_versions:
                upkeep.notes.append(
                    f"{keeper.owner}/{table}: versions {first_few(removed.lost_versions)} are "
                    "referred to, but their log was gone before"
                )
        say(line)


def remove_workbenches(
    instance: dg.DagsterInstance, artifacts: Artifacts, stale: dt.datetime
) -> int:
    """Remove the workbenches of training runs that have ended; tell how many.

    A run that was killed may be recorded as running for ever: no run takes as long as `stale` is
    ago.
    """
    removed = 0
    for run_id in artifacts.workbenches():
        run = instance.get_run_by_id(run_id)
        changed = artifacts.workbench(run_id).stat().st_mtime
        if (run is not None and run.is_finished) or changed < stale.timestamp():
            artifacts.remove_workbench(run_id)
            removed += 1
    return removed


def log_cursors(instance: dg.DagsterInstance) -> set[int]:
    """Versions of data_quality_log that the sensor of revisions goes on from."""
    if instance.schedule_storage is None:
        return set()  # an instance in memory only, which runs no sensor
    cursors = [
        getattr(state.instigator_data, "cursor", None)
        for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        if state.instigator_name == REVISIONS_SENSOR
    ]
    return {int(cursor) for cursor in cursors if cursor}


def space_by_store(settings: SettingsResource) -> Mapping[str, int]:
    """Bytes on disk of the master, and of what is the tenant's own."""
    history = settings.root / "dagster" / settings.tenant_name
    places = {
        "master": Path(settings.master_root),
        "lake": Path(settings.lake_root),
        "memory": settings.memory_path.parent,
        "operations": settings.root / "operations",
        "artifacts": settings.artifacts_root,
        "dagster": history,
    }
    return {name: _bytes_in(folder) for name, folder in places.items()}


def space_table(upkeep: Upkeep) -> pl.DataFrame:
    """Megabytes of each store before and after."""
    sizes = upkeep.figures
    names = [name.removesuffix("_bytes_before") for name in sizes if name.endswith("_before")]
    return pl.DataFrame(
        {
            "store": names,
            "before_mb": [round(sizes[f"{name}_bytes_before"] / 1e6, 3) for name in names],
            "after_mb": [round(sizes[f"{name}_bytes_after"] / 1e6, 3) for name in names],
        }
    )


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in paths_below(folder):
        try:
            if path.is_file():
                total += path.stat().st_size
        except FileNotFoundError:
            continue  # a writer's temporary file
    return total
