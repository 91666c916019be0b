import multiprocessing
import time
from pathlib import Path

import duckdb
import polars as pl
import pytest

from turbomode_assets.config.loader import digest_of
from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.contracts.errors import StoreError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.signals.outcomes import OUTCOME_SCHEMA
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.active_signals import active_signals
from turbomode_assets.stores.memory_schema import MEMORY_VERSION, MIGRATIONS, TABLES
from turbomode_assets.stores.model_registry import champion_or_none, record_model
from turbomode_assets.stores.promotions import gate_decision
from turbomode_assets.stores.signal_book import (
    label_rules,
    outcomes_of,
    record_drift,
    record_outcomes,
    record_signals,
    signals_said,
    unsettled_signals,
)
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
    "signal_outcomes",
    "trades",
    "backtest_equity",
    "backtest_figures",
    "feature_store",
    "price_data",
    "sector_stats",
    "drift_monitoring",
    "drift_verdicts",
    "model_metadata",
    "training_runs",
    "config_audit_log",
    "model_performance",
    "promotions",
    "rare_events",
    "error_replay",
    "alerts",
}
OLDER = {
    version: Path(__file__).with_name(f"memory_version_{version}.sql") for version in (2, 3, 4, 5)
}
"""What these versions of the schema declared, and some rows of each."""


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
    with pytest.raises(StoreError, match=f"schema version 99; this program knows {MEMORY_VERSION}"):
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


DRIFT = {
    "session": THURSDAY,
    "model_version": "m1",
    "feature": "kmid",
    "psi": 0.05,
    "expected_psi": 0.01,
    "kl": 0.02,
    "ks": 0.1,
    "psi_maximum": 0.04,
    "kl_maximum": None,
    "ks_maximum": 0.2,
    "exceeds": False,
    "subject": "feature",
    **dict.fromkeys(("mean", "mean_least", "mean_most", "step", "step_limit", "moved")),
    "verdict": "warn",
    "rows": 20,
}
VERDICT = {
    "session": THURSDAY,
    "model_version": "m1",
    "features": 1,
    "exceeding": 0,
    "share": 0.0,
    "verdict": "stable",
    "retrain": False,
    "predictions_verdict": "alert",
    "outcomes_verdict": None,
}


def test_drift_and_verdicts_of_a_span_are_replaced_as_a_whole(memory):
    def record(sessions, psi, retrain):
        drift = [DRIFT | {"session": session, "psi": psi} for session in sessions]
        verdicts = [VERDICT | {"session": session, "retrain": retrain} for session in sessions]
        span = SessionSpan(sessions[0], sessions[-1])
        schema = {"kl_maximum": pl.Float64}
        rows = pl.DataFrame(drift, schema_overrides=schema)
        record_drift(memory, rows, span, verdicts=pl.DataFrame(verdicts, schema_overrides=schema))

    record([THURSDAY, FRIDAY], 0.05, retrain=False)
    record([FRIDAY], 0.07, retrain=True)
    kept = memory.query("FROM drift_monitoring ORDER BY session").rows(named=True)
    assert kept == [DRIFT, DRIFT | {"session": FRIDAY, "psi": 0.07}]
    kept = memory.query("FROM drift_verdicts ORDER BY session").rows(named=True)
    assert kept == [VERDICT, VERDICT | {"session": FRIDAY, "retrain": True}]


def test_drift_without_a_verdict_takes_the_old_one_away_and_a_bad_verdict_leaves_both(memory):
    span, drift = SessionSpan(THURSDAY, THURSDAY), pl.DataFrame([DRIFT])
    record_drift(memory, drift, span, verdicts=pl.DataFrame([VERDICT]))
    bad = pl.DataFrame([VERDICT | {"verdict": "fine"}])
    with pytest.raises(duckdb.ConstraintException, match="verdict"):
        record_drift(memory, drift.with_columns(psi=0.9), span, verdicts=bad)
    assert memory.query("SELECT psi FROM drift_monitoring").item() == 0.05
    assert memory.query("SELECT count(*) FROM drift_verdicts").item() == 1
    record_drift(memory, drift, span)
    assert memory.query("SELECT count(*) FROM drift_verdicts").item() == 0


RULE = {
    "profit_take": 2.0,
    "stop_loss": 2.0,
    "horizon_sessions": 14,
    "volatility_window_sessions": 20,
    "entry": "next_open",
}


def outcome(session=FRIDAY, known=MONDAY, model="m1", signal="BUY", **changes):
    row = {
        "session": session,
        "symbol": "AAA",
        "model_version": model,
        "role": "champion",
        "signal": signal,
        "label": 2,
        "exit_reason": "profit_take",
        "entry_session": MONDAY,
        "exit_session": MONDAY,
        "entry_price": 100.0,
        "exit_price": 110.0,
        "return": 0.1,
        "outcome": "win",
        "known_session": known,
    }
    return pl.DataFrame([row | changes], schema=OUTCOME_SCHEMA)


def judged(*pairs):
    schema = {"known_session": pl.Date, "model_version": pl.String}
    return pl.DataFrame(list(pairs), schema=schema, orient="row")


