import multiprocessing
import time
from pathlib import Path

import duckdb
import polars as pl
import pytest

from turbomode_assets.contracts.errors import StoreError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.memory_schema import MEMORY_VERSION, MIGRATIONS, TABLES
from turbomode_assets.stores.model_registry import champion_at, record_model
from turbomode_assets.stores.promotions import gate_decision
from turbomode_assets.stores.signal_book import active_signals, record_drift, record_signals
from turbomode_assets_tests.stores.model_rows import (
    FRIDAY,
    MONDAY,
    NOW,
    SECTORS,
    THURSDAY,
    closes,
    performance,
    predictions,
    record_of,
)

ALL_TABLES = {
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
    "promotions",
    "rare_events",
    "error_replay",
}
VERSION_2 = Path(__file__).with_name("memory_version_2.sql")
"""What version 2 of the schema declared, and some rows of it."""


@pytest.fixture
def memory(tmp_path):
    return ModelMemory(tmp_path / "alpha" / "turbomode.duckdb", "alpha")


def test_memory_holds_exactly_its_tables(memory):
    names = memory.query("SELECT table_name FROM duckdb_tables()").get_column("table_name")
    assert set(names) == ALL_TABLES | {"memory_schema"}
    assert set(TABLES) == ALL_TABLES


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
    with pytest.raises(StoreError, match="schema version 99; this program knows 3"):
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


def test_the_same_signals_again_change_nothing(memory):
    for _ in range(2):
        record_signals(memory, predictions(FRIDAY), closes(FRIDAY), SECTORS)
    for table in ("active_signals", "signal_history", "price_data", "sector_stats"):
        assert memory.query(f"SELECT count(*) AS n FROM {table}").item() == 1, table


def test_a_symbol_without_a_signal_in_the_rerun_is_no_longer_active(memory):
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


def memory_of_version_2(path):
    path.parent.mkdir(parents=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(VERSION_2.read_text(encoding="utf-8"))
    return ModelMemory(path, "alpha")


def declared_columns(memory):
    return memory.query(
        "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns()"
        " WHERE NOT internal ORDER BY ALL"
    )


def test_a_file_of_version_2_is_migrated_and_keeps_its_rows(memory, tmp_path):
    older = memory_of_version_2(tmp_path / "older" / "turbomode.duckdb")
    for table in ("active_signals", "signal_history", "training_runs", "model_metadata"):
        assert older.query(f"SELECT count(*) FROM {table}").item() == 1, table
    signal = active_signals(older).row(0, named=True)
    assert (signal["symbol"], signal["gate_override"], signal["role"]) == ("AAA", "outage", None)
    run = older.query("SELECT rows, cause, configuration, environment FROM training_runs")
    assert run.rows() == [(1000, None, None, None)]
    for table in ("promotions", "rare_events", "error_replay"):
        assert older.query(f"SELECT count(*) FROM {table}").item() == 0, table
    assert older.query("SELECT version FROM memory_schema").item() == MEMORY_VERSION
    assert declared_columns(older).equals(declared_columns(memory))


def test_a_file_of_version_1_goes_through_both_migrations(memory, tmp_path):
    older = memory_of_version_2(tmp_path / "older" / "turbomode.duckdb")
    with duckdb.connect(str(older.path)) as connection:
        for table in ("active_signals", "signal_history", "model_metadata"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN gate_override")
        connection.execute("UPDATE memory_schema SET version = 1")
    signal = active_signals(older).row(0, named=True)
    assert (signal["symbol"], signal["gate_override"]) == ("AAA", None)
    assert declared_columns(older).equals(declared_columns(memory))


def test_a_migrated_file_takes_new_rows_like_a_new_one(tmp_path):
    older = memory_of_version_2(tmp_path / "older" / "turbomode.duckdb")
    promotion = gate_decision(
        "m2", FRIDAY, passed=True, reason="r", rules="[]", shadow_sessions=0, at=NOW
    )
    record_model(older, record_of("m2", FRIDAY), performance(), decision=promotion)
    record_signals(older, predictions(MONDAY, model="m2"), closes(MONDAY), SECTORS)
    assert active_signals(older).select("model_version", "role").rows() == [("m2", "champion")]
    assert champion_at(older, MONDAY).model_version == "m2"


def test_a_migration_that_is_cut_short_leaves_the_older_file(tmp_path, monkeypatch):
    older = memory_of_version_2(tmp_path / "older" / "turbomode.duckdb")
    broken = {**MIGRATIONS, 2: (*MIGRATIONS[2], "SELECT no_such_column")}
    monkeypatch.setattr("turbomode_assets.stores.memory.MIGRATIONS", broken)
    with pytest.raises(duckdb.Error, match="no_such_column"):
        older.query("SELECT 1")
    monkeypatch.undo()
    assert active_signals(older).height == 1


def test_an_override_is_kept_with_the_signals(memory):
    reason = "vendor outage of the week before last"
    signals = predictions(FRIDAY).with_columns(gate_override=pl.lit(reason))
    record_signals(memory, signals, closes(FRIDAY), SECTORS)
    assert active_signals(memory)["gate_override"].to_list() == [reason]


def test_active_signals_are_what_was_sent_last_for_the_newest_session(memory):
    record_signals(memory, predictions(MONDAY, "SELL", "m1"), closes(MONDAY), SECTORS)
    record_signals(memory, predictions(MONDAY, "BUY", "m2"), closes(MONDAY), SECTORS)
    record_signals(memory, predictions(FRIDAY, "HOLD", "m1"), closes(FRIDAY), SECTORS)
    newest = active_signals(memory)
    assert newest.select("session", "signal", "model_version").rows() == [(MONDAY, "BUY", "m2")]
    assert memory.query("SELECT count(*) AS n FROM signal_history").item() == 3


def test_after_a_rollback_the_older_model_is_active_again(memory):
    for model in ("m1", "m2", "m1"):
        record_signals(memory, predictions(MONDAY, model=model), closes(MONDAY), SECTORS)
    assert active_signals(memory)["model_version"].to_list() == ["m1"]


def test_what_the_challenger_said_is_kept_and_not_sent(memory):
    sent, shadow = predictions(FRIDAY, "BUY", "m1"), predictions(FRIDAY, "SELL", "m2")
    said = pl.concat(
        [
            sent.with_columns(role=pl.lit("champion")),
            shadow.with_columns(role=pl.lit("challenger")),
        ]
    )
    record_signals(memory, sent, closes(FRIDAY), SECTORS, said=said)
    history = memory.query("SELECT model_version, role FROM signal_history ORDER BY ALL")
    assert history.rows() == [("m1", "champion"), ("m2", "challenger")]
    assert active_signals(memory).select("model_version", "role").rows() == [("m1", "champion")]
    assert memory.query("SELECT buys, sells FROM sector_stats").rows() == [(1, 0)]


def test_a_challengers_signal_that_was_sent_is_active_under_its_own_name(memory):
    champion, challenger = predictions(FRIDAY, "BUY", "m1"), predictions(FRIDAY, "SELL", "m2")
    said = pl.concat(
        [
            champion.with_columns(role=pl.lit("champion")),
            challenger.with_columns(role=pl.lit("challenger")),
        ]
    )
    record_signals(memory, challenger, closes(FRIDAY), SECTORS, said=said)
    active = active_signals(memory).select("signal", "model_version", "role")
    assert active.rows() == [("SELL", "m2", "challenger")]
    assert memory.query("SELECT count(*) FROM signal_history").item() == 2
