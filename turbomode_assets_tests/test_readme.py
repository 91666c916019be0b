"""What the README names exists: paths, targets, commands, selections, variables, settings."""

import ast
import json
import re
import shlex
import tomllib

import click
import dagster as dg
import pytest

from turbomode_assets.cli import main
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.config.vendors import ArchiveConfig
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.partitions import SESSIONS
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.stores import Artifacts, MarketData, ModelMemory
from turbomode_assets.stores.artifacts import REPORTS
from turbomode_assets.vendors import read_universe
from turbomode_assets_tests.builders import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in README.splitlines() if line.startswith("    ")]
MATERIALIZE = [line for line in COMMANDS if line.startswith("dagster asset materialize")]
REPEATED_STEPS = {"plan_cross_validation", "cross_validate"}
"""Steps of training that the README counts to the one that they serve."""


@pytest.fixture(scope="module")
def definitions():
    return build(SettingsResource())


def section(title):
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(text):
    """Code in the first column of the tables of a text."""
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def shipped(name):
    return json.loads((REPOSITORY / "configs" / name).read_text(encoding="utf-8"))


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
def test_every_materialize_command_selects_assets_and_sessions_that_exist(definitions, line):
    arguments = shlex.split(line)
    options = dict(zip(arguments[3::2], arguments[4::2], strict=True))
    assert options["-m"] == "turbomode_assets"
    graph = definitions.resolve_asset_graph()
    selection = dg.AssetSelection.from_coercible(options["--select"].split(","))
    assert selection.resolve(graph)
    keys = options.get("--partition-range", options.get("--partition", "")).split("...")
    assert all(SESSIONS.has_partition_key(key) for key in keys)
    assert len(keys) == (2 if "--partition-range" in options else 1)
    job = definitions.resolve_implicit_global_asset_job_def()
    assert dg.validate_run_config(job, json.loads(options.get("--config-json", "{}")))


def test_it_shows_materialize_commands():
    assert len(MATERIALIZE) >= 6


def test_every_turbomode_command_it_names_exists():
    named = set(re.findall(r"`turbomode ([a-z][a-z0-9 -]*)`", README))
    assert named
    for line in named:
        command, words = main, line.split()
        while isinstance(command, click.Group) and words:
            command = command.get_command(click.Context(command), words.pop(0))
            assert command, line
        if words:
            command.make_context(line, words)


def test_every_variable_it_names_is_read_by_the_program():
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in [*REPOSITORY.glob("turbomode_assets*/**/*.py"), REPOSITORY / "dagster.yaml"]
    )
    example = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:TURBOMODE|MLFLOW)_[A-Z_]+", README + example))
    assert "MLFLOW_TRACKING_URI" in named
    for variable in named:
        assert variable in code, variable


def test_every_market_data_question_it_shows_exists():
    named = set(re.findall(r"\bmarket\.(\w+)\(", README)) | {"at_version"}
    assert len(named) >= 4
    for name in named:
        assert callable(getattr(MarketData, name)), name


def test_every_setting_of_vendors_it_names_exists():
    vendors = shipped("vendors.json")
    assert {"precedence", "budgets", "ibkr"} <= set(vendors)
    assert {"client_id", "port"} <= set(vendors["ibkr"])
    assert vendors["ibkr"]["port"] == 4002
    assert "timeframes" in vendors["fetch"]
    edge = re.search(r"`simulated\.(\w+)`, ([\d.]+), in", README)
    assert edge
    assert vendors["simulated"][edge[1]] == float(edge[2])
    universe = read_universe(REPOSITORY / "configs" / "universe.csv")
    kinds = dict(universe.group_by("asset_class").len().iter_rows())
    assert kinds == {"stock": 77, "crypto": 3, "etf": 1}


def test_the_archive_settings_it_names_exist():
    for setting in ("folder", "adjustment", "adjusted_as_of"):
        assert f"`{setting}`" in section("Your own data")
        assert setting in ArchiveConfig.model_fields


def test_its_table_of_steps_is_the_training_graph(definitions):
    graph = definitions.resolve_asset_graph().get(dg.AssetKey("ensemble")).assets_def.node_def
    steps = [node.name for node in graph.nodes if node.name not in REPEATED_STEPS]
    named = [step for step in first_cells(section("Train")) if "_" in step]
    assert len(named) == 13
    assert sorted(named) == sorted(steps)


