"""The import rule, held against the syntax trees of every module."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "turbomode_assets"

ORDER = (
    ("contracts",),
    ("config",),
    ("sessions",),
    ("settings",),
    (
        *("rationing", "vendors", "completeness", "curation", "features", "labels", "validation"),
        *("models", "ensemble", "drift", "signals", "backtest", "reports"),
    ),
    ("stores",),
    ("runs",),
    ("ingestion", "modelling"),
    ("alerts", "nightly", "maintenance"),
    ("orchestration",),
    ("cli",),
)
"""The rooms by floors: a module imports from its own room and from floors below.

Rooms of one floor meet only as ACQUAINTED says.
"""
FLOORS = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}

ACQUAINTED = {
    ("vendors", "rationing"),
    ("ensemble", "models"),
    ("ensemble", "validation"),
    ("signals", "models"),
    ("signals", "labels"),
    ("backtest", "validation"),
    ("backtest", "labels"),
    ("reports", "completeness"),
    ("nightly", "alerts"),
}
OLD_CLASS_PATHS = {"resources"}
"""Modules that a user's `dagster.yaml` may still name."""
MAY_IMPORT_DAGSTER = {"__init__", "orchestration", "cli"}
READS_RUN_STORAGE = {
    "get_runs",
    "get_run_records",
    "get_run_ids",
    "get_run_record_by_id",
    "DagsterRunStatus",
    "RunsFilter",
}
MAY_READ_RUN_STORAGE = {
    "orchestration/run_records.py",
    # These act on runs rather than ask about them: one fails what a dead command left unfinished,
    # the other packs and deletes what ended long ago.
    "orchestration/automation/command_runs.py",
    "orchestration/resources/run_archive.py",
}
"""The one reader of Dagster's run storage, and who acts on the runs themselves."""
MAY_IMPORT = {
    "turbomode_assets.stores.master_writer": {"orchestration/resources/master_writer.py"},
    "turbomode_assets.orchestration.resources.master_writer": {"orchestration/definitions.py"},
    "turbomode_assets.maintenance.tables": {"maintenance/weekly.py"},
    "turbomode_assets.maintenance.weekly": {
        "orchestration/assets/maintenance.py",
        "orchestration/resources/keeper.py",
    },
    "turbomode_assets.orchestration.resources.keeper": {
        "orchestration/assets/maintenance.py",
        "orchestration/definitions.py",
    },
    "turbomode_assets.stores.delta": {
        "stores/features.py",
        "stores/lake.py",
        "maintenance/table_copies.py",
        "maintenance/tables.py",
        "stores/master_writer.py",
        "stores/market_data/pinned_tables.py",
        "stores/reader.py",
    },
    "deltalake": {
        "stores/changes.py",
        "stores/delta.py",
        "stores/features.py",
        "maintenance/table_copies.py",
        "maintenance/tables.py",
        "stores/market_data/pinned_tables.py",
        "stores/reader.py",
        "stores/table_files.py",
    },
}
"""Who may import what can write a Delta table, or rearrange its files, under whatever name."""
MAY_REPLACE_ROWS = {"stores/master_writer.py", "stores/lake.py"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("relative import")
    return found


def own_rooms(path: Path) -> set[str]:
    names = {name for name in imports_of(path) if name.startswith("turbomode_assets.")}
    return {name.split(".")[1] for name in names}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_below(path):
    room = room_of(path)
    if room in {"__init__", *OLD_CLASS_PATHS}:
        return
    for other in own_rooms(path) - {room}:
        allowed = FLOORS[other] < FLOORS[room] or other == "sessions" or (room, other) in ACQUAINTED
        assert allowed, f"{path.name} in {room} imports {other}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_dagster_side_imports_dagster(path):
    orchestrated = any(name.split(".")[0].startswith("dagster") for name in imports_of(path))
    assert not orchestrated or room_of(path) in MAY_IMPORT_DAGSTER


def test_only_the_adapter_asks_dagster_what_ran():
    using = set()
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {name.rsplit(".", 1)[-1] for name in imports_of(path)}
        if READS_RUN_STORAGE & names:
            using.add(str(path.relative_to(PACKAGE)))
    assert using == MAY_READ_RUN_STORAGE


@pytest.mark.parametrize("room", ["runs", "alerts", "nightly"])
def test_no_module_of_a_room_that_tells_what_ran_loads_dagster(room):
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in sorted((PACKAGE / room).rglob("*.py"))
    ]
    code = f"import sys, {', '.join(names)}; print('dagster' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    assert done.stdout.strip() == "False"


def test_only_ingestion_reaches_the_writer_of_the_master_store():
    for path in modules():
        relative = str(path.relative_to(PACKAGE))
        names = imports_of(path)
        for module, importers in MAY_IMPORT.items():
            if any(name == module or name.startswith(f"{module}.") for name in names):
                assert relative in importers, f"{relative} imports {module}"
        if any(name.endswith(".replace_rows") for name in names):
            assert relative in MAY_REPLACE_ROWS, relative
        text = path.read_text(encoding="utf-8")
        for call in (".write_delta(", ".sink_delta(", "write_deltalake("):
            assert call not in text or relative == "stores/delta.py", f"{relative}: {call}"


def test_the_keeper_of_the_tables_can_rearrange_files_and_nothing_else():
    tree = ast.parse((PACKAGE / "maintenance/tables.py").read_text(encoding="utf-8"))
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    writing = {"delete", "merge", "update", "restore", "create_write_transaction", "write"}
    assert not writing & attributes
    names = imports_of(PACKAGE / "maintenance/tables.py")
    assert {name for name in names if name.startswith("turbomode_assets.stores.delta.")} == {
        "turbomode_assets.stores.delta.KEEP_LOG",
        "turbomode_assets.stores.delta.open_table",
    }


def test_rooms_do_not_read_the_environment_or_start_processes():
    for path in modules():
        if room_of(path) in {"settings", "orchestration", "cli"}:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not {"environ", "getenv"} & attributes, path
        assert "subprocess" not in imports_of(path), path


COLLECTED = """
import sys, pytest
pytest.main(["--collect-only", "-q", "-p", "no:xdist", "turbomode_assets_tests/{room}"])
heavy = {{"dagster", "torch", "lightgbm", "matplotlib", "numba", "exchange_calendars"}}
print("LOADED", *sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("rationing", set()),
        ("contracts", {"exchange_calendars"}),
        ("sessions", {"exchange_calendars"}),
        ("validation", {"exchange_calendars"}),
    ],
    ids=["rationing", "contracts", "sessions", "validation"],
)
def test_tests_of_a_room_are_collected_without_loading_the_graph(room, allowed):
    """The calendar is laid out by tests whose cases name sessions."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COLLECTED.format(room=room)],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    word, *loaded = done.stdout.splitlines()[-1].split()
    assert word == "LOADED"
    assert set(loaded) <= allowed