def outcome_keys(memory):
    columns = ["session", "model_version", "known_session"]
    rows = memory.query("FROM signal_outcomes ORDER BY session, model_version")
    return rows.select(columns).rows()


def test_outcomes_again_change_nothing_and_what_is_no_longer_known_goes(memory):
    for session in (THURSDAY, FRIDAY):
        record_signals(memory, predictions(session), closes(session), SECTORS)
    both = pl.concat([outcome(THURSDAY), outcome(FRIDAY)])
    for _ in range(2):
        record_outcomes(memory, both, judged((MONDAY, "m1")))
    stored = memory.query("FROM signal_outcomes ORDER BY session")
    assert stored.cast(dict(OUTCOME_SCHEMA)).equals(both)
    record_outcomes(memory, outcome(FRIDAY), judged((MONDAY, "m1")))
    assert outcome_keys(memory) == [(FRIDAY, "m1", MONDAY)]


def test_an_outcome_that_became_known_in_another_session_moves_there(memory):
    record_signals(memory, predictions(THURSDAY), closes(THURSDAY), SECTORS)
    record_outcomes(memory, outcome(THURSDAY, known=MONDAY), judged((MONDAY, "m1")))
    record_outcomes(memory, outcome(THURSDAY, known=FRIDAY), judged((FRIDAY, "m1")))
    assert outcome_keys(memory) == [(THURSDAY, "m1", FRIDAY)]


def test_outcomes_of_a_model_of_another_rule_stay_as_its_own_rule_decided_them(memory):
    for model in ("m1", "m2"):
        record_signals(memory, predictions(FRIDAY, model=model), closes(FRIDAY), SECTORS)
    both = pl.concat([outcome(model="m1"), outcome(model="m2")])
    record_outcomes(memory, both, judged((MONDAY, "m1"), (MONDAY, "m2")))
    record_outcomes(memory, outcome().clear(), judged((MONDAY, "m2")))
    assert outcome_keys(memory) == [(FRIDAY, "m1", MONDAY)]


def test_no_outcome_is_without_its_signal(memory):
    record_signals(memory, predictions(FRIDAY, "BUY"), closes(FRIDAY), SECTORS)
    strangers = pl.concat([outcome(THURSDAY), outcome(model="m2"), outcome(signal="SELL")])
    record_outcomes(memory, strangers, judged((MONDAY, "m1")))
    assert outcome_keys(memory) == []
    for again, kept in (("BUY", 1), ("SELL", 0)):
        record_outcomes(memory, outcome(), judged((MONDAY, "m1")))
        record_signals(memory, predictions(FRIDAY, again), closes(FRIDAY), SECTORS)
        assert len(outcome_keys(memory)) == kept, again
    record_signals(memory, predictions(FRIDAY, "BUY"), closes(FRIDAY), SECTORS)
    record_outcomes(memory, outcome(), judged((MONDAY, "m1")))
    record_signals(memory, predictions(FRIDAY, symbol="BBB"), closes(FRIDAY), SECTORS)
    assert outcome_keys(memory) == []


def test_an_outcome_is_of_a_position_and_of_three_kinds(memory):
    sides = {"m1": "BUY", "m2": "HOLD"}
    for model, signal in sides.items():
        record_signals(memory, predictions(FRIDAY, signal, model), closes(FRIDAY), SECTORS)
    for model, changes in (
        ("m1", {"outcome": "draw"}),
        ("m1", {"outcome": None}),
        ("m1", {"return": None}),
        ("m2", {"return": None}),
        ("m2", {"outcome": None}),
    ):
        wrong = outcome(model=model, signal=sides[model], **changes)
        with pytest.raises(duckdb.ConstraintException):
            record_outcomes(memory, wrong, judged((MONDAY, model)))


def test_signals_are_settled_or_not_and_say_the_rule_of_their_model(memory):
    configuration = {"triple_barrier": RULE}
    record_model(memory, record_of("m1", THURSDAY, configuration=configuration), performance())
    strange = {"triple_barrier": RULE | {"horizon_sessions": "soon"}}
    record_model(memory, record_of("m2", THURSDAY, configuration=strange), performance())
    for session, model in ((THURSDAY, "m2"), (FRIDAY, "m1"), (MONDAY, "m1")):
        record_signals(memory, predictions(session, model=model), closes(session), SECTORS)
    record_outcomes(memory, outcome(), judged((MONDAY, "m1")))
    digest = digest_of(TripleBarrierConfig.model_validate(RULE))
    assert label_rules(memory).rows() == [("m1", digest, 15)]
    said = signals_said(memory, SessionSpan(FRIDAY, FRIDAY)).row(0, named=True)
    assert (said["role"], said["rule_digest"], said["label_sessions"]) == ("champion", digest, 15)
    waiting = unsettled_signals(memory, MONDAY)
    assert waiting.select("session", "rule_digest").rows() == [(THURSDAY, None)]
    ended = outcomes_of(memory, SessionSpan(FRIDAY, FRIDAY))
    assert ended.select("outcome", "p_buy", "label_sessions").rows() == [("win", 0.5, 15)]
    assert outcomes_of(memory, SessionSpan(MONDAY, MONDAY)).is_empty()


