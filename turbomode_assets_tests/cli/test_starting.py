"""What commands load before they do anything, and what they list without loading it."""

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from turbomode_assets.cli import COMMANDS, main
from turbomode_assets_tests.builders import REPOSITORY

HEAVY = {"dagster", "torch", "lightgbm", "sklearn", "matplotlib", "numba", "pandas", "deltalake"}
LOADED = """
import contextlib, io, sys
from turbomode_assets.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    try:
        main({arguments!r}, standalone_mode=False)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
print(" ".join(sorted({heavy!r} & set(sys.modules))))
"""
ROOMS = """
import importlib, sys
importlib.import_module("turbomode_assets.{room}")
print(" ".join(sorted({heavy!r} & set(sys.modules))))
"""
LIGHT = {"alerts", "contracts", "config", "ensemble", "features", "ingestion", "maintenance"}
LIGHT |= {"modelling", "models", "nightly", "rationing", "reports", "runs", "settings", "stores"}
SESSIONED = {"sessions", "vendors", "completeness", "curation", "labels", "validation", "drift"}
SESSIONED |= {"signals", "backtest"}
"""Rooms that look at trading time, whose calendars come with pandas."""


def loaded_by(code):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=str)
def test_the_list_of_commands_loads_none_of_them(arguments):
    assert loaded_by(LOADED.format(arguments=arguments, heavy=HEAVY)) == set()


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["signals", "--help"], set()),
        (["config", "--help"], set()),
        (["models", "--help"], {"pandas"}),
    ],
    ids=["signals", "config", "models"],
)
def test_a_command_loads_what_it_needs_and_no_more(arguments, allowed):
    assert loaded_by(LOADED.format(arguments=arguments, heavy=HEAVY)) <= allowed


@pytest.mark.parametrize("room", sorted(LIGHT | SESSIONED))
def test_a_room_loads_what_is_used_of_it(room):
    allowed = {"pandas"} if room in SESSIONED else set()
    assert loaded_by(ROOMS.format(room=room, heavy=HEAVY)) <= allowed


def test_short_helps_are_the_first_sentences_of_the_commands():
    context = click.Context(main)
    for name, command in COMMANDS.items():
        whole = " ".join(main.get_command(context, name).help.split("\n\n")[0].split())
        assert whole.startswith(command.short_help), name
        assert command.short_help.endswith("."), name


def test_every_command_is_listed_with_its_help():
    listed = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    for name, command in COMMANDS.items():
        assert f"{name} {command.short_help}" in listed


def test_names_of_commands_are_completed():
    found = main.shell_complete(click.Context(main), "re")
    assert {item.value: item.help for item in found} == {
        name: COMMANDS[name].short_help for name in ("restore", "resume")
    }


def test_reading_commands_print_json_and_nothing_else():
    features = json.loads(CliRunner().invoke(main, ["features", "list", "--json"]).stdout)
    assert len(features) == 179
    assert features[0]["name"] == "kmid"
    assert len(features[0]["digest"]) == 64
    files = json.loads(CliRunner().invoke(main, ["config", "check", "--json"]).stdout)
    assert {file["file"] for file in files} >= {"vendors.json", "scheduler_config.json"}
