"""What the documents beside the README name exists: paths, targets, classes, commands."""

import importlib.util
import re

import pytest

from turbomode_assets_tests.builders import REPOSITORY

DOCUMENTS = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md")
TARGETS = set(
    re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
)


def text_of(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


def quoted(name):
    """Everything between backticks, and lines of code."""
    text = text_of(name)
    return re.findall(r"`([^`\n]+)`", text) + re.findall(r"^    (make .*)$", text, re.MULTILINE)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_exists(name):
    paths = [each for each in quoted(name) if re.match(r"(turbomode_assets|configs)[\w/]*/", each)]
    paths += [each for each in quoted(name) if re.fullmatch(r"[A-Z]+\.md", each)]
    assert paths or name == "CHANGELOG.md"
    for path in paths:
        assert (REPOSITORY / path).exists(), path


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_module_exists(name):
    modules = [
        each for each in quoted(name) if re.fullmatch(r"turbomode_assets(_tests)?(\.\w+)+", each)
    ]
    modules += re.findall(r"python -m ([\w.]+)", text_of(name))
    for module in modules:
        assert importlib.util.find_spec(module), module


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_target_exists(name):
    for each in quoted(name):
        if each.startswith("make "):
            assert each.split()[1] in TARGETS, each


def test_every_room_is_in_the_picture():
    picture = text_of("ARCHITECTURE.md").split("## The way of one bar")[0]
    rooms = {path.name for path in (REPOSITORY / "turbomode_assets").iterdir() if path.is_dir()}
    for room in rooms - {"__pycache__"}:
        assert re.search(rf"\b{room}\b", picture), room
