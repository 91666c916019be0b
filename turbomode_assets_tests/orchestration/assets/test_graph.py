"""The assets as people run them: ranges, nights, reruns, refusals."""

import json
import shutil

import polars as pl
import pytest

from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Lake, MasterReader, ModelMemory
from turbomode_assets_tests.builders import run_assets, small_settings
from turbomode_assets_tests.market import AS_OF, DERIVED, HISTORY, INGESTION, NIGHT

PROBABILITIES = ("symbol", "p_sell", "p_hold", "p_buy")

NIGHTLY = [*INGESTION, *DERIVED, "drift_metrics", "signals", "outcomes"]
TABLES = (
    "bars",
    "repairs",
    "features",
    "feature_health",
    "labels",
    "label_rules",
    "predictions",
)


def lake_of(settings):
    return Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))


def memory_of(settings):
    return ModelMemory(settings.memory_path, settings.tenant_name)


def rows_of(settings, table):
    return lake_of(settings).read(table, caller="test").rows


def one(session):
    return SessionSpan(session, session)


def failure_of(result):
    events = [event for event in result.all_events if event.is_step_failure]
    return "\n".join(event.step_failure_data.error.to_string() for event in events)


def test_a_night_flows_from_candles_to_explained_signals(market):
    run_assets(market, NIGHTLY, one(NIGHT))
    signals = rows_of(market, "predictions")
    assert signals.get_column("session").unique().to_list() == [NIGHT]
    assert set(signals.get_column("signal")) <= {"SELL", "HOLD", "BUY"}
    assert signals.get_column("vendor").unique().to_list() == ["simulated"]
    assert signals.get_column("model_version").str.starts_with("2015-12-01-").all()
    read = json.loads(signals.get_column("store_versions")[0])
    assert set(read) == {
        "bars",
        "features",
        "feature_health",
        "symbol_metadata",
        "sector_mappings",
        "partition_status",
        "splits",
        "dividends",
    }
    memory = memory_of(market)
    for table in ("active_signals", "signal_history", "price_data"):
        assert memory.query(f"SELECT count(*) AS n FROM {table}").item() == signals.height
    drift = memory.query("SELECT * FROM drift_monitoring WHERE subject = 'feature'")
    assert set(drift.get_column("feature")) == set(feature_names())


def test_training_leaves_one_row_for_its_run_and_one_for_its_model(market):
    memory = memory_of(market)
    run = memory.query("SELECT * FROM training_runs").row(0, named=True)
    model = memory.query("SELECT * FROM model_metadata").row(0, named=True)
    assert run["model_version"] == model["model_version"]
    assert run["as_of_session"] == AS_OF
    pinned = {"features", "feature_health", "labels", "label_rules", "bars"}
    assert set(json.loads(run["store_versions"])) == pinned | {
        "splits",
        "dividends",
        "sector_mappings",
        "symbol_metadata",
    }
    assert TrainingConfig.model_validate_json(run["configuration"]) == market.training()
    assert model["vendor"] == "simulated"
    scored = memory.query("SELECT DISTINCT model FROM model_performance")
    assert scored.height == 9
    audited = memory.query("SELECT version, digest FROM config_audit_log")
    assert audited.rows() == [(market.training().version, model["config_digest"])]


def test_a_range_and_the_same_sessions_one_by_one_give_identical_rows(market, tmp_path):
    sessions = SessionSpan(NIGHT, offset_session(NIGHT, 1))
    ranged = market
    shutil.copytree(tmp_path / "market", tmp_path / "nights")
    nights = small_settings(tmp_path / "nights")
    for session in sessions.sessions:
        run_assets(nights, INGESTION + DERIVED, one(session))
    run_assets(ranged, INGESTION + DERIVED, sessions)
    for table in TABLES[:-1]:
        assert rows_of(ranged, table).equals(rows_of(nights, table)), table


def test_materializing_a_session_again_changes_no_row(market):
    run_assets(market, NIGHTLY, one(NIGHT))
    before = {table: rows_of(market, table) for table in TABLES}
    candles = MasterReader(market.master_root).version("candles")
    history = memory_of(market).query("SELECT * FROM signal_history ORDER BY ALL")
    run_assets(market, NIGHTLY, one(NIGHT))
    for table, rows in before.items():
        if table == "predictions":
            # They name the versions that they were read from, which the second run has moved.
            rows = rows.drop("store_versions")
            assert rows_of(market, table).drop("store_versions").equals(rows)
        else:
            assert rows_of(market, table).equals(rows), table
    assert MasterReader(market.master_root).version("candles") == candles
    again = memory_of(market).query("SELECT * FROM signal_history ORDER BY ALL")
    assert again.drop("store_versions").equals(history.drop("store_versions"))


def test_training_again_gives_the_same_model(market):
    before = memory_of(market).query("SELECT model_version FROM model_metadata")
    run_assets(market, ["ensemble"], one(AS_OF))
    after = memory_of(market).query("SELECT model_version FROM model_metadata")
    assert after.equals(before)
    runs = memory_of(market).query("SELECT count(DISTINCT dagster_run_id) FROM training_runs")
    assert runs.item() == 2


