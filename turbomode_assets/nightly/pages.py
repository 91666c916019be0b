"""The nightly pages of a tenant: an HTML file and a JSON file for each session, and the newest."""

import datetime as dt
from pathlib import Path

from turbomode_assets.stores.artifacts import Artifacts
from turbomode_assets.stores.whole_files import replace_file

LATEST = "latest"
PAGE, FIGURES = ".html", ".json"


class NightlyPages:
    """A folder of pages. Each file is there whole or not at all; readers never see half of one."""

    def __init__(self, artifacts: Artifacts) -> None:
        self.folder = artifacts.reports / "nightly"

    def page(self, session: dt.date) -> Path:
        """Where the page of a session lies, or will lie."""
        return self.folder / f"{session}{PAGE}"

    def figures(self, session: dt.date) -> Path:
        """Where the figures of a session lie, or will lie."""
        return self.folder / f"{session}{FIGURES}"

    def sessions(self) -> list[dt.date]:
        """Sessions that have a page, in order."""
        names = (path.stem for path in self.folder.glob(f"*{PAGE}"))
        return sorted(dt.date.fromisoformat(name) for name in names if name != LATEST)

    def write(self, session: dt.date, page: str, figures: str) -> Path:
        """Write page and figures of a session; of the newest session, as `latest` too.

        Returns where the page lies.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        contents = {FIGURES: figures, PAGE: page}
        for suffix, content in contents.items():
            replace_file(self.folder / f"{session}{suffix}", content)
        if session == self.sessions()[-1]:
            for suffix, content in contents.items():
                replace_file(self.folder / f"{LATEST}{suffix}", content)
        return self.page(session)
