"""A tenant's model files and reports."""

import contextlib
import datetime as dt
import os
import shutil
from pathlib import Path

from turbomode_assets.contracts.errors import StoreError

ENSEMBLE = "ensemble"
DRIFT_REFERENCE = "drift_reference.json"
PREDICTION_REFERENCE = "prediction_reference.json"
OUTCOME_REFERENCE = "outcome_reference.json"
IMPORTANCE = "importance.parquet"
INPUTS = "inputs"
EVALUATION = "evaluation"
REPORTS = "reports"
"""What a model's folder holds: the ensemble's own folder, the references of its features, of what
it says and of how labels came out (these where there was enough to freeze), how much each feature
matters, what else it learned from, how it was judged, and pictures."""


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

    def remove_partial(self, older_than: dt.datetime) -> int:
        """Remove what killed runs left half-written, under a name with a dot; tell how many."""
        removed = 0
        for path in paths_below(self._root):
            # Others finish theirs meanwhile; or it lay in a folder that went before.
            with contextlib.suppress(FileNotFoundError):
                if path.name.startswith(".") and path.lstat().st_mtime < older_than.timestamp():
                    _remove(path)
                    removed += 1
        return removed

    def finished_files(self) -> list[Path]:
        """Every file but those that are being written and those of workbenches."""
        return [
            path
            for path in sorted(paths_below(self._root))
            if path.is_file()
            and path.relative_to(self._root).parts[0] != "workbenches"
            and not any(part.startswith(".") for part in path.relative_to(self._root).parts)
        ]

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


def paths_below(folder: Path) -> list[Path]:
    """Every file and folder below a folder; those that are removed meanwhile may be left out."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_raise_unless_gone):
        found += (Path(place) / name for name in (*folders, *files))
    return found


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
