"""Bad input at the commands people type: what is wrong, where, what to do, and nothing stored.

Two refusals go through `dagster` in processes of its own; the others are asked of the same
commands and runs inside this one, for a process takes ten seconds to start.
"""

import datetime as dt
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from dagster._cli.asset import asset_materialize_command
from deltalake import DeltaTable

from turbomode_assets.cli import main
from turbomode_assets.contracts.errors import TurbomodeError
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import MasterReader, ModelMemory
from turbomode_assets.stores.memory_schema import MEMORY_VERSION
from turbomode_assets_tests.builders import REPOSITORY, run_assets, write_configs
from turbomode_assets_tests.market import INGESTION

WEEK = SessionSpan(dt.date(2017, 11, 6), dt.date(2017, 11, 10))
SATURDAY, SUNDAY = dt.date(2017, 11, 11), dt.date(2017, 11, 12)
PATIENCE_SECONDS = 300
ARCHIVE = {
    "precedence": ["archive"],
    "archive.folder": "archive",
    "archive.candles": "candles.parquet",
}


VOLUME = 100.0 + pl.col("date").dt.day()
"""Another one on each day: two bars that are alike in everything pass for one and its copy."""


def candles_file(**changed):
    """A week of two symbols in the form of an archive file."""
    rows = pl.DataFrame({"symbol": ["AAA", "BBB"]}).join(
        pl.DataFrame({"date": WEEK.sessions}), how="cross"
    )
    prices = {"open": 10.0, "high": 11.0, "low": 9.0, "close": 10.0, "volume": VOLUME} | changed
    return rows.with_columns(
        (value if isinstance(value, pl.Expr) else pl.lit(value)).alias(name)
        for name, value in prices.items()
    )


def on_friday(value, otherwise):
    friday = (pl.col("date") == WEEK.last) & (pl.col("symbol") == "BBB")
    return pl.when(friday).then(value).otherwise(otherwise)


def archive_settings(root):
    configs = write_configs(root / "configs", **ARCHIVE)
    (root / "data" / "archive").mkdir(parents=True, exist_ok=True)
    return SettingsResource(data_root=str(root / "data"), tenant="default", config_dir=str(configs))


def archive_file(settings):
    return settings.root / "archive" / "candles.parquet"


@pytest.fixture(scope="module")
def _ingested(tmp_path_factory):
    root = tmp_path_factory.mktemp("ingested")
    settings = archive_settings(root)
    candles_file().write_parquet(archive_file(settings))
    run_assets(settings, [*INGESTION, "bars"], WEEK)
    return root


@pytest.fixture
def settings(_ingested, tmp_path, monkeypatch):
    """Settings over an archive of a week that is ingested, for the environment to find too."""
    shutil.copytree(_ingested, tmp_path / "platform")
    settings = archive_settings(tmp_path / "platform")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TURBOMODE_DATA_ROOT", settings.data_root)
    monkeypatch.setenv("TURBOMODE_CONFIG_DIR", settings.config_dir)
    monkeypatch.setenv("TURBOMODE_TENANT", settings.tenant)
    return settings


