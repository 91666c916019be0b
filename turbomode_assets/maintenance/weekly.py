"""The weekly maintenance of one tenant's stores and of the shared master.

It rearranges and removes files of the master, and has no way to write a row. Only the asset
`maintenance` may run it.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from turbomode_assets.config.maintenance import MaintenanceConfig
from turbomode_assets.contracts.errors import StoreError, first_few
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.maintenance.pins import Versions, lake_pins, master_pins, merged
from turbomode_assets.maintenance.run_history import RunHistory
from turbomode_assets.maintenance.tables import TableKeeper
from turbomode_assets.settings import Settings
from turbomode_assets.stores import Artifacts, Lake, MasterReader, ModelMemory
from turbomode_assets.stores.artifacts import paths_below
from turbomode_assets.stores.operations import Operations

MASTER_LEASE = "maintenance/master"
LEASE_SECONDS = 3_600.0

Say = Callable[[str], None]


@dataclass
class MaintenanceResult:
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


@dataclass(frozen=True)
class WeeklyMaintenance:
    """Keeps one tenant's stores small, and the master where that tenant ingests."""

    settings: Settings
    history: RunHistory

    def maintain(self, now: dt.datetime, say: Say) -> MaintenanceResult:
        """Archive old runs, remove temporary files, and compact and vacuum every table.

        Those of the master are left to the tenants that ingest.
        """
        rules, result = self.settings.scheduler().maintenance, MaintenanceResult()
        before = space_by_store(self.settings)
        self._tidy(rules, now, result)
        self._keep_lake(rules, result, say)
        if self.settings.ingests:
            self._keep_master(rules, result, say)
        else:
            result.notes.append("the master is left to the tenant that ingests")
        after = space_by_store(self.settings)
        result.figures |= {f"{name}_bytes_before": size for name, size in before.items()}
        result.figures |= {f"{name}_bytes_after": size for name, size in after.items()}
        for error in result.failures:
            say(str(error))
        return result

    def _tidy(self, rules: MaintenanceConfig, now: dt.datetime, result: MaintenanceResult) -> None:
        artifacts = Artifacts(self.settings.artifacts_root)
        stale = now - dt.timedelta(hours=rules.vacuum_after_hours)
        result.count("workbenches_removed", remove_workbenches(self.history, artifacts, stale))
        result.count("partial_files_removed", artifacts.remove_partial(stale))
        archived = self.history.archive(
            self.settings.artifacts_root / "archive" / "runs",
            ended_before=now - dt.timedelta(days=rules.archive_after_days),
        )
        result.count("runs_archived", archived.packed)
        result.count("runs_deleted", archived.deleted)
        memory = ModelMemory(self.settings.memory_path, self.settings.tenant_name)
        with result.attempt():
            if memory.exists():
                memory.checkpoint()

    def _lake(self) -> Lake:
        # Features come with torch: whoever only asks what a maintenance is does not wait for it.
        from turbomode_assets.features import feature_names

        return Lake(
            self.settings.lake_root, self.settings.tenant_name, lake_tables(feature_names())
        )

    def _keep_lake(self, rules: MaintenanceConfig, result: MaintenanceResult, say: Say) -> None:
        lake = self._lake()
        with result.attempt():
            pins = lake_pins(
                self.settings.memory_path, lake, explained_sessions=rules.explained_sessions
            )
            for table in lake.tables:
                _keep(TableKeeper(lake), table, pins, rules, result, say)

    def _keep_master(self, rules: MaintenanceConfig, result: MaintenanceResult, say: Say) -> None:
        master = MasterReader(self.settings.master_root)
        owner = master_lease_owner(self.settings.tenant_name)
        operations = Operations(self.settings.operations_url)
        with result.attempt():
            if not operations.try_lease(MASTER_LEASE, owner, LEASE_SECONDS):
                result.notes.append("the master is being maintained by another tenant")
                return
            try:
                pins = self._master_pins(master, rules, result)
                for table in master.tables:
                    operations.renew([MASTER_LEASE], owner, LEASE_SECONDS)
                    _keep(TableKeeper(master), table, pins, rules, result, say)
            finally:
                operations.release([MASTER_LEASE], owner)

    def _master_pins(
        self, master: MasterReader, rules: MaintenanceConfig, result: MaintenanceResult
    ) -> Versions | None:
        """Versions that must stay; None where somebody could not be asked."""
        sessions = rules.explained_sessions
        pinned = master_pins(self.settings.root, master, explained_sessions=sessions)
        if pinned.unreadable:
            result.notes.append(
                "nothing of the master was removed, for what these tenants need of it is not "
                f"known: {'; '.join(pinned.unreadable)}"
            )
            return None
        own = lake_pins(
            self.settings.memory_path,
            self._lake(),
            explained_sessions=sessions,
        )
        return merged(pinned.versions, own, {"data_quality_log": self.history.revision_cursors()})


def master_lease_owner(tenant: str) -> str:
    """Who holds the lease: a tenant, so that the run after a killed one goes on with its lease."""
    return f"maintenance of {tenant}"


def _keep(
    keeper: TableKeeper,
    table: str,
    pins: Versions | None,
    rules: MaintenanceConfig,
    result: MaintenanceResult,
    say: Say,
) -> None:
    """Compact a table that exists and, where its pins are known, vacuum it."""
    if table not in keeper.tables():
        return
    with result.attempt():
        compacted = keeper.compact(table, above_files=rules.compact_above_files)
        result.count("files_merged", compacted.files_before - compacted.files)
        result.count("partitions_given_up", compacted.given_up)
        line = f"{keeper.owner}/{table}: {compacted.files_before} files, now {compacted.files}"
        if pins is not None:
            wanted = pins.get(table, set())
            removed = keeper.vacuum(
                table, keep_versions=wanted, after_hours=rules.vacuum_after_hours
            )
            result.count("files_removed", removed.files)
            result.count("bytes_removed", removed.bytes)
            result.count("versions_kept", removed.kept_versions)
            line += f"; {removed.files} old files removed, {removed.kept_versions} versions kept"
            if removed.lost_versions:
                result.notes.append(
                    f"{keeper.owner}/{table}: versions {first_few(removed.lost_versions)} are "
                    "referred to, but their log was gone before"
                )
        say(line)


def remove_workbenches(history: RunHistory, artifacts: Artifacts, stale: dt.datetime) -> int:
    """Remove the workbenches of training runs that have ended; tell how many.

    A run that was killed may be recorded as running for ever: no run takes as long as `stale` is
    ago.
    """
    removed = 0
    for run_id in artifacts.workbenches():
        changed = artifacts.workbench(run_id).stat().st_mtime
        if history.has_ended(run_id) or changed < stale.timestamp():
            artifacts.remove_workbench(run_id)
            removed += 1
    return removed


def space_by_store(settings: Settings) -> Mapping[str, int]:
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


def space_table(result: MaintenanceResult) -> pl.DataFrame:
    """Megabytes of each store before and after."""
    sizes = result.figures
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
