"""The GREEN gate before training and signals: refusals, and overrides with a reason."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Lake, ModelMemory
from turbomode_assets.stores.active_signals import active_signals
from turbomode_assets_tests.builders import QUICK_TRAINING, write_configs
from turbomode_assets_tests.market import AS_OF, DERIVED, INGESTION, NIGHT
from turbomode_assets_tests.orchestration.assets.test_audit import (
    GONE,
    HOLE,
    audit,
    candles_at,
    put,
)
from turbomode_assets_tests.orchestration.assets.test_graph import failure_of

REASON = "the exchange confirmed that nothing traded"


def with_threshold(settings, share):
    """The same market with other thresholds of the gate."""
    configs = write_configs(
        Path(settings.config_dir).with_name(f"configs-{share}"),
        training=QUICK_TRAINING,
        quality={"gate.training_green_share": share, "gate.signals_green_share": share},
        **{"simulated.stocks": 6, "simulated.crypto": 1},
    )
    return SettingsResource(
        data_root=settings.data_root, tenant=settings.tenant, config_dir=str(configs)
    )


def run(settings, assets, session, override=None):
    """Materialize assets for one session, with a reason to pass the gate."""
    ops = {} if override is None else {assets[-1]: {"config": {"gate_override": override}}}
    return (
        build(settings)
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": ops,
            },
            asset_selection=[dg.AssetKey(name) for name in assets],
            tags={
                "dagster/asset_partition_range_start": str(session),
                "dagster/asset_partition_range_end": str(session),
            },
            raise_on_error=False,
        )
    )


def memory_of(settings):
    return ModelMemory(settings.memory_path, settings.tenant_name)


def audit_log_of(settings):
    return memory_of(settings).query("SELECT * FROM config_audit_log ORDER BY loaded_at")


@pytest.fixture
def holed(market):
    """The market without one candle, audited."""
    put(market, GONE, HOLE, candles_at(market, GONE, HOLE).clear())
    audit(market, AS_OF)
    return market


def test_one_missing_cell_stops_training_under_all_and_not_under_99_percent(holed):
    strict, lenient = with_threshold(holed, 1.0), with_threshold(holed, 0.99)
    models = memory_of(holed).query("SELECT count(*) AS n FROM training_runs").item()
    refused = run(strict, ["ensemble"], AS_OF)
    told = failure_of(refused)
    assert not refused.success
    assert f"turbomode backfill --from {HOLE} --to {HOLE} --symbols {GONE}" in told
    assert "missing" in told
    assert "100 % are needed" in told
    assert memory_of(holed).query("SELECT count(*) AS n FROM training_runs").item() == models
    passed = run(lenient, ["ensemble"], AS_OF)
    assert passed.success
    assert memory_of(holed).query("SELECT count(*) AS n FROM training_runs").item() == models + 1


def test_signals_stand_behind_the_gate_too(holed):
    strict = with_threshold(holed, 1.0)
    assert run(strict, [*INGESTION, *DERIVED], NIGHT).success
    refused = run(strict, ["signals"], NIGHT)
    assert not refused.success
    assert f"turbomode backfill --from {HOLE} --to {HOLE}" in failure_of(refused)


def test_an_override_needs_a_reason(holed):
    refused = run(with_threshold(holed, 1.0), ["ensemble"], AS_OF, override="  ")
    assert "an override without a reason" in failure_of(refused)


def test_an_override_is_logged_and_shown_on_everything_it_touched(holed):
    strict = with_threshold(holed, 1.0)
    trained = run(strict, ["ensemble"], AS_OF, override=REASON)
    assert trained.success
    (materialization,) = trained.asset_materializations_for_node("ensemble")
    assert materialization.metadata["gate_override"].value == REASON
    logged = audit_log_of(holed).filter(pl.col("file") == "data_quality_config.json")
    assert REASON in logged["purpose"].item()
    model = memory_of(holed).query("SELECT gate_override FROM model_metadata")
    assert REASON in model["gate_override"].to_list()
    assert run(strict, [*INGESTION, *DERIVED], NIGHT).success
    assert run(strict, ["signals"], NIGHT, override="known since yesterday").success
    both = f"{REASON}; known since yesterday"
    tables = lake_tables(feature_names())
    lake = Lake(holed.lake_root, holed.tenant_name, tables)
    night = SessionSpan(NIGHT, NIGHT)
    stored = lake.read("predictions", caller="test", span=night).rows
    assert set(stored["gate_override"]) == {both}
    assert set(active_signals(memory_of(holed))["gate_override"]) == {both}


def test_an_override_that_was_not_needed_leaves_no_mark(market):
    trained = run(with_threshold(market, 0.5), ["ensemble"], AS_OF, override=REASON)
    assert trained.success
    (materialization,) = trained.asset_materializations_for_node("ensemble")
    assert "gate_override" not in materialization.metadata
    assert memory_of(market).query("SELECT gate_override FROM model_metadata")[
        "gate_override"
    ].to_list() == [None]
