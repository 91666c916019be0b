"""Copies of the shipped configuration to break on purpose."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turbomode_assets_tests.builders import REPOSITORY

CONFIGS = REPOSITORY / "configs"


def shipped(name: str) -> dict[str, Any]:
    """Content of a shipped file."""
    content: dict[str, Any] = json.loads((CONFIGS / name).read_text(encoding="utf-8"))
    return content


def changed(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write the shipped file with a change into `folder` and return the folder."""
    content = shipped(name)
    change(content)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder
