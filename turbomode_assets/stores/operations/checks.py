"""Statements for checks: when each cell was last fetched, so that none is asked for in vain."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

import polars as pl
import sqlalchemy as sa

from turbomode_assets.contracts.tables import CELL, CELL_SCHEMA
from turbomode_assets.stores.operations.database import insert_into
from turbomode_assets.stores.operations.schema import CHECKS

CHECK_SCHEMA = pl.Schema({**CELL_SCHEMA, "as_of": pl.Date()})
"""This cell was last fetched when `as_of` was the last closed session."""

ROWS_PER_STATEMENT = 50_000


def record(connection: sa.Connection, kind: str, rows: Iterable[Mapping[str, object]]) -> None:
    """Keep the latest `as_of` of every cell."""
    given = pl.DataFrame(list(rows), schema=CHECK_SCHEMA, strict=True)
    latest = given.group_by(CELL).agg(pl.col("as_of").max()).sort(CELL)
    entry = insert_into(connection, CHECKS)
    upsert = entry.on_conflict_do_update(
        index_elements=["kind", *CELL],
        set_={"as_of": entry.excluded.as_of},
        where=CHECKS.c.as_of < entry.excluded.as_of,
    )
    if latest.height:
        for part in latest.with_columns(kind=pl.lit(kind)).iter_slices(ROWS_PER_STATEMENT):
            connection.execute(upsert, part.to_dicts())


def read(
    connection: sa.Connection,
    kind: str,
    first: dt.date,
    last: dt.date,
    symbols: Sequence[str] | None,
    timeframe: str | None,
) -> pl.DataFrame:
    """Read the cells of some sessions, of all symbols and timeframes unless told."""
    query = sa.select(*(CHECKS.c[name] for name in CHECK_SCHEMA)).where(
        CHECKS.c.kind == kind, CHECKS.c.session.between(first, last)
    )
    if timeframe is not None:
        query = query.where(CHECKS.c.timeframe == timeframe)
    rows = [tuple(row) for row in connection.execute(query)]
    found = pl.DataFrame(rows, schema=CHECK_SCHEMA, orient="row").sort(CELL)
    return found if symbols is None else found.filter(pl.col("symbol").is_in(list(symbols)))