def test_labels_lie_under_the_session_on_which_they_became_known(market):
    labels = rows_of(market, "labels")
    assert labels.height > 500
    assert (labels.get_column("session") >= labels.get_column("exit_session")).all()
    assert (labels.get_column("exit_session") >= labels.get_column("entry_session")).all()
    assert (labels.get_column("entry_session") > labels.get_column("decision_session")).all()


def test_signals_without_an_ensemble_say_how_to_train_and_train_nothing(tmp_path):
    settings = small_settings(tmp_path)
    span = SessionSpan(offset_session(HISTORY.first, 1), offset_session(HISTORY.first, 3))
    run_assets(settings, INGESTION + DERIVED, span)
    result = run_assets(settings, ["signals"], one(span.last), raise_on_error=False)
    assert not result.success
    assert f"--select ensemble --partition {span.last}" in failure_of(result)
    assert memory_of(settings).query("SELECT count(*) FROM training_runs").item() == 0


@pytest.mark.parametrize(
    ("asset", "needed"),
    [
        ("raw_candles", "symbol_metadata"),
        ("bars", "raw_candles"),
        ("features", "bars"),
        ("labels", "bars"),
        ("ensemble", "audit"),
        ("signals", "bars"),
        ("drift_metrics", "features"),
    ],
)
def test_on_empty_stores_every_asset_says_what_to_materialize_first(tmp_path, asset, needed):
    settings = small_settings(tmp_path)
    result = run_assets(settings, [asset], one(NIGHT), raise_on_error=False)
    assert not result.success
    assert needed in failure_of(result)
    assert "materialize" in failure_of(result)


def test_a_hole_in_the_history_is_refused_and_named(market):
    later = offset_session(NIGHT, 2)
    run_assets(market, [*INGESTION, "bars"], one(later))
    result = run_assets(market, ["features"], one(later), raise_on_error=False)
    assert not result.success
    hole = SessionSpan(NIGHT, offset_session(NIGHT, 1))
    assert f"--select bars --partition-range {hole}" in failure_of(result)


def test_a_hole_at_the_very_start_of_the_window_is_refused_too(tmp_path):
    settings = small_settings(tmp_path)
    early = SessionSpan(HISTORY.first, offset_session(HISTORY.first, 5))
    late_first = offset_session(HISTORY.first, 300)
    late = SessionSpan(late_first, offset_session(late_first, 5))
    for span in (early, late):
        run_assets(settings, [*INGESTION, "bars"], span)
    result = run_assets(settings, ["features"], one(late.last), raise_on_error=False)
    assert not result.success
    assert f"...{offset_session(late.first, -1)}" in failure_of(result)


def test_sessions_without_candles_are_not_marked_as_curated(market):
    before = rows_of(market, "bars")
    span = SessionSpan(AS_OF, NIGHT)
    result = run_assets(market, ["bars"], span, raise_on_error=False)
    assert f"--select raw_candles --partition-range {NIGHT}...{NIGHT}" in failure_of(result)
    assert rows_of(market, "bars").equals(before)


def test_labels_of_another_rule_are_not_trained_on(market):
    path = market.configs / "turbomode_training_config.json"
    content = json.loads(path.read_text())
    content["triple_barrier"]["horizon_sessions"] = 10
    content["version"] = "9.0.0"
    content["changelog"]["9.0.0"] = "A shorter horizon."
    path.write_text(json.dumps(content))
    result = run_assets(market, ["ensemble"], one(AS_OF), raise_on_error=False)
    assert "were made by another rule" in failure_of(result)
    assert "--select labels --partition-range" in failure_of(result)


def test_another_benchmark_changes_what_reads_it_and_not_what_the_champion_says(market, tmp_path):
    shutil.copytree(market.root.parent, tmp_path / "control")
    control = small_settings(tmp_path / "control")
    run_assets(control, [*INGESTION, *DERIVED, "signals"], one(NIGHT))
    path = market.configs / "turbomode_training_config.json"
    content = json.loads(path.read_text())
    content["feature_engineering"]["benchmark"] = "SIM001"
    content["version"] = "9.0.0"
    content["changelog"]["9.0.0"] = "A benchmark."
    path.write_text(json.dumps(content))
    run_assets(market, [*INGESTION, *DERIVED, "signals"], one(NIGHT))
    said, expected = (
        lake_of(each).read("predictions", caller="test", span=one(NIGHT)).rows
        for each in (market, control)
    )
    assert said.select(PROBABILITIES).equals(expected.select(PROBABILITIES))
    features = lake_of(market).read("features", caller="test", span=one(NIGHT)).rows
    earlier = {name.split("__")[0] for name in features.columns if "__" in name}
    assert earlier == {"beta_60", "rank_return_20", "sector_return_20"}


