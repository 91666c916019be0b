"""Which versions are still needed, by memories of any tenant and of any age."""

import datetime as dt
import json
from pathlib import Path

import duckdb
import polars as pl
import pytest

from turbomode_assets.contracts.errors import StoreError
from turbomode_assets.contracts.tables import AUDITS, lake_tables
from turbomode_assets.maintenance.pins import (
    MEMORY_FILE,
    lake_pins,
    master_pins,
    memory_pins,
)
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Lake, MasterReader, ModelMemory
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets.stores.model_registry import record_model
from turbomode_assets.stores.promotions import gate_decision
from turbomode_assets_tests.builders import make_rows
from turbomode_assets_tests.stores.model_rows import (
    FRIDAY,
    MONDAY,
    NOW,
    THURSDAY,
    performance,
    predictions,
    record_of,
)

EVERY_SESSION = 1_000
OLD_MEMORIES = Path(__file__).parents[1] / "stores"


def memory_of(root: Path, tenant: str = "alpha") -> ModelMemory:
    memory = ModelMemory(root / "memory" / tenant / MEMORY_FILE, tenant)
    memory.query("SELECT 1")
    return memory


def train(memory, version, versions, *, passed=True, as_of=THURSDAY):
    decision = gate_decision(
        version, as_of, passed=passed, reason="r", rules="[]", shadow_sessions=0, at=NOW
    )
    record = record_of(version, as_of, store_versions=versions)
    record_model(memory, record, performance(), decision=decision)


def signal(memory, session, versions, *, model="m1"):
    row = predictions(session, model=model).with_columns(
        store_versions=pl.lit(json.dumps(versions))
    )
    with memory.transaction() as connection:
        connection.register("row", row)
        connection.execute("INSERT INTO signal_history BY NAME SELECT * FROM row")


def backtest(memory, session, versions):
    with memory.transaction() as connection:
        connection.execute(
            "INSERT INTO backtest_figures VALUES (?, '{}', 'c', ?)",
            [session, json.dumps(versions)],
        )


def pins_of(memory, sessions=EVERY_SESSION):
    return memory_pins(memory.path, explained_sessions=sessions)


def test_models_that_were_champion_or_challenger_pin_what_they_learned_from(tmp_path):
    memory = memory_of(tmp_path)
    train(memory, "m1", {"features": 3, "candles": 7})
    train(memory, "m2", {"features": 5, "labels": 2}, as_of=FRIDAY)
    assert pins_of(memory) == {"features": {3, 5}, "candles": {7}, "labels": {2}}


def test_a_refused_model_pins_nothing_until_a_person_promotes_it(tmp_path):
    memory = memory_of(tmp_path)
    train(memory, "m1", {"features": 3}, passed=False)
    assert pins_of(memory) == {}
    train(memory, "m1", {"features": 3})
    assert pins_of(memory) == {"features": {3}}


def test_only_the_newest_sessions_are_explained(tmp_path):
    memory = memory_of(tmp_path)
    for version, session in enumerate((THURSDAY, FRIDAY, MONDAY)):
        signal(memory, session, {"bars": version})
        backtest(memory, session, {"labels": 10 + version})
    assert pins_of(memory, 2) == {"bars": {1, 2}, "labels": {11, 12}}
    assert pins_of(memory) == {"bars": {0, 1, 2}, "labels": {10, 11, 12}}


def test_a_challengers_signals_count_too(tmp_path):
    memory = memory_of(tmp_path)
    signal(memory, MONDAY, {"features": 1})
    signal(memory, MONDAY, {"features": 2}, model="m2")
    assert pins_of(memory, 1) == {"features": {1, 2}}


def test_no_memory_needs_nothing(tmp_path):
    assert memory_pins(tmp_path / MEMORY_FILE, explained_sessions=1) == {}


@pytest.mark.parametrize(("version", "wanted"), [(2, {4}), (3, {3, 4, 5}), (4, set())])
def test_an_older_memory_is_read_as_it_is_and_not_migrated(tmp_path, version, wanted):
    path = tmp_path / MEMORY_FILE
    written = (OLD_MEMORIES / f"memory_version_{version}.sql").read_text(encoding="utf-8")
    with duckdb.connect(str(path)) as connection:
        connection.execute(written)
    before = path.read_bytes()
    pins = memory_pins(path, explained_sessions=EVERY_SESSION)
    assert pins == ({"labels": wanted} if wanted else {})
    assert path.read_bytes() == before


def test_the_masters_pins_are_those_of_all_tenants_and_of_the_last_audit(tmp_path):
    train(memory_of(tmp_path, "alpha"), "m1", {"splits": 3})
    signal(memory_of(tmp_path, "beta"), MONDAY, {"splits": 5})
    writer = MasterWriter(str(tmp_path / "master"))
    for number in (1, 2):
        writer.append("audits", audit_row(number), caller="test")
    pins = master_pins(tmp_path, MasterReader(str(tmp_path / "master")), explained_sessions=9)
    assert pins.versions == {"splits": {3, 5}, "candles": {2}}
    assert pins.unreadable == ()


def audit_row(number):
    row = dict.fromkeys(("as_of_session", "first_session", "session"), FRIDAY)
    row |= {"audited_at": NOW + dt.timedelta(hours=number)}
    return make_rows(AUDITS, row, store_versions=json.dumps({"candles": number}))


def test_a_tenant_whose_memory_cannot_be_read_is_named(tmp_path):
    train(memory_of(tmp_path, "alpha"), "m1", {"splits": 3})
    damaged = memory_of(tmp_path, "beta").path
    damaged.write_bytes(b"no database" * 1000)
    pins = master_pins(tmp_path, MasterReader(str(tmp_path / "master")), explained_sessions=9)
    assert pins.versions == {"splits": {3}}
    (told,) = pins.unreadable
    assert told.startswith("beta: model memory cannot be read")
    with pytest.raises(StoreError, match="restore the file from a backup"):
        memory_pins(damaged, explained_sessions=9)


def test_stored_predictions_pin_although_the_memory_lost_them(tmp_path):
    lake = Lake(str(tmp_path / "lake"), "alpha", lake_tables(["kmid"]))
    for number, session in enumerate((FRIDAY, MONDAY)):
        row = predictions(session).with_columns(store_versions=pl.lit(f'{{"bars": {number}}}'))
        for table in ("predictions", "shadow_predictions"):
            lake.replace(table, row, span=SessionSpan(session, session), caller="test")
    memory = tmp_path / MEMORY_FILE
    assert lake_pins(memory, lake, explained_sessions=1) == {"bars": {1}}
    assert lake_pins(memory, lake, explained_sessions=2) == {"bars": {0, 1}}
