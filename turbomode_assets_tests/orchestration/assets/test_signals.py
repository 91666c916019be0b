"""A night's signals as the graph makes them: who is left out, what is traded, and parity."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.ensemble import load_ensemble
from turbomode_assets.features import feature_families, feature_names
from turbomode_assets.modelling.feature_sets import present_feature_set
from turbomode_assets.modelling.training_inputs import (
    learned_versions,
    read_market,
    read_training_set,
)
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Artifacts, Lake, MasterReader, ModelMemory
from turbomode_assets.stores.artifacts import ENSEMBLE
from turbomode_assets.stores.model_registry import champion_or_none
from turbomode_assets_tests.builders import (
    QUICK_TRAINING,
    run_assets,
    small_settings,
    write_configs,
)
from turbomode_assets_tests.market import AS_OF, DERIVED, INGESTION, NIGHT
from turbomode_assets_tests.orchestration.assets.test_audit import audit, candles_at, put
from turbomode_assets_tests.orchestration.assets.test_gate import run, with_threshold
from turbomode_assets_tests.orchestration.assets.test_graph import failure_of
from turbomode_assets_tests.orchestration.assets.test_signals_in_shadow import metadata_of

LATER = offset_session(NIGHT, 20)
"""By then the labels of NIGHT's decisions are known, and may be learned from."""
ONE_NIGHT = SessionSpan(NIGHT, NIGHT)
P = ["p_sell", "p_hold", "p_buy"]


@pytest.fixture(scope="module")
def _weeks(_trained_market, tmp_path_factory):
    root = tmp_path_factory.mktemp("weeks") / "market"
    shutil.copytree(_trained_market, root)
    run_assets(small_settings(root), INGESTION + DERIVED, SessionSpan(NIGHT, LATER))
    run_assets(small_settings(root), ["signals"], ONE_NIGHT)
    return root


@pytest.fixture
def weeks(_weeks):
    """The trained market, NIGHT's signals, and the weeks after it: only to be read."""
    return small_settings(_weeks)


@pytest.fixture
def market(_weeks, tmp_path):
    """The same, yours to change."""
    shutil.copytree(_weeks, tmp_path / "market")
    return small_settings(tmp_path / "market")


def lake_of(settings):
    return Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))


def night_of(settings, table):
    return lake_of(settings).read(table, caller="test", span=ONE_NIGHT).rows


def memory_of(settings):
    return ModelMemory(settings.memory_path, settings.tenant_name)


def history_of(settings):
    return memory_of(settings).query("SELECT * FROM signal_history ORDER BY symbol")


def folder_of(settings):
    version = champion_or_none(memory_of(settings), NIGHT).model_version
    return Artifacts(settings.artifacts_root).model_folder(version) / ENSEMBLE


def reconfigure(settings, change):
    """Store the champion again with another configuration."""
    folder = folder_of(settings)
    model = load_ensemble(folder)
    shutil.rmtree(folder)
    configuration = {name: value for name, value in model.configuration.items()}
    configuration["signals"] = change(dict(configuration["signals"]))
    dataclasses.replace(model, configuration=configuration).save(folder)


def believing(settings):
    """The same market with rules for training that take a year's strongest feature for honest."""
    configs = write_configs(
        Path(settings.config_dir).with_name("configs-believing"),
        training=QUICK_TRAINING
        | {
            "validation_strategy.maximum_feature_auc": 0.9,
            "version": "99.0.0",
            "changelog": {"99.0.0": "Strong features are believed."},
        },
        **{"simulated.stocks": 6, "simulated.crypto": 1},
    )
    return SettingsResource(data_root=settings.data_root, config_dir=str(configs))


def left_out_of(result):
    return metadata_of(result)["left_out"].value


def test_signals_equal_what_the_training_path_says_of_the_same_day(weeks):
    lake, master = lake_of(weeks), MasterReader(weeks.master_root)
    rules = believing(weeks).training()
    read = read_market(lake, master, LATER, rules, weeks.data_quality().curation)
    versions = learned_versions(lake)
    training_set = read_training_set(
        lake,
        LATER,
        rules,
        versions,
        columns=present_feature_set(rules),
        families=feature_families(),
        sectors=read.sectors,
        tradeable=read.tradeable,
    )
    of_night = np.flatnonzero(training_set.decision == np.datetime64(NIGHT))
    model = load_ensemble(folder_of(weeks))
    said = model.predict_proba(training_set.matrix.select(of_night))
    stored = night_of(weeks, "predictions")
    symbols = training_set.rows["symbol"][of_night].to_list()
    assert symbols == stored["symbol"].to_list()
    assert np.abs(said - stored.select(P).to_numpy()).max() <= 1e-6
    chosen = np.array(["SELL", "HOLD", "BUY"])[said.argmax(axis=1)]
    reached = said.max(axis=1) >= 0.5
    expected = np.where(reached, chosen, "HOLD")
    assert stored["signal"].to_list() == expected.tolist()


