"""`turbomode backup` and `restore` as people type them, on a trained market that was maintained."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest
from click.testing import CliRunner

from turbomode_assets.cli import main
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.maintenance.pins import lake_pins, master_pins, merged
from turbomode_assets.maintenance.tables import TableKeeper
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Lake, MasterReader
from turbomode_assets_tests.builders import run_assets, small_settings
from turbomode_assets_tests.market import AS_OF, NIGHT

AS_OF_SPAN, NIGHT_SPAN = SessionSpan(AS_OF, AS_OF), SessionSpan(NIGHT, NIGHT)
SYMBOL = "SIM001"


@pytest.fixture(scope="module")
def maintained(_trained_market, tmp_path_factory):
    """A market with signals of one night, whose tables were then merged and vacuumed at once.

    What the signals and their model were made from can be read only because it is kept for them.
    """
    root = tmp_path_factory.mktemp("maintained") / "market"
    shutil.copytree(_trained_market, root)
    settings = small_settings(root)
    scheduler = root / "configs" / "scheduler_config.json"
    content = json.loads(scheduler.read_text(encoding="utf-8"))
    content["maintenance"]["compact_above_files"] = 1
    scheduler.write_text(json.dumps(content), encoding="utf-8")
    run_assets(settings, ["signals"], AS_OF_SPAN)
    before = typed_on(settings, "explain", SYMBOL, str(AS_OF))
    run_assets(settings, ["raw_candles", "audit", "bars", "features", "labels"], NIGHT_SPAN)
    upkeep = run_assets(settings, ["maintenance"], NIGHT_SPAN)
    (done,) = upkeep.asset_materializations_for_node("maintenance")
    return Maintained(root, before, done.metadata, vacuum_at_once(settings))


class Maintained(NamedTuple):
    root: Path
    explained: str
    metadata: dict
    removed: dict


def vacuum_at_once(settings):
    """Remove every file that nobody refers to, however lately it was replaced."""
    lake = Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))
    master = MasterReader(settings.master_root)
    own = lake_pins(settings.memory_path, lake, explained_sessions=5)
    shared = master_pins(settings.root, master, explained_sessions=5).versions
    removed = {}
    for keeper, pins in ((TableKeeper(lake), own), (TableKeeper(master), merged(shared, own))):
        for table in keeper.tables():
            kept = pins.get(table, set())
            removed[table] = keeper.vacuum(table, keep_versions=kept, after_hours=0)
    return removed


def typed_on(settings, *words, data_root=None):
    """What a command says on some platform."""
    places = {
        "TURBOMODE_DATA_ROOT": data_root or settings.data_root,
        "TURBOMODE_CONFIG_DIR": settings.config_dir,
        "TURBOMODE_TENANT": settings.tenant,
        "COLUMNS": "120",
    }
    with dg.instance_for_test():
        result = CliRunner(env=places).invoke(main, list(words))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def market(maintained, tmp_path):
    shutil.copytree(maintained.root, tmp_path / "market")
    return small_settings(tmp_path / "market")


def test_a_signal_is_explained_after_maintenance_as_before(maintained, market):
    assert typed_on(market, "explain", SYMBOL, str(AS_OF)) == maintained.explained


def test_files_were_merged_and_those_that_nobody_refers_to_were_removed(maintained):
    assert maintained.metadata["files_merged"].value > 0
    features = maintained.removed["features"]
    assert features.files > 0
    assert features.kept_versions > 0
    assert not any(each.lost_versions for each in maintained.removed.values())


def test_maintenance_says_what_space_each_store_took_before_and_after(maintained):
    figures = {name: each.value for name, each in maintained.metadata.items()}
    for store in ("master", "lake", "memory", "operations", "artifacts", "dagster"):
        assert figures[f"{store}_bytes_before"] >= 0
        assert figures[f"{store}_bytes_after"] >= 0
    assert figures["master_bytes_before"] > 0
    assert figures["versions_kept"] > 0
    assert "| lake |" in figures["space"]


def test_everything_is_back_in_an_empty_root_and_explains_its_signals(maintained, market, tmp_path):
    said = typed_on(market, "backup", str(tmp_path / "backup"))
    assert "lake/default/features" in said
    assert "written, opened and found whole" in said
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    shutil.rmtree(market.data_root)  # nothing can come from there any more
    moved = (tmp_path / "backup").rename(tmp_path / "my backup")  # no table is opened in there
    said = typed_on(market, "restore", str(moved), data_root=str(empty))
    assert f"restored: {empty}" in said
    restored = market.model_copy(update={"data_root": str(empty)})
    explained = typed_on(restored, "explain", SYMBOL, str(AS_OF))
    assert explained == maintained.explained.replace(market.data_root, str(empty))
    assert typed_on(restored, "signals")


def test_the_restored_model_is_reproduced_to_the_last_bit(market, tmp_path):
    typed_on(market, "backup", str(tmp_path / "backup"))
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    typed_on(market, "restore", str(tmp_path / "backup"), data_root=str(empty))
    listed = sorted(path.name for path in Path(empty).glob("artifacts/default/models/*"))
    restored = market.model_copy(update={"data_root": str(empty)})
    said = typed_on(restored, "models", "reproduce", listed[0])
    assert f"{listed[0]} was reproduced" in said


def refused(settings, *words, **environment):
    places = {
        "TURBOMODE_DATA_ROOT": settings.data_root,
        "TURBOMODE_CONFIG_DIR": settings.config_dir,
        "TURBOMODE_TENANT": settings.tenant,
        **environment,
    }
    result = CliRunner(env=places).invoke(main, list(words))
    assert result.exit_code == 1
    return result.output


def test_a_postgresql_store_is_refused_with_the_remedy_and_can_be_left_out(tmp_path):
    settings = small_settings(tmp_path / "market")
    run_assets(settings, ["symbol_metadata", "sector_mappings"], AS_OF_SPAN)
    url = "postgresql://user:hidden@host/database"
    target = str(tmp_path / "backup")
    told = refused(settings, "backup", target, TURBOMODE_OPERATIONS_URL=url)
    assert "run pg_dump on it, and then turbomode backup --without-operations" in told
    assert "hidden" not in told
    places = {
        "TURBOMODE_DATA_ROOT": settings.data_root,
        "TURBOMODE_CONFIG_DIR": settings.config_dir,
    }
    left_out = CliRunner(env=places | {"TURBOMODE_OPERATIONS_URL": url}).invoke(
        main, ["backup", target, "--without-operations"]
    )
    assert left_out.exit_code == 0, left_out.output
    assert not (tmp_path / "backup" / "operations").exists()


def test_a_root_that_is_in_use_takes_no_backup(tmp_path):
    settings = small_settings(tmp_path / "market")
    run_assets(settings, ["symbol_metadata", "sector_mappings"], AS_OF_SPAN)
    typed_on(settings, "backup", str(tmp_path / "backup"))
    told = refused(settings, "restore", str(tmp_path / "backup"))
    assert "the data root is not empty" in told
    assert "set TURBOMODE_DATA_ROOT" in told


def test_no_backup_is_begun_where_tables_cannot_be_kept(tmp_path):
    told = refused(small_settings(tmp_path), "backup", str(tmp_path / "my backup"))
    assert "its path holds ' ' (space)\n  where: TARGET" in told
    assert not list(tmp_path.glob("my backup*"))
