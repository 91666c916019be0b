import datetime as dt
import multiprocessing
import time

import duckdb
import polars as pl
import pytest

from turbomode_assets.contracts.errors import ConfigurationError, MissingDataError, StoreError
from turbomode_assets.contracts.tables import PREDICTIONS
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.memory_schema import TABLES
from turbomode_assets.stores.model_registry import (
    ModelRecord,
    audit_configuration,
    champion_at,
    champions_over,
    record_model,
)
from turbomode_assets.stores.signal_book import active_signals, record_drift, record_signals

ELEVEN_TABLES = {
    "active_signals",
    "signal_history",
    "trades",
    "feature_store",
    "price_data",
    "sector_stats",
    "drift_monitoring",
    "model_metadata",
    "training_runs",
    "config_audit_log",
    "model_performance",
}
THURSDAY, FRIDAY, MONDAY = dt.date(2017, 11, 9), dt.date(2017, 11, 10), dt.date(2017, 11, 13)
NOW = dt.datetime(2017, 11, 13, 23, tzinfo=dt.UTC)


@pytest.fixture
def memory(tmp_path):
    return ModelMemory(tmp_path / "alpha" / "turbomode.duckdb", "alpha")


def record_of(version, as_of, **changes):
    fields = {
        "model_version": version,
        "as_of_session": as_of,
        "feature_digest": "f1",
        "feature_names": ("kmid", "klen"),
        "config_version": "1.0.0",
        "config_digest": "c1",
        "vendor": "simulated",
        "metrics": {"ensemble": {"log_loss": 1.05}},
        "dagster_run_id": "run-1",
        "started_at": NOW,
        "finished_at": NOW,
        "rows": 1000,
        "symbols": 24,
        "seed": 7,
        "data_digest": "d1",
        "store_versions": {"features": 3, "labels": 4},
    }
    return ModelRecord(**(fields | changes))


def performance(value=1.05):
    return pl.DataFrame({"model": ["ensemble"], "metric": ["log_loss"], "value": [value]})


def predictions(session, signal="BUY", model="m1"):
    row = {
        "symbol": "AAA",
        "session": session,
        "signal": signal,
        "p_sell": 0.2,
        "p_hold": 0.3,
        "p_buy": 0.5,
        "model_version": model,
        "feature_digest": "f1",
        "config_digest": "c1",
        "store_versions": "{}",
        "vendor": "simulated",
    }
    return pl.DataFrame([row], schema=PREDICTIONS.schema)


def closes(session, close=10.0):
    return pl.DataFrame(
        {"session": [session], "symbol": ["AAA"], "close": [close], "vendor": ["simulated"]}
    )


SECTORS = pl.DataFrame(
    {"symbol": ["AAA"] * 2, "session": [FRIDAY, MONDAY], "sector": ["Energy"] * 2}
)


def test_memory_holds_exactly_its_eleven_tables(memory):
    names = memory.query("SELECT table_name FROM duckdb_tables()").get_column("table_name")
    assert set(names) == ELEVEN_TABLES | {"memory_schema"}
    assert set(TABLES) == ELEVEN_TABLES


def test_a_failed_transaction_leaves_nothing(memory):
    def fail_half_way():
        with memory.transaction() as connection:
            connection.execute("INSERT INTO config_audit_log VALUES (now(), 'f', '1', 'd', 'p')")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert memory.query("SELECT count(*) AS n FROM config_audit_log").item() == 0


def test_another_tenants_file_is_refused(memory):
    memory.query("SELECT 1")
    with pytest.raises(StoreError, match="belongs to tenant 'alpha', not 'beta'"):
        ModelMemory(memory.path, "beta").query("SELECT 1")


def test_a_newer_schema_is_refused_and_left_as_it_is(memory):
    with memory.transaction() as connection:
        connection.execute("UPDATE memory_schema SET version = 99")
    before = memory.path.read_bytes()
    with pytest.raises(StoreError, match="schema version 99; this program knows 2"):
        memory.query("SELECT 1")
    assert memory.path.read_bytes() == before


