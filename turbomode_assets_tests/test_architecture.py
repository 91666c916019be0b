"""The import rule, held against the syntax trees of every module."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "turbomode_assets"

FLOORS = {
    "contracts": 0,
    "config": 1,
    "sessions": 2,
    "vendors": 2,
    "completeness": 2,
    "curation": 2,
    "features": 2,
    "labels": 2,
    "validation": 2,
    "models": 2,
    "ensemble": 2,
    "drift": 2,
    "signals": 2,
    "backtest": 2,
    "reports": 2,
    "stores": 3,
    "resources": 4,
    "assets": 5,
    "automation": 5,
    "definitions": 6,
    "cli": 7,
}
"""A module imports from lower floors; rooms of one floor meet only as ACQUAINTED says."""

ACQUAINTED = {
    ("ensemble", "models"),
    ("ensemble", "validation"),
    ("signals", "models"),
    ("signals", "labels"),
    ("backtest", "validation"),
    ("assets", "automation"),
}
MAY_IMPORT_DAGSTER = {"__init__", "assets", "automation", "resources", "definitions", "cli"}
MAY_IMPORT = {
    "turbomode_assets.stores.master_writer": {"resources/master_writer.py"},
    "turbomode_assets.resources.master_writer": {"definitions.py"},
    "turbomode_assets.stores.maintenance.tables": {"resources/maintenance.py"},
    "turbomode_assets.resources.maintenance": {"assets/maintenance.py", "definitions.py"},
    "turbomode_assets.stores.delta": {
        "stores/features.py",
        "stores/lake.py",
        "stores/maintenance/table_copies.py",
        "stores/maintenance/tables.py",
        "stores/master_writer.py",
        "stores/market_data/pinned_tables.py",
        "stores/reader.py",
    },
    "deltalake": {
        "stores/changes.py",
        "stores/delta.py",
        "stores/features.py",
        "stores/maintenance/table_copies.py",
        "stores/maintenance/tables.py",
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
    if room == "__init__":
        return
    for other in own_rooms(path) - {room}:
        allowed = FLOORS[other] < FLOORS[room] or other == "sessions" or (room, other) in ACQUAINTED
        assert allowed, f"{path.name} in {room} imports {other}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_dagster_side_imports_dagster(path):
    orchestrated = any(name.split(".")[0].startswith("dagster") for name in imports_of(path))
    assert not orchestrated or room_of(path) in MAY_IMPORT_DAGSTER


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
    tree = ast.parse((PACKAGE / "stores/maintenance/tables.py").read_text(encoding="utf-8"))
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    writing = {"delete", "merge", "update", "restore", "create_write_transaction", "write"}
    assert not writing & attributes
    names = imports_of(PACKAGE / "stores/maintenance/tables.py")
    assert {name for name in names if name.startswith("turbomode_assets.stores.delta.")} == {
        "turbomode_assets.stores.delta.KEEP_LOG",
        "turbomode_assets.stores.delta.open_table",
    }


def test_rooms_do_not_read_the_environment_or_start_processes():
    for path in modules():
        if room_of(path) in {"resources", "cli"}:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not {"environ", "getenv"} & attributes, path
        assert "subprocess" not in imports_of(path), path