def test_every_signal_says_what_is_traded_on_it_as_the_label_later_finds(weeks):
    history, rule = history_of(weeks), weeks.training().triple_barrier
    labels = lake_of(weeks).read("labels", caller="test").rows
    labels = labels.filter(pl.col("decision_session") == NIGHT).sort("symbol")
    bars = night_of(weeks, "bars")
    assert history["symbol"].to_list() == labels["symbol"].to_list()
    assert history["entry_session"].equals(labels["entry_session"], check_names=False)
    assert set(history["expiry_session"]) == {offset_session(NIGHT, 1 + rule.horizon_sessions)}
    traded = history.join(labels.select("symbol", "volatility"), on="symbol").join(
        bars.select("symbol", "close"), on="symbol"
    )
    for row in traded.iter_rows(named=True):
        assert row["entry_price_estimate"] == row["close"]
        assert row["confidence"] == row[f"p_{row['signal'].lower()}"]
        upper = row["close"] * (1 + rule.profit_take * row["volatility"])
        lower = row["close"] * (1 - rule.stop_loss * row["volatility"])
        ends = {"BUY": (upper, lower), "SELL": (lower, upper), "HOLD": (None, None)}
        expected = ends[row["signal"]]
        found = (row["profit_take_price"], row["stop_loss_price"])
        assert found == (expected if None in expected else pytest.approx(expected, rel=1e-12))
    positions = history.filter(pl.col("signal") != "HOLD").sort("rank")
    assert positions["rank"].to_list() == list(range(1, positions.height + 1))
    assert positions["confidence"].is_sorted(descending=True)
    assert (
        history.filter(signal="HOLD")["rank"].null_count() == history.filter(signal="HOLD").height
    )
    active = memory_of(weeks).query("SELECT * FROM active_signals ORDER BY symbol")
    assert active.equals(history)


def test_the_metadata_count_who_was_left_out_and_sectors_only_who_was_sent(market):
    lake, symbols = lake_of(market), night_of(market, "predictions")["symbol"].to_list()
    cheap, thin, amber = symbols[:3]
    bars = lake.read("bars", caller="test").rows
    is_night, is_cheap = pl.col("session") == NIGHT, pl.col("symbol") == "nobody"
    is_cheap = (pl.col("symbol") == cheap) & is_night
    bars = bars.with_columns(
        close=pl.when(is_cheap).then(0.99).otherwise("close"),
        low=pl.when(is_cheap).then(0.9).otherwise("low"),
        dollar_volume=pl.when(pl.col("symbol") == thin).then(10.0).otherwise("dollar_volume"),
    )
    span = SessionSpan(bars["session"].min(), bars["session"].max())
    lake.replace("bars", bars, span=span, caller="test")
    silent = candles_at(market, amber, NIGHT).with_columns(volume=pl.lit(0.0))
    put(market, amber, NIGHT, silent)
    audit(market, NIGHT)
    result = run_assets(market, ["signals"], ONE_NIGHT)
    told = left_out_of(result)
    for reason, symbol in (("low_close", cheap), ("illiquid", thin), ("not_green", amber)):
        assert f"| {reason} | 1 | {symbol} |" in told
    assert metadata_of(result)["left_out_rows"].value == 3
    sent = symbols[3:]
    assert night_of(market, "predictions")["symbol"].to_list() == sent
    assert history_of(market)["symbol"].to_list() == sent
    memory = memory_of(market)
    for table in ("active_signals", "price_data"):
        kept = memory.query(f"SELECT symbol FROM {table} ORDER BY symbol")
        assert kept["symbol"].to_list() == sent
    assert memory.query("SELECT sum(symbols) AS n FROM sector_stats").item() == len(sent)


def test_the_thresholds_are_those_that_the_champion_was_trained_with(market):
    reconfigure(market, lambda rules: rules | {"minimum_close_usd": 1e9})
    result = run_assets(market, ["signals"], ONE_NIGHT, raise_on_error=False)
    assert not result.success
    told = failure_of(result)
    assert f"no symbol is tradeable for model {AS_OF}-" in told
    before = night_of(market, "predictions")
    named = ", ".join(before["symbol"][:5])
    assert f"in {NIGHT}; left out: low_close {before.height} ({named}" in told


def test_an_override_of_the_gate_lets_doubtful_data_through_and_marks_them(market):
    symbol = night_of(market, "predictions")["symbol"][0]
    put(market, symbol, NIGHT, candles_at(market, symbol, NIGHT).with_columns(volume=pl.lit(0.0)))
    audit(market, NIGHT)
    strict, reason = with_threshold(market, 1.0), "nobody traded it"
    assert run(strict, ["signals"], NIGHT, override=reason).success
    stored = night_of(market, "predictions")
    assert symbol in stored["symbol"].to_list()
    assert set(stored["gate_override"]) == {reason}


def test_a_champion_from_before_these_rules_is_to_be_trained_again(market):
    without = ("minimum_close_usd", "minimum_dollar_volume_usd", "liquidity_window_sessions")
    reconfigure(market, lambda rules: {k: v for k, v in rules.items() if k not in without})
    result = run_assets(market, ["signals"], ONE_NIGHT, raise_on_error=False)
    told = failure_of(result)
    assert "the configuration stored with the model breaks this version's rules" in told
    assert "signals.minimum_close_usd" in told
    assert "train that session again" in told
    assert run_assets(believing(market), ["ensemble"], ONE_NIGHT).success
    assert memory_of(market).query("SELECT count(*) AS n FROM training_runs").item() == 2
