"""Python in a process of its own."""

import subprocess
import sys

from turbomode_assets_tests.builders import REPOSITORY


def printed_by(code: str, *, timeout: float | None = None) -> str:
    """What code prints, run in the repository's folder; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=timeout,
        cwd=REPOSITORY,
    )
    return done.stdout
