"""What commands load before they do anything, and what they list without loading it."""

import json

import click
import pytest
from click.testing import CliRunner

from turbomode_assets.cli import COMMANDS, main
from turbomode_assets_tests.processes import printed_by

HEAVY = {"dagster", "torch", "lightgbm", "sklearn", "scipy", "matplotlib", "numba", "pandas"}
HEAVY |= {"deltalake", "sqlalchemy", "yfinance", "ib_insync"}
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
WHOLE_ROOM = """
import importlib, pkgutil, sys
package = importlib.import_module("turbomode_assets.{room}")
print(" ".join(sorted({heavy!r} & set(sys.modules))))
for each in pkgutil.walk_packages(getattr(package, "__path__", []), "turbomode_assets.{room}."):
    importlib.import_module(each.name)
print(" ".join(sorted({heavy!r} & set(sys.modules))))
"""
TRAINING = {"torch", "lightgbm", "sklearn", "scipy", "pandas"}
FEATURES = {"torch", "numba", "scipy", "pandas"}
PLAIN = ("contracts", "config", "settings", "sessions", "rationing", "completeness", "curation")
PLAIN += ("labels", "validation", "drift", "signals", "backtest")
LOADED_BY_MODULES = {room: set() for room in PLAIN} | {
    "vendors": {"yfinance", "ib_insync", "pandas"},
    "features": FEATURES,
    "models": TRAINING,
    "ensemble": TRAINING,
    "reports": {"matplotlib"},
    "stores": {"deltalake", "sqlalchemy"},
    "ingestion": {"deltalake", "sqlalchemy"},
    "modelling": TRAINING | FEATURES | {"deltalake"},
    "maintenance": {"deltalake", "sqlalchemy"},
}
"""What loading every module of a room may load."""


def loaded_by(code):
    return set(printed_by(code).split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=str)
def test_the_list_of_commands_loads_none_of_them(arguments):
    assert loaded_by(LOADED.format(arguments=arguments, heavy=HEAVY)) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["signals", "--help"],
        ["explain", "--help"],
        ["config", "--help"],
        ["features", "--help"],
        ["models", "--help"],
        ["doctor", "--help"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_loads_no_more_than_it_needs(arguments):
    assert loaded_by(LOADED.format(arguments=arguments, heavy=HEAVY)) == set()


@pytest.mark.parametrize("room", ["alerts", "nightly", "runs"])
def test_a_package_loads_none_of_its_modules(room):
    code = f"import sys, turbomode_assets.{room}; print(*({HEAVY!r} & set(sys.modules)))"
    assert loaded_by(code) == set()


@pytest.mark.parametrize("room", sorted(LOADED_BY_MODULES))
def test_a_room_loads_what_is_used_of_it(room):
    at_once, *by_modules = printed_by(WHOLE_ROOM.format(room=room, heavy=HEAVY)).split("\n")
    assert not at_once
    assert set(by_modules[0].split()) <= LOADED_BY_MODULES[room]


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
    assert features[0]["name"] == "kmid"
    assert len(features[0]["digest"]) == 64
    files = json.loads(CliRunner().invoke(main, ["config", "check", "--json"]).stdout)
    assert {file["file"] for file in files} >= {"vendors.json", "scheduler_config.json"}
