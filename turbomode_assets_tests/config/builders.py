"""Copies of the shipped configuration to break on purpose."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from turbomode_assets.config import upgrades
from turbomode_assets.config.upgrades import Step
from turbomode_assets_tests.builders import REPOSITORY

CONFIGS = REPOSITORY / "configs"


def shipped(name: str) -> dict[str, Any]:
    """Content of a shipped file, in the present form but for its number."""
    content: dict[str, Any] = json.loads((CONFIGS / name).read_text(encoding="utf-8"))
    return upgrades.upgraded(name, content, where=name)


def add_steps(monkeypatch: pytest.MonkeyPatch, file: str, *steps: Step) -> None:
    """Make this a later program, to which further forms of a file came."""
    later = {**upgrades.STEPS, file: (*upgrades.STEPS[file], *steps)}
    monkeypatch.setattr(upgrades, "STEPS", later)


def changed(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write the shipped file with a change into `folder` and return the folder."""
    content = shipped(name)
    change(content)
    written = {upgrades.FORM: upgrades.present_form(name)} | content
    (folder / name).write_text(json.dumps(written), encoding="utf-8")
    return folder
