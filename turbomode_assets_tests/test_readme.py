"""What the README names exists: paths, make targets, commands, asset selections, variables."""

import json
import re
import shlex

import click
import dagster as dg
import pytest

from turbomode_assets.automation.partitions import SESSIONS
from turbomode_assets.cli import main
from turbomode_assets.config.vendors import ArchiveConfig
from turbomode_assets.definitions import build
from turbomode_assets.resources.settings import SettingsResource
from turbomode_assets.stores import MarketData
from turbomode_assets.vendors import read_universe
from turbomode_assets_tests.builders import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in README.splitlines() if line.startswith("    ")]
MATERIALIZE = [line for line in COMMANDS if line.startswith("dagster asset materialize")]


def test_every_path_it_names_exists():
    named = set(
        re.findall(r"`((?:configs|turbomode_assets|turbomode_assets_tests)/[\w./]+)`", README)
    )
    named |= set(re.findall(r"!\[[^]]*\]\(([^)]+)\)", README))
    named |= set(re.findall(r"\(`(\.[\w.]+)`\)", README))
    assert named
    for path in named:
        assert (REPOSITORY / path).exists(), path


def test_every_make_target_it_names_exists():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z][a-z-]*)", README))
    assert {"demo", "test", "ui", "check"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("line", MATERIALIZE)
def test_every_materialize_command_selects_assets_and_sessions_that_exist(line):
    arguments = shlex.split(line)
    options = dict(zip(arguments[3::2], arguments[4::2], strict=True))
    assert options["-m"] == "turbomode_assets"
    graph = build(SettingsResource()).resolve_asset_graph()
    selection = dg.AssetSelection.from_coercible(options["--select"].split(","))
    assert selection.resolve(graph)
    keys = options.get("--partition-range", options.get("--partition", "")).split("...")
    assert all(SESSIONS.has_partition_key(key) for key in keys)
    assert len(keys) == (2 if "--partition-range" in options else 1)


def test_it_shows_materialize_commands():
    assert len(MATERIALIZE) >= 6


def test_every_turbomode_command_it_names_exists():
    named = set(re.findall(r"`turbomode ([a-z][a-z ]*)`", README))
    assert named
    for words in named:
        command: click.Command = main
        for word in words.split():
            assert isinstance(command, click.Group)
            command = command.commands[word]


def test_every_variable_it_names_is_read_by_the_program():
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in [*REPOSITORY.glob("turbomode_assets*/**/*.py"), REPOSITORY / "dagster.yaml"]
    )
    named = set(re.findall(r"\bTURBOMODE_[A-Z_]+", README))
    example = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    named |= set(re.findall(r"\bTURBOMODE_[A-Z_]+", example))
    for variable in named:
        assert variable in code, variable


def test_every_market_data_question_it_shows_exists():
    named = set(re.findall(r"\bmarket\.(\w+)\(", README)) | {"at_version"}
    assert len(named) >= 4
    for name in named:
        assert callable(getattr(MarketData, name)), name


def test_every_setting_of_vendors_it_names_exists():
    shipped = json.loads((REPOSITORY / "configs" / "vendors.json").read_text(encoding="utf-8"))
    assert {"precedence", "budgets", "ibkr"} <= set(shipped)
    assert {"client_id", "port"} <= set(shipped["ibkr"])
    assert shipped["ibkr"]["port"] == 4002
    assert "timeframes" in shipped["fetch"]
    universe = read_universe(REPOSITORY / "configs" / "universe.csv")
    kinds = dict(universe.group_by("asset_class").len().iter_rows())
    assert kinds == {"stock": 77, "crypto": 3, "etf": 1}


def test_the_archive_settings_it_names_exist():
    section = README.split("## Your own data")[1].split("\n## ")[0]
    for setting in ("folder", "adjustment", "adjusted_as_of"):
        assert f"`{setting}`" in section
        assert setting in ArchiveConfig.model_fields