def test_features_that_nothing_vouches_for_are_refused(market):
    run_assets(market, INGESTION + DERIVED, one(NIGHT))
    lake = lake_of(market)
    health = lake.read("feature_health", caller="test", span=one(NIGHT)).rows
    lake.replace("feature_health", health.clear(), span=one(NIGHT), caller="test")
    result = run_assets(market, ["signals"], one(NIGHT), raise_on_error=False)
    assert "do not hold 179 columns" in failure_of(result)


def test_too_few_labels_are_refused(tmp_path):
    settings = small_settings(tmp_path)
    span = SessionSpan(HISTORY.first, offset_session(HISTORY.first, 40))
    run_assets(settings, INGESTION + DERIVED, span)
    result = run_assets(settings, ["ensemble"], one(span.last), raise_on_error=False)
    assert not result.success
    assert "labels" in failure_of(result)
    assert not settings.artifacts_root.joinpath("models").exists()


def hold_another_formula(settings, session, column):
    """Let a stored column hold another formula than the program's in a session."""
    lake = lake_of(settings)
    health = lake.read("feature_health", caller="test", span=one(session)).rows
    digest = pl.when(feature=column).then(pl.lit("older")).otherwise("column_digest")
    other = health.with_columns(column_digest=digest)
    lake.replace("feature_health", other, span=one(session), caller="test")


def test_signals_refuse_columns_that_hold_other_formulas_than_the_champions(market):
    run_assets(market, INGESTION + DERIVED, one(NIGHT))
    hold_another_formula(market, NIGHT, "ma20")
    result = run_assets(market, ["signals"], one(NIGHT), raise_on_error=False)
    assert not result.success
    failure = failure_of(result)
    assert "do not hold 1 columns that model" in failure
    assert "(ma20)" in failure
    assert f"--select features --partition-range {NIGHT}...{NIGHT}" in failure


def test_signals_refuse_bars_without_features(market):
    run_assets(market, INGESTION + DERIVED, one(NIGHT))
    lake = lake_of(market)
    features = lake.read("features", caller="test", span=one(NIGHT)).rows
    lake.replace("features", features[1:], span=one(NIGHT), caller="test")
    result = run_assets(market, ["signals"], one(NIGHT), raise_on_error=False)
    assert f"bars without features: symbol={features['symbol'][0]}" in failure_of(result)


def test_training_refuses_columns_of_an_earlier_formula(market):
    hold_another_formula(market, AS_OF, "rsi_14")
    result = run_assets(market, ["ensemble"], one(AS_OF), raise_on_error=False)
    assert f"--select features --partition-range {AS_OF}...{AS_OF}" in failure_of(result)


def test_unhealthy_features_are_named_and_stop_nothing(market):
    result = run_assets(market, [*INGESTION, *DERIVED], one(NIGHT))
    assert result.success
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    check = checks["features_are_healthy"]
    assert not check.passed
    assert "beta_60" in check.metadata["mostly_missing"].value


def test_a_night_tells_which_columns_each_feature_is_made_from(market):
    result = run_assets(market, ["raw_candles", "bars", "features"], one(NIGHT))
    (event,) = [
        e for e in result.all_events if e.is_step_materialization and "features" in e.asset_key.path
    ]
    lineage = event.step_materialization_data.materialization.metadata["dagster/column_lineage"]
    sources = {dep.column_name for dep in lineage.value.deps_by_column["rsv20"]}
    assert sources == {"high", "low", "close"}


def test_a_refusal_is_a_failure_without_retries(tmp_path):
    settings = small_settings(tmp_path)
    result = run_assets(settings, ["bars"], one(NIGHT), raise_on_error=False)
    assert not result.success
    assert [event.event_type_value for event in result.all_events].count("STEP_FAILURE") == 1


def test_one_symbol_added_later_leaves_the_others_as_they_were(market):
    reader = MasterReader(market.master_root)
    before = reader.read("candles", caller="test").rows
    path = market.configs / "vendors.json"
    content = json.loads(path.read_text())
    content["simulated"]["stocks"] = 7
    path.write_text(json.dumps(content))
    run_assets(market, INGESTION, one(AS_OF))
    after = reader.read("candles", caller="test").rows
    added = set(after.get_column("symbol")) - set(before.get_column("symbol"))
    assert "SIM007" in added
    kept = after.filter(~pl.col("symbol").is_in(list(added)))
    keys = ["symbol", "ts"]
    assert kept.select(keys).equals(before.select(keys))


def test_every_table_records_the_versions_it_was_made_from(market):
    result = run_assets(market, NIGHTLY, one(NIGHT))
    materialized = {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata
        for event in result.all_events
        if event.is_step_materialization
    }
    assert set(materialized) == set(NIGHTLY)
    assert set(materialized["features"]["reads"].value) == {
        "bars",
        "splits",
        "dividends",
        "sector_mappings",
    }
    assert materialized["features"]["device"].value == "cpu"
    assert materialized["bars"]["vendor"].value == "simulated"
    assert materialized["raw_candles"]["picture"].value.startswith("![raw_candles](data:image/png")
