import datetime as dt

import duckdb
import polars as pl
import pytest

from turbomode_assets.contracts.errors import ContractError
from turbomode_assets.ensemble.error_replay import ERROR_REPLAY_SCHEMA
from turbomode_assets.labels import RARE_EVENT_SCHEMA
from turbomode_assets.stores import ModelMemory
from turbomode_assets.stores.learning_memory import (
    rare_event_archive,
    replace_archives,
    replay_buffer,
)

THURSDAY, FRIDAY = dt.date(2017, 11, 9), dt.date(2017, 11, 10)


@pytest.fixture
def memory(tmp_path):
    return ModelMemory(tmp_path / "alpha" / "turbomode.duckdb", "alpha")


def events(*rows):
    return pl.DataFrame(rows, schema=RARE_EVENT_SCHEMA)


def errors(*rows):
    return pl.DataFrame(rows, schema=ERROR_REPLAY_SCHEMA)


EVENTS = events(
    {"session": FRIDAY, "symbol": "A", "kind": "crash", "magnitude": 0.2, "threshold": 0.1},
    {"session": THURSDAY, "symbol": "B", "kind": "gap", "magnitude": 7.0, "threshold": 5.0},
)
FOUND = {"known_session": FRIDAY, "model_version": "m1"}
ERRORS = errors(
    FOUND
    | {"symbol": "B", "decision_session": THURSDAY}
    | {"predicted": 2, "label": 0, "confidence": 0.7},
    FOUND
    | {"symbol": "A", "decision_session": FRIDAY}
    | {"predicted": 0, "label": 1, "confidence": 0.8},
)


def test_an_unwritten_memory_holds_typed_tables_without_rows(memory):
    assert rare_event_archive(memory).equals(events())
    assert rare_event_archive(memory).schema == RARE_EVENT_SCHEMA
    assert replay_buffer(memory).equals(errors())
    assert replay_buffer(memory).schema == ERROR_REPLAY_SCHEMA


def test_what_is_written_is_read_in_order_and_type(memory):
    shuffled = EVENTS.select(reversed(EVENTS.columns))
    replace_archives(memory, rare_events=shuffled, error_replay=ERRORS)
    assert rare_event_archive(memory).equals(EVENTS.sort("session"))
    assert replay_buffer(memory).equals(ERRORS.sort("symbol"))


def test_writing_replaces_everything_and_writing_again_changes_nothing(memory):
    replace_archives(memory, rare_events=EVENTS, error_replay=ERRORS)
    replace_archives(memory, rare_events=EVENTS, error_replay=ERRORS)
    assert rare_event_archive(memory).height == replay_buffer(memory).height == 2
    replace_archives(memory, rare_events=EVENTS.head(1), error_replay=errors())
    assert rare_event_archive(memory).equals(EVENTS.head(1))
    assert replay_buffer(memory).is_empty()


def test_both_tables_change_or_neither(memory):
    replace_archives(memory, rare_events=EVENTS, error_replay=ERRORS)
    doubled = pl.concat([ERRORS, ERRORS.head(1)])
    with pytest.raises(duckdb.ConstraintException):
        replace_archives(memory, rare_events=events(), error_replay=doubled)
    assert rare_event_archive(memory).height == 2
    assert replay_buffer(memory).height == 2


def test_frames_of_other_columns_are_refused_before_anything_is_written(memory):
    replace_archives(memory, rare_events=EVENTS, error_replay=ERRORS)
    text = ERRORS.with_columns(label=pl.lit("SELL"))
    with pytest.raises(ContractError, match="label is String, not Int8"):
        replace_archives(memory, rare_events=events(), error_replay=text)
    with pytest.raises(ContractError, match="threshold is missing, not Float64"):
        replace_archives(memory, rare_events=EVENTS.drop("threshold"), error_replay=ERRORS)
    assert rare_event_archive(memory).height == 2


def test_another_tenant_sees_none_of_it(memory, tmp_path):
    replace_archives(memory, rare_events=EVENTS, error_replay=ERRORS)
    other = ModelMemory(tmp_path / "beta" / "turbomode.duckdb", "beta")
    assert rare_event_archive(other).is_empty()
