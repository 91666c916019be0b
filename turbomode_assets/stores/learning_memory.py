"""What model memory keeps for training: the archive of rare events and the errors to replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from turbomode_assets.contracts.errors import ContractError, first_few
from turbomode_assets.ensemble.error_replay import ERROR_REPLAY_SCHEMA
from turbomode_assets.labels import RARE_EVENT_SCHEMA
from turbomode_assets.stores.memory import ModelMemory

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection


def rare_event_archive(memory: ModelMemory) -> pl.DataFrame:
    """Archived rare events, sorted by (session, symbol, kind)."""
    columns = ", ".join(RARE_EVENT_SCHEMA)
    return memory.query(f"SELECT {columns} FROM rare_events ORDER BY session, symbol, kind")


def replay_buffer(memory: ModelMemory) -> pl.DataFrame:
    """Errors to replay, sorted by (symbol, decision_session)."""
    columns = ", ".join(ERROR_REPLAY_SCHEMA)
    return memory.query(f"SELECT {columns} FROM error_replay ORDER BY symbol, decision_session")


def replace_archives(
    memory: ModelMemory, *, rare_events: pl.DataFrame, error_replay: pl.DataFrame
) -> None:
    """Make both tables exactly these rows, in one transaction: both change, or neither.

    Raises:
        ContractError: columns are missing, or hold another type.
    """
    _check_columns(rare_events, RARE_EVENT_SCHEMA, "rare_events")
    _check_columns(error_replay, ERROR_REPLAY_SCHEMA, "error_replay")
    with memory.transaction() as connection:
        _replace(connection, "rare_events", rare_events.select(RARE_EVENT_SCHEMA.names()))
        _replace(connection, "error_replay", error_replay.select(ERROR_REPLAY_SCHEMA.names()))


def _check_columns(rows: pl.DataFrame, schema: pl.Schema, table: str) -> None:
    wrong = [
        f"{name} is {rows.schema.get(name, 'missing')}, not {dtype}"
        for name, dtype in schema.items()
        if rows.schema.get(name) != dtype
    ]
    if wrong:
        raise ContractError(
            f"wrong columns: {first_few(wrong)}",
            where=f"table {table} of model memory",
            fix="write what update_archive and update_replay_buffer return",
        )


def _replace(connection: Connection, table: str, rows: pl.DataFrame) -> None:
    connection.register("replacement", rows)
    connection.execute(f"DELETE FROM {table}")
    connection.execute(f"INSERT INTO {table} BY NAME FROM replacement")
    connection.unregister("replacement")