def test_a_damaged_file_is_a_clear_error(memory, monkeypatch):
    monkeypatch.setattr("turbomode_assets.stores.memory.LOCK_PATIENCE_SECONDS", 0.1)
    memory.path.parent.mkdir(parents=True)
    memory.path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="cannot be opened"):
        memory.query("SELECT 1")


@pytest.mark.parametrize(
    "statement",
    [
        "COPY trades TO '{folder}/out.csv'",
        "ATTACH '{folder}/beta.duckdb' AS beta",
        "SELECT * FROM read_csv('{folder}/beta.csv')",
        "SET enable_external_access = true",
    ],
)
def test_a_connection_handed_out_reaches_no_other_file(memory, tmp_path, statement):
    with duckdb.connect(str(tmp_path / "beta.duckdb")) as beta:
        beta.execute("CREATE TABLE secrets AS SELECT 1 AS one")
    (tmp_path / "beta.csv").write_text("one\n1\n")
    with (
        memory.transaction() as connection,
        pytest.raises(duckdb.Error, match=r"disabled by conf|configuration has been locked"),
    ):
        connection.execute(statement.format(folder=tmp_path))


def hold_open(path, opened, seconds):
    with duckdb.connect(path):
        opened.set()
        time.sleep(seconds)


def hold_in_another_process(memory, seconds):
    spawn = multiprocessing.get_context("spawn")
    opened = spawn.Event()
    holder = spawn.Process(target=hold_open, args=(str(memory.path), opened, seconds))
    holder.start()
    assert opened.wait(30)
    return holder


def test_a_file_held_for_a_moment_is_waited_for(memory):
    memory.query("SELECT 1")
    holder = hold_in_another_process(memory, seconds=0.5)
    assert memory.query("SELECT 42 AS answer").item() == 42
    holder.join()


def test_a_file_held_too_long_names_its_holder(memory, monkeypatch):
    monkeypatch.setattr("turbomode_assets.stores.memory.LOCK_PATIENCE_SECONDS", 0.3)
    memory.query("SELECT 1")
    holder = hold_in_another_process(memory, seconds=60)
    try:
        with pytest.raises(StoreError, match=f"PID {holder.pid}"):
            memory.query("SELECT 1")
    finally:
        holder.kill()
        holder.join()


def test_the_champion_of_a_session_was_trained_as_of_it_or_earlier(memory):
    record_model(memory, record_of("old", THURSDAY), performance())
    record_model(memory, record_of("new", MONDAY), performance())
    assert champion_at(memory, THURSDAY).model_version == "old"
    assert champion_at(memory, FRIDAY).model_version == "old"
    assert champion_at(memory, MONDAY).model_version == "new"
    reigns = champions_over(memory, SessionSpan(THURSDAY, MONDAY))
    assert [(c.model_version, str(s)) for c, s in reigns] == [
        ("old", "2017-11-09...2017-11-10"),
        ("new", "2017-11-13"),
    ]


def test_without_a_champion_the_error_says_how_to_train(memory):
    record_model(memory, record_of("new", MONDAY), performance())
    with pytest.raises(MissingDataError, match="--select ensemble --partition 2017-11-10"):
        champion_at(memory, FRIDAY)


def test_training_the_same_model_again_replaces_its_rows(memory):
    for value in (1.05, 1.01):
        record_model(memory, record_of("m1", FRIDAY), performance(value))
    assert memory.query("SELECT count(*) AS n FROM model_metadata").item() == 1
    assert memory.query("SELECT count(*) AS n FROM training_runs").item() == 1
    assert memory.query("SELECT value FROM model_performance").item() == 1.01
    assert memory.query("SELECT feature_names FROM feature_store").item() == '["kmid", "klen"]'


def test_new_rules_under_an_old_version_are_refused(memory):
    def load(version, digest):
        audit_configuration(
            memory, file="t.json", version=version, digest=digest, purpose="test", loaded_at=NOW
        )

    load("1.0.0", "aaa")
    load("1.0.0", "aaa")
    load("1.1.0", "bbb")
    with pytest.raises(ConfigurationError, match=r"version 1.0.0 was loaded on 2017-11-13"):
        load("1.0.0", "bbb")
    assert memory.query("SELECT count(*) AS n FROM config_audit_log").item() == 3


