"""The program's features change while a champion is in force: nobody's signals do."""

import json
import re
import shutil

import pytest
from click.testing import CliRunner

from turbomode_assets.cli.explain import explain
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.features import feature_names, present_set, registry
from turbomode_assets.features.vocabulary.operations import OPERATIONS
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Lake, ModelMemory
from turbomode_assets_tests.builders import run_assets, small_settings
from turbomode_assets_tests.features.changed_program import change_features
from turbomode_assets_tests.market import AS_OF, DERIVED, HISTORY, INGESTION, NIGHT

SAID = ("symbol", "signal", "p_sell", "p_hold", "p_buy")
WEEK = SessionSpan(offset_session(AS_OF, -4), AS_OF)


def one(session):
    return SessionSpan(session, session)


def lake_of(settings):
    return Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))


def rows_of(settings, table, span):
    return lake_of(settings).read(table, caller="test", span=span).rows


def copy_of(settings, folder):
    shutil.copytree(settings.root.parent, folder)
    return small_settings(folder)


def failure_of(result):
    return " ".join(
        str(event.event_specific_data.error) for event in result.all_events if event.is_step_failure
    )


@pytest.fixture
def control(market, tmp_path):
    """The same market, a night later, by the program as it is."""
    settings = copy_of(market, tmp_path / "control")
    run_assets(settings, [*INGESTION, *DERIVED, "signals"], one(NIGHT))
    return settings


@pytest.fixture
def changed_program(control, monkeypatch):
    """A program with two more features, one that was mended, and one less."""
    change_features(monkeypatch)


@pytest.mark.usefixtures("changed_program")
def test_the_champion_says_what_it_would_have_said(market, control):
    run_assets(market, [*INGESTION, *DERIVED, "signals"], one(NIGHT))
    said, expected = (rows_of(each, "predictions", one(NIGHT)) for each in (market, control))
    assert said.select(SAID).equals(expected.select(SAID))
    features = rows_of(market, "features", one(NIGHT))
    before = rows_of(control, "features", one(NIGHT))
    earlier = sorted(name for name in features.columns if "__" in name)
    assert [name.split("__")[0] for name in earlier] == ["klow2", "ma20"]
    for name in earlier:
        assert features[name].equals(before[name.split("__")[0]].alias(name), null_equal=True)
    assert features["klow2"].null_count() == features.height
    assert features["efficiency_20"].is_between(0, 1).all()


@pytest.mark.usefixtures("changed_program")
def test_a_range_is_filled_by_one_command_and_every_other_column_stays(market, control):
    run_assets(market, [*INGESTION, *DERIVED], one(NIGHT))
    before = rows_of(control, "features", HISTORY)
    run_assets(market, ["features"], HISTORY)
    after = rows_of(market, "features", HISTORY)
    others = ("klow2", "ma20", "efficiency_20", "rank_high_20")
    same = [name for name in before.columns if name not in others]
    assert len(same) == 2 + 179 - 2
    assert after.select(same).equals(before.select(same), null_equal=True)
    stored = {name.split("__")[0]: name for name in after.columns if "__" in name}
    for name in ("klow2", "ma20"):
        assert after[stored[name]].alias(name).equals(before[name], null_equal=True)
    run_assets(market, ["signals"], one(NIGHT))
    said, expected = (rows_of(each, "predictions", one(NIGHT)) for each in (market, control))
    assert said.select(SAID).equals(expected.select(SAID))


@pytest.mark.usefixtures("changed_program")
def test_training_waits_for_the_range_and_then_learns_from_the_new_columns(market, monkeypatch):
    refused = run_assets(market, ["ensemble"], one(AS_OF), raise_on_error=False)
    assert "columns that training reads" in failure_of(refused)
    assert re.search(
        rf"--select features --partition-range 201\S+\.\.\.{AS_OF}", failure_of(refused)
    )
    run_assets(market, ["features"], HISTORY)
    run_assets(market, ["ensemble"], one(AS_OF))
    memory = ModelMemory(market.memory_path, market.tenant_name)
    newest = memory.query("SELECT * FROM model_metadata ORDER BY trained_at").row(-1, named=True)
    assert newest["feature_digest"] == present_set().digest
    columns = json.loads(
        memory.query(
            "SELECT columns FROM feature_store WHERE feature_digest = ?", [present_set().digest]
        ).item()
    )
    assert {"efficiency_20", "rank_high_20", "ma20"} <= set(columns)
    assert "klow2" not in columns
    assert columns["efficiency_20"]["whole_since"] == str(HISTORY.first)


@pytest.mark.usefixtures("changed_program")
def test_each_column_is_whole_from_the_session_on_which_it_was_first_filled(market):
    run_assets(market, [*INGESTION, *DERIVED], one(NIGHT))
    memory = ModelMemory(market.memory_path, market.tenant_name)
    columns = json.loads(
        memory.query(
            "SELECT columns FROM feature_store WHERE feature_digest = ?", [present_set().digest]
        ).item()
    )
    since = {name: column["whole_since"] for name, column in columns.items()}
    assert since["ma5"] == str(HISTORY.first)
    assert since["efficiency_20"] == since["ma20"] == str(NIGHT)


def test_signals_of_before_and_after_a_change_are_explained(
    market, control, monkeypatch, changed_program
):
    run_assets(market, [*INGESTION, *DERIVED, "signals"], one(NIGHT))
    run_assets(market, ["features"], WEEK)
    for settings in (control, market):
        for name, value in (
            ("DATA_ROOT", settings.data_root),
            ("TENANT", settings.tenant),
            ("CONFIG_DIR", settings.config_dir),
        ):
            monkeypatch.setenv(f"TURBOMODE_{name}", value)
        result = CliRunner().invoke(
            explain, ["SIM001", str(NIGHT), "--again"], catch_exceptions=False
        )
        told = " ".join(result.output.split())
        assert "probabilities equal the stored ones" in told
        assert "reads 2 columns by formulas that this program no longer has: klow2, ma20" in told


@pytest.mark.usefixtures("changed_program")
def test_a_champion_whose_operation_is_gone_is_named_with_the_remedy(market, monkeypatch):
    monkeypatch.delitem(OPERATIONS, "trailing_rank")
    for name in [name for name in registry._DECLARED if name.startswith("rank")]:
        monkeypatch.delitem(registry._DECLARED, name)
    run_assets(market, [*INGESTION, *DERIVED], one(NIGHT))
    result = run_assets(market, ["signals"], one(NIGHT), raise_on_error=False)
    assert "operation trailing_rank is gone" in failure_of(result)
    assert f"--select ensemble --partition {NIGHT}" in failure_of(result)


def test_values_that_change_under_an_unchanged_formula_are_refused(market, monkeypatch):
    run_assets(market, ["features"], WEEK)
    declared = dict(registry._DECLARED)
    del declared["klow2"]
    monkeypatch.setattr(registry, "_DECLARED", declared)
    mean = OPERATIONS["trailing_mean"]
    shifted = type(mean)("trailing_mean", mean.version, lambda *a: mean.compute(*a) * 1.001)
    monkeypatch.setitem(OPERATIONS, "trailing_mean", shifted)
    before = rows_of(market, "features", WEEK)
    result = run_assets(market, ["features"], one(AS_OF), raise_on_error=False)
    assert "comes out different" in failure_of(result)
    assert "raise the version of the operation" in failure_of(result)
    assert rows_of(market, "features", WEEK).equals(before, null_equal=True)
