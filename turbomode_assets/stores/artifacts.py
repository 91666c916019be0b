"""A tenant's model files and reports."""

import shutil
from pathlib import Path

from turbomode_assets.contracts.errors import StoreError

ENSEMBLE = "ensemble"
DRIFT_REFERENCE = "drift_reference.json"
IMPORTANCE = "importance.parquet"
INPUTS = "inputs"
EVALUATION = "evaluation"
REPORTS = "reports"
"""What a model's folder holds: the ensemble's own folder, the reference of its features, how much
each of them matters, what else it learned from, how it was judged, and pictures."""


class Artifacts:
    """Folders of one tenant's models. Files are written by whoever trains."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def reports(self) -> Path:
        """Folder of pictures and reports."""
        return self._root / "reports"

    def workbench(self, run_id: str) -> Path:
        """Folder in which the steps of one training run work; nothing reads it afterwards."""
        return self._root / "workbenches" / run_id

    def workbenches(self) -> list[str]:
        """Training runs whose workbench is still there: they run, or they failed."""
        folder = self._root / "workbenches"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def remove_workbench(self, run_id: str) -> None:
        """Remove what a training run that has ended left behind."""
        shutil.rmtree(self.workbench(run_id), ignore_errors=True)

    def new_model_folder(self, model_version: str) -> Path:
        """Where a model of this version is saved; its parent exists, it may not."""
        folder = self._root / "models" / model_version
        folder.parent.mkdir(parents=True, exist_ok=True)
        return folder

    def model_folder(self, model_version: str) -> Path:
        """Folder of a saved model.

        Raises:
            StoreError: it is recorded in model memory but its files are gone.
        """
        folder = self._root / "models" / model_version
        if not folder.is_dir():
            raise StoreError(
                f"the files of model {model_version} are gone",
                where=str(folder),
                fix="restore the folder from a backup, or train that session again",
            )
        return folder