def test_the_same_signals_again_change_nothing(memory):
    record_model(memory, record_of("m1", THURSDAY), performance())
    for _ in range(2):
        record_signals(memory, predictions(FRIDAY), closes(FRIDAY), SECTORS)
    for table in ("active_signals", "signal_history", "price_data", "sector_stats"):
        assert memory.query(f"SELECT count(*) AS n FROM {table}").item() == 1, table


def test_active_signals_are_those_of_the_newest_session_and_champion(memory):
    record_model(memory, record_of("m1", THURSDAY), performance())
    record_model(memory, record_of("m2", FRIDAY), performance())
    record_signals(memory, predictions(MONDAY, "SELL", "m1"), closes(MONDAY), SECTORS)
    record_signals(memory, predictions(MONDAY, "BUY", "m2"), closes(MONDAY), SECTORS)
    record_signals(memory, predictions(FRIDAY, "HOLD", "m1"), closes(FRIDAY), SECTORS)
    newest = active_signals(memory)
    assert newest.select("session", "signal", "model_version").rows() == [(MONDAY, "BUY", "m2")]
    assert memory.query("SELECT count(*) AS n FROM signal_history").item() == 3


def test_a_symbol_without_a_signal_in_the_rerun_is_no_longer_active(memory):
    record_model(memory, record_of("m1", THURSDAY), performance())
    both = pl.concat([predictions(FRIDAY), predictions(FRIDAY).with_columns(symbol=pl.lit("BBB"))])
    record_signals(memory, both, closes(FRIDAY), SECTORS)
    record_signals(memory, predictions(FRIDAY), closes(FRIDAY), SECTORS)
    for table in ("active_signals", "signal_history"):
        assert memory.query(f"SELECT symbol FROM {table}").rows() == [("AAA",)], table


def test_drift_of_a_span_is_replaced_as_a_whole(memory):
    def drift(sessions, psi):
        return pl.DataFrame(
            {
                "session": sessions,
                "model_version": "m1",
                "feature": "kmid",
                "psi": psi,
                "expected_psi": 0.01,
                "rows": pl.Series([20] * len(sessions), dtype=pl.Int32),
                "verdict": "stable",
            }
        )

    record_drift(memory, drift([THURSDAY, FRIDAY], 0.05), SessionSpan(THURSDAY, FRIDAY))
    record_drift(memory, drift([FRIDAY], 0.07), SessionSpan(FRIDAY, FRIDAY))
    kept = memory.query("SELECT session, psi FROM drift_monitoring ORDER BY session")
    assert kept.rows() == [(THURSDAY, 0.05), (FRIDAY, 0.07)]


def test_a_file_of_the_first_schema_is_migrated_and_keeps_its_rows(memory):
    record_model(memory, record_of("m1", THURSDAY), performance())
    record_signals(memory, predictions(FRIDAY), closes(FRIDAY), SECTORS)
    with memory.transaction() as connection:
        for table in ("active_signals", "signal_history", "model_metadata"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN gate_override")
        connection.execute("UPDATE memory_schema SET version = 1")
    signal = active_signals(memory).row(0, named=True)
    assert (signal["symbol"], signal["signal"], signal["gate_override"]) == ("AAA", "BUY", None)
    assert champion_at(memory, FRIDAY).gate_override is None
    assert memory.query("SELECT version FROM memory_schema").item() == 2


def test_an_override_is_kept_with_the_model_and_its_signals(memory):
    reason = "vendor outage of the week before last"
    record_model(memory, record_of("m1", THURSDAY, gate_override=reason), performance())
    signals = predictions(FRIDAY).with_columns(gate_override=pl.lit(reason))
    record_signals(memory, signals, closes(FRIDAY), SECTORS)
    assert champion_at(memory, FRIDAY).gate_override == reason
    assert active_signals(memory)["gate_override"].to_list() == [reason]
