"""A tenant's model files and reports."""

from pathlib import Path

from turbomode_assets.contracts.errors import StoreError

ENSEMBLE = "ensemble"
DRIFT_REFERENCE = "drift_reference.json"
"""What a model's folder holds: the ensemble's own folder, and the reference of its features."""


class Artifacts:
    """Folders of one tenant's models. Files are written by whoever trains."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def reports(self) -> Path:
        """Folder of pictures and reports."""
        return self._root / "reports"

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