def contents(settings):
    """Digest of every file of every store."""
    return {
        str(path.relative_to(settings.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for store in ("master", "lake", "memory", "artifacts")
        for path in (settings.root / store).rglob("*")
        if path.is_file()
    }


def refusal_of(run):
    """What a failed run tells: the first explained error in its events."""
    assert not run.success
    errors = [e.step_failure_data.error for e in run.all_events if e.is_step_failure]
    return "\n".join(error.to_string() for error in errors)


def assert_explained(text, what, where, fix):
    """The three lines follow each other, as they were written."""
    assert what in text
    lines = text[text.index(what) :].splitlines()
    assert lines[1].startswith("  where: "), lines[:3]
    assert where in lines[1]
    assert lines[2].startswith("  fix:   "), lines[:3]
    assert fix in lines[2]


def edit(path, **changes):
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        *parents, key = name.split("__")
        section = content
        for parent in parents:
            section = section[parent]
        section[key] = value
    path.write_text(json.dumps(content), encoding="utf-8")


# --- real processes -------------------------------------------------------------------------------


def start(folder, *arguments, **environment):
    """Start `dagster asset materialize` as a terminal does, in a folder of its own."""
    home = folder / "home"
    home.mkdir(parents=True)
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    ours = {"DAGSTER_HOME", "TURBOMODE_DATA_ROOT", "TURBOMODE_CONFIG_DIR", "TURBOMODE_TENANT"}
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.Popen(
        [
            *(Path(sys.executable).parent / "dagster", "asset", "materialize"),
            *("-m", "turbomode_assets", *arguments),
        ],
        cwd=folder,
        env=inherited
        | {"DAGSTER_HOME": str(home), "TURBOMODE_DAGSTER_STORAGE": str(home)}
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_refusals_reach_the_terminal_with_an_exit_code(settings, tmp_path):
    before = contents(settings)
    environment = {
        "TURBOMODE_DATA_ROOT": settings.data_root,
        "TURBOMODE_CONFIG_DIR": settings.config_dir,
    }
    nan = candles_file(high=on_friday(float("nan"), 11.0))
    nan.write_parquet(archive_file(settings))
    cases = {
        "no root": (("--select", "bars", "--partition", str(WEEK.last)), {}),
        "archive": (
            ("--select", "raw_candles", "--partition-range", f"{WEEK.first}...{WEEK.last}"),
            environment,
        ),
    }
    started = {
        name: start(tmp_path / name, *arguments, **given)
        for name, (arguments, given) in cases.items()
    }
    said = {
        name: process.communicate(timeout=PATIENCE_SECONDS)[1] for name, process in started.items()
    }
    assert {name: process.returncode for name, process in started.items()} == dict.fromkeys(
        cases, 1
    )
    assert_explained(
        said["no root"],
        "the data root is not set",
        "environment variable TURBOMODE_DATA_ROOT",
        "set it to an absolute path",
    )
    assert_explained(
        said["archive"],
        "high is not finite: row=10 symbol=BBB date=2017-11-10 high=nan",
        "candles.parquet, column high",
        "correct these rows",
    )
    assert contents(settings) == before


# --- partition keys -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "what", "fix"),
    [
        (["--partition", "2017-11-23"], "2017-11-23 (Thursday) is not", "2017-11-22 before it"),
        (["--partition", "yesterday"], "'yesterday' is no partition key", "YYYY-MM-DD"),
        (["--partition", "1999-06-01"], "1999-06-01 is outside the partitions", "use a session"),
        (["--partition-range", "2017-11-10...2017-11-12"], "2017-11-12 (Sunday)", "2017-11-13"),
    ],
    ids=["holiday", "word", "before the calendar", "range ends on a Sunday"],
)
def test_a_key_that_is_no_session_is_refused_before_anything_runs(settings, arguments, what, fix):
    before = contents(settings)
    command = ["-m", "turbomode_assets", "--select", "bars", *arguments]
    result = CliRunner().invoke(asset_materialize_command, command)
    assert result.exit_code == 1
    assert isinstance(result.exception, TurbomodeError)
    assert_explained(str(result.exception), what, "partition", fix)
    assert contents(settings) == before


@pytest.mark.parametrize("asset", ["raw_candles", "bars"])
def test_a_range_that_ends_before_it_begins_is_refused(settings, asset):
    before = contents(settings)
    command = ["-m", "turbomode_assets", "--select", asset]
    command += ["--partition-range", f"{WEEK.last}...{WEEK.first}"]
    result = CliRunner().invoke(asset_materialize_command, command)
    assert result.exit_code == 1
    assert "before it begins (2017-11-10)" in result.output
    assert "fix:   give the earlier session first" in result.output
    assert contents(settings) == before


# --- the data root --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "what"),
    [
        (None, "the data root is not set"),
        ("data", "the data root 'data' is not an absolute path"),
        ("/no/such/folder", "the data root '/no/such/folder' is no folder"),
    ],
    ids=["unset", "relative", "absent"],
)
@pytest.mark.parametrize("asset", ["instruments", "raw_candles", "bars", "ensemble"])
def test_without_a_data_root_nothing_runs_and_no_folder_appears(
    settings, monkeypatch, root, what, asset
):
    (Path.cwd() / "data").mkdir()
    monkeypatch.delenv("TURBOMODE_DATA_ROOT")
    rootless = SettingsResource(data_root=root, config_dir=settings.config_dir)
    assets = ["symbol_metadata", "sector_mappings"] if asset == "instruments" else [asset]
    run = run_assets(rootless, assets, WEEK, raise_on_error=False)
    where, fix = "environment variable TURBOMODE_DATA_ROOT", "absolute path"
    assert_explained(refusal_of(run), what, where, fix)
    assert not list((Path.cwd() / "data").iterdir())


# --- archive files --------------------------------------------------------------------------------

TWICE = pl.concat([candles_file(), candles_file().head(1)])
SATURDAYS = candles_file().with_columns(date=on_friday(pl.lit(SATURDAY), pl.col("date")))


@pytest.mark.parametrize(
    ("rows", "what", "where", "fix"),
    [
        (
            candles_file().drop("low"),
            "missing columns: low",
            "candles.parquet",
            "a candles file has the columns symbol, date, open",
        ),
        (
            candles_file(colour="red"),
            "unknown columns: colour",
            "candles.parquet",
            "a candles file has the columns",
        ),
        (
            candles_file(close="ten"),
            "column close is String, not Float64",
            "candles.parquet, column close",
            "write it as Float64",
        ),
        (
            TWICE,
            "duplicated keys: symbol=AAA date=2017-11-06",
            "candles.parquet, key (symbol, date)",
            "keep one row for each key",
        ),
        (
            candles_file(high=on_friday(float("inf"), 11.0)),
            "high is not finite: row=10 symbol=BBB date=2017-11-10 high=inf",
            "candles.parquet, column high",
            "correct these rows",
        ),
        (
            candles_file(volume=on_friday(-1.0, 100.0)),
            "volume is below 0: row=10 symbol=BBB",
            "candles.parquet, column volume",
            "correct these rows",
        ),
        (
            SATURDAYS,
            "dates that are no XNYS sessions: symbol=BBB date=2017-11-11",
            "archive, candles.parquet",
            "archive.off_session_rows",
        ),
    ],
    ids=[
        *("missing column", "unknown column", "wrong type", "duplicated keys"),
        *("infinite price", "negative volume", "Saturday"),
    ],
)
def test_an_archive_file_with_bad_rows_is_refused_and_nothing_is_written(
    settings, rows, what, where, fix
):
    before = contents(settings)
    rows.write_parquet(archive_file(settings))
    span = SessionSpan(WEEK.first, dt.date(2017, 11, 13))
    run = run_assets(settings, ["raw_candles"], span, raise_on_error=False)
    assert_explained(refusal_of(run), what, where, fix)
    assert contents(settings) == before


@pytest.mark.parametrize("damage", ["truncated", "text", "directory", "absent"])
def test_an_archive_file_that_cannot_be_read_is_named(settings, damage):
    before = contents(settings)
    path = archive_file(settings)
    whole = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "text":
        path.write_text("symbol,date\n")
    elif damage == "directory":
        path.mkdir()
    run = run_assets(settings, INGESTION, WEEK, raise_on_error=False)
    what = "cannot be read" if path.is_file() else "no Parquet or CSV file matches"
    fix = "check that it is a whole" if path.is_file() else "put the file there"
    assert_explained(refusal_of(run), what, "archive", fix)
    assert contents(settings) == before


# --- configuration --------------------------------------------------------------------------------


def test_an_unknown_key_of_the_training_configuration_stops_the_assets_that_read_it(settings):
    before = contents(settings)
    edit(settings.configs / "turbomode_training_config.json", feature_engineering__colour="red")
    run = run_assets(settings, ["features"], WEEK, raise_on_error=False)
    assert_explained(
        refusal_of(run),
        "feature_engineering.colour: Extra inputs are not permitted, got 'red'",
        "turbomode_training_config.json",
        "remove the unknown key",
    )
    assert contents(settings) == before


def test_a_broken_rule_of_the_vendors_stops_ingestion(settings):
    before = contents(settings)
    edit(settings.configs / "vendors.json", archive__adjustment="split")
    run = run_assets(settings, INGESTION, WEEK, raise_on_error=False)
    assert_explained(
        refusal_of(run),
        "archive: adjusted_as_of is the date up to which prices are adjusted",
        "vendors.json",
        "change the values so that the rule holds",
    )
    assert contents(settings) == before


def test_a_broken_schedule_stops_the_graph_from_loading(settings):
    before = contents(settings)
    edit(settings.configs / "scheduler_config.json", tasks__scanner__cron="30 24 * * *")
    command = ["-m", "turbomode_assets", "--select", "bars", "--partition", str(WEEK.last)]
    result = CliRunner().invoke(asset_materialize_command, command)
    assert result.exit_code == 1
    assert_explained(
        str(result.exception),
        "tasks.scanner.cron: is no cron expression of five fields, as `45 22 * * 1-5` is: Bad hour",
        "scheduler_config.json",
        "change the values so that the rule holds",
    )
    assert contents(settings) == before


# --- stores of a newer version --------------------------------------------------------------------


@pytest.mark.parametrize("asset", ["raw_candles", "bars"])
def test_a_table_of_a_newer_layout_is_neither_read_nor_written(settings, asset):
    uri = MasterReader(settings.master_root).uri("candles")
    newer = {"turbomode.layoutVersion": "2"}
    DeltaTable(uri).alter.set_table_properties(newer, raise_if_not_exists=False)
    before = contents(settings)
    run = run_assets(settings, [asset], WEEK, raise_on_error=False)
    assert_explained(
        refusal_of(run),
        "table candles has layout 2; this program knows 1",
        "master/candles",
        "upgrade turbomode_assets",
    )
    assert contents(settings) == before


def newer_memory(settings):
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    with memory.transaction() as connection:
        connection.execute("UPDATE memory_schema SET version = ?", [MEMORY_VERSION + 1])


def test_a_model_memory_of_a_newer_schema_is_left_alone(settings):
    newer_memory(settings)
    before = contents(settings)
    run = run_assets(settings, ["ensemble"], WEEK, raise_on_error=False)
    explained = (
        f"schema version {MEMORY_VERSION + 1}; this program knows {MEMORY_VERSION}",
        "turbomode.duckdb",
        "upgrade turbomode_assets",
    )
    assert_explained(refusal_of(run), *explained)
    result = CliRunner().invoke(main, ["signals"])
    assert result.exit_code == 1
    assert_explained(result.output, *explained)
    assert contents(settings) == before


# --- turbomode ------------------------------------------------------------------------------------


def test_turbomode_signals_without_any_says_what_to_run(settings):
    before = contents(settings)
    result = CliRunner().invoke(main, ["signals"])
    assert result.exit_code == 1
    assert_explained(result.output, "there are no signals yet", "turbomode.duckdb", "make demo")
    after = contents(settings)
    assert {path: after[path] for path in before} == before


def test_turbomode_demo_never_runs_on_real_data(settings):
    before = contents(settings)
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 1
    assert_explained(
        result.output,
        "the demo runs on the simulated market; the vendors are ['archive']",
        "vendors.json",
        'set precedence to ["simulated"]',
    )
    assert contents(settings) == before


def test_turbomode_config_check_names_the_broken_key(settings):
    edit(settings.configs / "vendors.json", archive__adjusted_as_of="yesterday")
    result = CliRunner().invoke(main, ["config", "check"])
    assert result.exit_code == 1
    assert_explained(result.output, "archive.adjusted_as_of", "vendors.json", "correct the value")