def test_its_table_of_sections_is_the_training_configuration():
    sections = [
        name for name in TrainingConfig.model_fields if name not in ("version", "changelog")
    ]
    assert first_cells(section("Configuration")) == sections


@pytest.mark.parametrize(
    ("title", "name"),
    [("Train", "training_orchestrator"), ("Which model signals", "model_promotion_gate")],
)
def test_every_key_it_names_of_retraining_and_gate_exists(title, name):
    text = section(title)
    keys = shipped("turbomode_training_config.json")[name]
    after = text.split(f"`{name}`")[1]
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+|underperformance)`", after))
    named -= set(lake_tables(feature_names()))
    assert len(named) >= 2
    assert named <= set(keys)


DAYS = {"Monday to Friday": "1-5", "Tuesday to Saturday": "2-6", "Sunday": "0"}


def test_its_tasks_are_due_when_it_says_and_wait_for_whom_it_says(definitions):
    rows = re.findall(
        r"^\| `(\w+)` \| (\d\d):(\d\d), ([\w ]+) \|[^|]*\|([^|]*)\|$",
        section("Every night by itself"),
        re.MULTILINE,
    )
    tasks = shipped("scheduler_config.json")["tasks"]
    assert [name for name, *_ in rows] == list(tasks)
    for name, hour, minute, days, after in rows:
        task = tasks[name]
        assert task["cron"] == f"{int(minute)} {int(hour)} * * {DAYS[days]}", name
        assert re.findall(r"`(\w+)`", after) == [*task["depends_on"], *task["waits_for"]], name
        assert not task["enabled"], name
    assert set(tasks) <= {sensor.name for sensor in definitions.sensors}


def test_its_backtest_keys_are_shipped_as_it_says():
    shipped_keys = shipped("backtest_config.json")
    shipped_keys |= shipped_keys.pop("trading")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)?) \| ([^|]+) \|", section("Back-test"), re.MULTILINE)
    named = {}
    for keys, values in rows:
        names = re.findall(r"`(\w+)`", keys)
        named |= dict(zip(names, values.split(", ") if len(names) > 1 else [values], strict=True))
    assert set(named) == set(shipped_keys) - {"$schema", "version", "changelog"}
    for name, text in named.items():
        said = text if text == "equal" else json.loads(text.replace(",", ""))
        assert said == shipped_keys[name], name


def test_every_models_command_it_shows_exists_with_its_arguments():
    group = main.get_command(click.Context(main), "models")
    heading, *shown = first_cells(section("Which model signals"))
    assert heading.startswith("turbomode models")
    commands = {line.split()[0]: shlex.split(line)[1:] for line in shown}
    assert set(commands) == set(group.commands)
    for name, given in commands.items():
        group.commands[name].make_context(name, list(given))
    assert {"--at", "--session"} <= {
        option
        for command in group.commands.values()
        for each in command.params
        for option in each.opts
    }


def test_the_tables_and_folders_of_training_it_names_exist(tmp_path):
    assert "shadow_predictions" in lake_tables(feature_names())
    memory = ModelMemory(tmp_path / "turbomode.duckdb", "default")
    with memory.transaction() as connection:
        tables = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
    assert "promotions" in tables
    folder = Artifacts(tmp_path / "artifacts").new_model_folder("<version>") / REPORTS
    named = f"data/artifacts/<tenant>/{folder.relative_to(tmp_path / 'artifacts')}"
    assert f"`{named}`" in README


def test_the_extra_it_names_exists():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in re.findall(r"'\.\[(\w+)\]'", README):
        assert extra in project["optional-dependencies"]


def test_its_example_of_validation_runs_alone_and_gives_what_it_says():
    text = section("Judge a back-test of your own")
    code = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    *statements, last = ast.parse(code).body
    assert isinstance(last, ast.Expr)
    known = {}
    exec(compile(ast.Module(statements, []), "README", "exec"), known)
    promised = code.splitlines()[-1].split("# ")[1]
    assert f"{eval(compile(ast.Expression(last.value), 'README', 'eval'), known):.2f}" == promised
    yearly = known["sharpes"].max() * 252**0.5
    assert f"Sharpe ratio of {yearly:.1f}" in " ".join(text.split())
