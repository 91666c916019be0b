"""What the asset `maintenance` alone is handed: the keeper of the stores and of Dagster's runs."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorType

from turbomode_assets.maintenance.run_history import ArchivedRuns
from turbomode_assets.maintenance.weekly import MaintenanceResult, Say, WeeklyMaintenance
from turbomode_assets.orchestration.resources.run_archive import archive_runs
from turbomode_assets.orchestration.resources.settings import SettingsResource

KEEPER_KEY = "keeper"
REVISIONS_SENSOR = "revisions"


@dataclass(frozen=True)
class InstanceHistory:
    """The record of runs that a Dagster instance holds."""

    instance: dg.DagsterInstance

    def archive(self, folder: Path, *, ended_before: dt.datetime) -> ArchivedRuns:
        """Pack every run that ended before a time into a file of the folder, once."""
        return archive_runs(self.instance, folder, ended_before=ended_before)

    def has_ended(self, run_id: str) -> bool:
        """Whether a run is on record and has ended."""
        run = self.instance.get_run_by_id(run_id)
        return run is not None and run.is_finished

    def revision_cursors(self) -> set[int]:
        """Versions of data_quality_log that the sensor of revisions goes on from."""
        if self.instance.schedule_storage is None:
            return set()  # an instance in memory only, which runs no sensor
        cursors = [
            getattr(state.instigator_data, "cursor", None)
            for state in self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
            if state.instigator_name == REVISIONS_SENSOR
        ]
        return {int(cursor) for cursor in cursors if cursor}


class KeeperResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # no value type of its own
    """Hands out what keeps the stores small. For the asset `maintenance` alone."""

    settings: SettingsResource

    def maintain(
        self, instance: dg.DagsterInstance, now: dt.datetime, say: Say
    ) -> MaintenanceResult:
        """Archive old runs, remove temporary files, and compact and vacuum every table."""
        return WeeklyMaintenance(self.settings, InstanceHistory(instance)).maintain(now, say)