def memory_of_version(version, path):
    path.parent.mkdir(parents=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(OLDER[version].read_text(encoding="utf-8"))
    return ModelMemory(path, "alpha")


def declared_columns(memory):
    return memory.query(
        "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns()"
        " WHERE NOT internal ORDER BY ALL"
    )


def test_a_file_of_version_2_is_migrated_and_keeps_its_rows(memory, tmp_path):
    older = memory_of_version(2, tmp_path / "older" / "turbomode.duckdb")
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


def test_a_file_of_version_1_goes_through_every_migration(memory, tmp_path):
    older = memory_of_version(2, tmp_path / "older" / "turbomode.duckdb")
    with duckdb.connect(str(older.path)) as connection:
        for table in ("active_signals", "signal_history", "model_metadata"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN gate_override")
        connection.execute("UPDATE memory_schema SET version = 1")
    signal = active_signals(older).row(0, named=True)
    assert (signal["symbol"], signal["gate_override"]) == ("AAA", None)
    assert declared_columns(older).equals(declared_columns(memory))


def test_a_file_of_version_3_is_migrated_and_its_alerts_become_verdicts(memory, tmp_path):
    older = memory_of_version(3, tmp_path / "older" / "turbomode.duckdb")
    counts = {"signal_history": 2, "training_runs": 4, "rare_events": 1, "signal_outcomes": 0}
    for table, rows in counts.items():
        assert older.query(f"SELECT count(*) FROM {table}").item() == rows, table
    exceeds = "SELECT DISTINCT verdict, kl, exceeds FROM drift_monitoring ORDER BY verdict"
    assert older.query(exceeds).rows() == [
        ("alert", None, True),
        ("stable", None, False),
        ("warn", None, False),
    ]
    # Of model `old` no configuration is recorded; of `m2` the later record counts.
    assert older.query("FROM drift_verdicts ORDER BY session").rows() == [
        (THURSDAY, "m1", 2, 0, 0.0, "stable", False, None, None),
        (FRIDAY, "m1", 2, 1, 0.5, "alert", True, None, None),
        (MONDAY, "m2", 2, 1, 0.5, "warn", False, None, None),
    ]
    roles = signals_said(older, SessionSpan(THURSDAY, FRIDAY))["role"]
    assert roles.to_list() == ["challenger", "champion"]
    assert older.query("SELECT version FROM memory_schema").item() == MEMORY_VERSION
    assert declared_columns(older).equals(declared_columns(memory))


def test_a_file_of_version_4_is_migrated_and_says_nothing_it_did_not_know(memory, tmp_path):
    older = memory_of_version(4, tmp_path / "older" / "turbomode.duckdb")
    assert older.query("SELECT DISTINCT subject FROM drift_monitoring").rows() == [("feature",)]
    unknown = "SELECT confidence, rank, expiry_session FROM signal_history"
    assert older.query(unknown).unique().rows() == [(None, None, None)]
    assert older.query("SELECT trade_id, profit_usd FROM trades").rows() == [("t1", None)]
    for table in ("backtest_equity", "backtest_figures", "alerts"):
        assert older.query(f"SELECT count(*) FROM {table}").item() == 0, table
    assert older.query("SELECT version FROM memory_schema").item() == MEMORY_VERSION
    assert declared_columns(older).equals(declared_columns(memory))


def test_a_file_of_version_5_is_migrated_and_knows_no_levels(memory, tmp_path):
    older = memory_of_version(5, tmp_path / "older" / "turbomode.duckdb")
    levels = "SELECT feature, exceeds, mean, step_limit, moved FROM drift_monitoring ORDER BY ALL"
    assert older.query(levels).rows() == [
        ("kmid", True, None, None, None),
        ("p_buy", False, None, None, None),
    ]
    assert older.query("SELECT version FROM memory_schema").item() == MEMORY_VERSION
    assert declared_columns(older).equals(declared_columns(memory))


def test_a_migrated_file_takes_new_rows_like_a_new_one(tmp_path):
    older = memory_of_version(2, tmp_path / "older" / "turbomode.duckdb")
    promotion = gate_decision(
        "m2", FRIDAY, passed=True, reason="r", rules="[]", shadow_sessions=0, at=NOW
    )
    record_model(older, record_of("m2", FRIDAY), performance(), decision=promotion)
    record_signals(older, predictions(MONDAY, model="m2"), closes(MONDAY), SECTORS)
    record_outcomes(older, outcome(MONDAY, model="m2"), judged((MONDAY, "m2")))
    assert outcome_keys(older) == [(MONDAY, "m2", MONDAY)]
    assert active_signals(older).select("model_version", "role").rows() == [("m2", "champion")]
    assert champion_or_none(older, MONDAY).model_version == "m2"


def test_a_migration_that_is_cut_short_leaves_the_older_file(tmp_path, monkeypatch):
    older = memory_of_version(2, tmp_path / "older" / "turbomode.duckdb")
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
